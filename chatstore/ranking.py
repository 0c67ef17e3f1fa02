"""How well a text answers a query: the same number on every database."""

from collections.abc import Sequence

from chatstore.analyzer import words_of
from chatstore.queries import Query, Term

# How much of a text counts, and how long one usually is. A constant stands where BM25
# (Robertson and Zaragoza, 2009) has the mean of all texts, and how rare a word is does
# not count: all that are ranked hold all the words.
_RANKED_CHARACTERS = 4000
_USUAL_CHARACTERS = 600
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75


def score_text(text: str, query: Query) -> float:
    """Return from 0 to 1 how much of `text` is what was asked for.

    0 when that comes after its first 4,000 characters.
    """
    text = text[:_RANKED_CHARACTERS]
    length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(text) / _USUAL_CHARACTERS
    counts = _counts(text, query.wanted)
    parts = [count / (count + _SATURATION * length) for count in counts]
    return round(sum(parts) / len(parts), 6)


def _counts(text: str, terms: Sequence[Term]) -> list[int]:
    # Most texts are ASCII and most terms one word: a sixth of the time, all in all.
    if text.isascii() and all(term.is_plain for term in terms):
        lower = text.lower()
        return [_count_word(lower, term.words[0]) for term in terms]
    words = words_of(text)
    return [term.count_in(words) for term in terms]


def _count_word(text: str, word: str) -> int:
    count, start = 0, text.find(word)
    while start >= 0:
        end = start + len(word)
        before, after = text[start - 1 : start], text[end : end + 1]
        count += not (before.isalnum() or after.isalnum())
        start = text.find(word, end)
    return count
