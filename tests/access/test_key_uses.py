from datetime import UTC, datetime, timedelta

from chatstore.access.key_uses import KeyUses


def test_uses_are_taken_once_with_the_last_instant():
    uses = KeyUses()
    first, last = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    uses.note("k", first)
    uses.note("k", last)
    assert uses.take() == {"k": last}
    assert uses.take() == {}


def test_a_use_that_is_given_back_does_not_hide_a_later_one():
    uses, now = KeyUses(), datetime(2026, 1, 2, tzinfo=UTC)
    earlier = now - timedelta(minutes=1)
    uses.note("a", earlier)
    uses.note("b", earlier)
    taken = uses.take()
    uses.note("a", now)
    uses.give_back(taken)
    assert uses.take() == {"a": now, "b": earlier}
