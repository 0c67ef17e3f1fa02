"""Makes hits of the rows that a search found; plans no statements."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import accumulate
from uuid import UUID

from sqlalchemy import Connection

from chatstore.fulltext.query import Query
from chatstore.fulltext.score import score_text
from chatstore.fulltext.snippets import Snippet, characters_each, cut_snippet
from chatstore.fulltext.words import INDEXED_CHARACTERS, WHOLE_BYTES, is_whole
from chatstore.store.json_rows import as_instant, as_uuid
from chatstore.store.search.criteria import Criteria
from chatstore.store.search.plans import read_texts
from chatstore.store.search.rows import MatchRow

# A page checks at most this many characters of texts for a phrase.
CHECKED_CHARACTERS = 5 * INDEXED_CHARACTERS


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A message, or a session found by its name, with None in the message's fields."""

    session_id: UUID
    session_name: str | None
    message_id: int | None
    seq: int | None
    role: str | None
    timestamp: datetime
    snippet: str
    matches: list[tuple[int, int]]
    score: float
    indexed_in_part: bool


def scores_of(rows: Sequence[MatchRow], query: Query) -> dict[int, float]:
    """Return the score of each row by its key."""
    return {row.key: score_text(row.text, query) for row in rows}


def make_hits(
    connection: Connection,
    rows: Sequence[MatchRow],
    scores: Mapping[int, float],
    criteria: Criteria,
) -> Iterator[Hit]:
    """Yield the hits of `rows`, without texts that lack a phrase of the query.

    A text is read beyond its beginning only if the beginning does not decide.
    """
    max_characters = characters_each(len(rows))
    ready: dict[int, tuple[Snippet, bool]] = {}
    further = []
    for row in rows:
        snippet = cut_snippet(row.text, criteria.query.terms, max_characters)
        if row.bytes <= len(row.text.encode()):
            if holds(row.text, criteria):
                ready[row.key] = snippet, False
        elif _is_enough(row, snippet, criteria):
            ready[row.key] = snippet, False
        else:
            further.append(row.key)
    for key, text in read_texts(connection, further):
        if holds(text, criteria):
            snippet = cut_snippet(text, criteria.query.terms, max_characters)
            ready[key] = snippet, not is_whole(text)
    for row in rows:
        if row.key in ready:
            yield _hit(row, *ready[row.key], scores[row.key])


def holds(text: str, criteria: Criteria) -> bool:
    """Whether a text that the index found matches the query."""
    sure = criteria.sure_characters
    is_sure = sure is None or len(text) <= sure
    return is_sure or criteria.query.holds(text)


def count_checkable(sizes: Sequence[int]) -> int:
    """Return how many texts of these sizes in bytes one page can check."""
    sums = accumulate(min(size, INDEXED_CHARACTERS) for size in sizes)
    return sum(each <= CHECKED_CHARACTERS for each in sums)


def _is_enough(row: MatchRow, snippet: Snippet, criteria: Criteria) -> bool:
    """Whether the rest of a text can change neither the hit nor its snippet."""
    is_shown = bool(snippet.matches) and snippet.text.endswith("…")
    return (
        is_shown
        and criteria.sure_characters is None
        and row.bytes <= WHOLE_BYTES  # a longer text may be indexed in part
    )


def _hit(row: MatchRow, snippet: Snippet, is_partly: bool, score: float) -> Hit:
    return Hit(
        session_id=as_uuid(row.session_id),
        session_name=row.session_name,
        message_id=row.message_id,
        seq=row.seq,
        role=row.role,
        timestamp=as_instant(row.timestamp),
        snippet=snippet.text,
        matches=snippet.matches,
        score=score,
        indexed_in_part=is_partly,
    )
