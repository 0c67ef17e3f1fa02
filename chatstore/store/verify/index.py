"""Compares the search index with the rows: is each entry there, with its words?

All entries are compared, in bounded memory. PostgreSQL shows the words of an entry.
FTS5 shows only the length of each entry, and the places of each word. So on SQLite we
sum up a number for each place of each word, from the index and from the rows, and
compare the sums.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from sqlalchemy import BigInteger, LargeBinary, column, select, table, text

from chatstore.db import db, is_sqlite
from chatstore.fulltext.index_format import MESSAGES, fts5_words, tsvector_words
from chatstore.store.search.entries import Entry
from chatstore.store.search.rebuild import find_strays, read_batches, read_entries

Progress = Callable[[str], None]

_FIND_DIFFERENT = (
    "SELECT entry.id FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[]))"
    " AS entry (id, words) LEFT JOIN {index} AS found ON found.id = entry.id"
    " WHERE found.id IS NULL OR found.words <> CAST(entry.words AS tsvector)"
)

# Words share sums. Of the sums that differ we trace the smallest few to wrong rows.
_SUM_COUNT, _MAX_TRACED = 2**16, 20
# A number for each place of a word. `_Fts5Entry.place_numbers` computes the same.
_PLACE_NUMBER = (
    "(doc % 1000000007 * 1000003 + offset * 8191 + (col = 'scope')) % 2147483647"
)
_CREATE_PLACES = (
    "CREATE VIRTUAL TABLE temp.{0}_places USING fts5vocab(main, {0}, instance)"
)
_SUM_PLACES = (
    f"SELECT term, count(*), sum({_PLACE_NUMBER}) FROM temp.{{0}}_places GROUP BY term"  # nosec B608
)
_PLACES_OF_WORD = (
    f"SELECT doc, {_PLACE_NUMBER} FROM temp.{{0}}_places WHERE term = :word"  # nosec B608
)


@dataclass(frozen=True)
class _Fts5Entry:
    """An entry as FTS5 should hold it: the words of both columns, in order."""

    key: int
    words: list[str]
    scopes: list[str]

    def place_numbers(self) -> Iterator[tuple[str, int]]:
        """Yield each word with the number of its place."""
        base = self.key % 1000000007 * 1000003
        for number, words in enumerate((self.words, self.scopes)):
            for place, word in enumerate(words):
                yield word, (base + place * 8191 + number) % 2147483647


def find_wrong(index: str, progress: Progress) -> Iterator[int]:
    """Yield keys of rows whose entry is missing or has other words or scopes."""
    find = _find_wrong_fts5 if is_sqlite() else _find_wrong_tsvectors
    yield from find(index, progress)


def _find_wrong_tsvectors(index: str, progress: Progress) -> Iterator[int]:
    for entries in _read_with_progress(index, progress):
        wrong = _wrong_tsvectors(index, entries)
        if wrong:
            # A row may have changed after it was read, so we read it again.
            yield from sorted(_wrong_tsvectors(index, read_entries(index, among=wrong)))


def _wrong_tsvectors(index: str, entries: Sequence[Entry]) -> list[int]:
    given = {
        "ids": [key for key, _, _ in entries],
        "words": [tsvector_words(words, scopes) for _, words, scopes in entries],
    }
    return list(db.session.scalars(text(_FIND_DIFFERENT.format(index=index)), given))


def _find_wrong_fts5(index: str, progress: Progress) -> Iterator[int]:
    # SQLite reads all this in one snapshot. A missing or stray entry is reported by
    # itself and would spoil the sums, so the sums are then not compared.
    expected, is_complete = [0] * _SUM_COUNT, not list(find_strays(index))
    for entries in _read_fts5_entries(index, progress):
        for key in _find_wrong_lengths(index, entries):
            is_complete = False
            yield key
        for entry in entries:
            for word, place_number in entry.place_numbers():
                expected[hash(word) % _SUM_COUNT] += place_number
    if is_complete:
        yield from _find_other_words(index, expected, progress)


def _find_wrong_lengths(index: str, entries: Sequence[_Fts5Entry]) -> list[int]:
    key, size = column("id", BigInteger), column("sz", LargeBinary)
    query = select(key, size).select_from(table(f"{index}_docsize", key, size))
    rows = db.session.execute(query.where(key.in_([each.key for each in entries])))
    found: dict[int, bytes] = {row.id: row.sz for row in rows}
    return [
        each.key
        for each in entries
        if found.get(each.key) != _varints(len(each.words), len(each.scopes))
    ]


def _find_other_words(
    index: str, expected: list[int], progress: Progress
) -> Iterator[int]:
    progress("search: computing checksums of the index")
    connection = db.session.connection()
    connection.exec_driver_sql(_CREATE_PLACES.format(index))
    try:
        found, counts = [0] * _SUM_COUNT, [0] * _SUM_COUNT
        for word, count, total in connection.exec_driver_sql(_SUM_PLACES.format(index)):
            counts[hash(word) % _SUM_COUNT] += count
            found[hash(word) % _SUM_COUNT] += total
        wrong = [each for each in range(_SUM_COUNT) if found[each] != expected[each]]
        if wrong:
            traced_sums = frozenset(
                heapq.nsmallest(_MAX_TRACED, wrong, key=counts.__getitem__)
            )
            yield from _trace_wrong_rows(index, traced_sums, progress)
    finally:
        connection.exec_driver_sql(f"DROP TABLE temp.{index}_places")


def _trace_wrong_rows(
    index: str, sums: frozenset[int], progress: Progress
) -> Iterator[int]:
    """Yield keys of rows whose entry has wrong places of the words of these sums."""
    should_be = {
        (entry.key, word, place_number)
        for entries in _read_fts5_entries(index, progress)
        for entry in entries
        for word, place_number in entry.place_numbers()
        if hash(word) % _SUM_COUNT in sums
    }
    connection = db.session.connection()
    words = connection.exec_driver_sql(_SUM_PLACES.format(index))
    traced = [word for word, *_ in words if hash(word) % _SUM_COUNT in sums]
    query = text(_PLACES_OF_WORD.format(index))
    stored = {
        (key, word, place_number)
        for word in traced
        for key, place_number in connection.execute(query, {"word": word})
    }
    yield from sorted({key for key, *_ in should_be ^ stored})


def _read_fts5_entries(index: str, progress: Progress) -> Iterator[list[_Fts5Entry]]:
    for entries in _read_with_progress(index, progress):
        yield [
            _Fts5Entry(key, fts5_words(content).split(), scopes)
            for key, content, scopes in entries
        ]


def _read_with_progress(index: str, progress: Progress) -> Iterator[list[Entry]]:
    done, noun = 0, "messages" if index == MESSAGES else "names"
    for entries in read_batches(index):
        yield entries
        done += len(entries)
        progress(f"search: {done} {noun}")


def _varints(*numbers: int) -> bytes:
    """Return SQLite's varints: 7 bits per byte, the 8th set in all but the last."""
    written = b""
    for number in numbers:
        digits = [number & 0x7F]
        while number := number >> 7:
            digits.append(number & 0x7F | 0x80)
        written += bytes(reversed(digits))
    return written
