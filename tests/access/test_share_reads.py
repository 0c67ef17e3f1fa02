from datetime import UTC, datetime

from chatstore.access.share_reads import Reads, ShareReads


def test_reads_are_counted_and_taken_once():
    reads = ShareReads()
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    for instant in (first, last, first):
        reads.note("a", instant)
    reads.note("b", first)
    assert reads.take() == {"a": Reads(3, last), "b": Reads(1, first)}
    assert reads.take() == {}
