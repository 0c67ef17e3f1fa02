"""How well a text answers a query: the same number on every database."""

from chatstore.analyzer import words_of
from chatstore.queries import Query

# How much of a text counts, and how long one usually is. A constant stands where BM25
# (Robertson and Zaragoza, 2009) has the mean of all texts, and how rare a word is does
# not count: all that are ranked hold all the words.
_RANKED_CHARACTERS = 4000
_USUAL_WORDS = 100
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75


def score_text(text: str, query: Query) -> float:
    """Return from 0 to 1 how much of `text` is what was asked for.

    0 when that comes after its first 4,000 characters.
    """
    words = words_of(text[:_RANKED_CHARACTERS])
    length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(words) / _USUAL_WORDS
    counts = [term.count_in(words) for term in query.wanted]
    parts = [count / (count + _SATURATION * length) for count in counts if count]
    return round(sum(parts) / len(counts), 6)
