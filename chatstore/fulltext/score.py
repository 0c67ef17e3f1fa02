"""Scores how well a text matches a query: the same number on every database."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence

from chatstore.fulltext.candidates import candidate_parts, unspaced_run_of
from chatstore.fulltext.folding import fold
from chatstore.fulltext.matching import Finder, Term
from chatstore.fulltext.positions import GAP
from chatstore.fulltext.query import Query
from chatstore.fulltext.words import parts_of, words_of_folded

# The score follows BM25 (Robertson and Zaragoza, 2009), but a constant replaces the
# mean length of all texts. The rarity of a word does not count, because every ranked
# text holds all the words.
_RANKED_CHARACTERS = 4000
# Folding can turn one character into many words.
_RANKED_WORDS = 4000
_RANKED_FOLDED_CHARACTERS = 2 * _RANKED_CHARACTERS
_USUAL_CHARACTERS = 600
# As in `store.search.statements`, which ranks the matches first.
_SATURATION = 1.2
_LENGTH_WEIGHT = 0.75


def score_text(text: str, query: Query) -> float:
    """Return how well `text` matches `query`, from 0 to 1: the mean over its clauses.

    Only the first 4,000 characters count, and only the best alternative of a clause.
    """
    if not query.wanted:
        return 0.0
    text = text[:_RANKED_CHARACTERS]
    length = 1 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * len(text) / _USUAL_CHARACTERS
    counts = _counts(text, query.terms)
    best = [max(counts[number] for number in clause) for clause in query.clauses]
    parts = [count / (count + _SATURATION * length) for count in best]
    return round(sum(parts) / len(parts), 6)


def _counts(text: str, terms: Sequence[Term]) -> list[int]:
    near = "\n".join(text[start:end] for start, end in candidate_parts(text, terms))
    folded = fold(near)[:_RANKED_FOLDED_CHARACTERS]
    runs = [unspaced_run_of(term) for term in terms]
    counts = [_count_run(run, folded) if run else 0 for run in runs]
    others = [number for number, run in enumerate(runs) if not run]
    if others:
        words = list(_words(near, folded))
        found = _count_words(words, [terms[number] for number in others])
        for number, count in zip(others, found, strict=True):
            counts[number] = count
    return counts


def _count_run(run: str, folded: str) -> int:
    """Return how often the run occurs in the folded text, including overlaps."""
    return len(re.findall(f"(?={re.escape(run)})", folded)) if run in folded else 0


def _count_words(words: Sequence[str], terms: Sequence[Term]) -> list[int]:
    if any(len(term.words) > 1 or term.is_prefix for term in terms):
        return Finder(terms).counts(words)
    if len(terms) <= 3:
        return [words.count(term.words[0]) for term in terms]
    counted = Counter(words)
    return [counted[term.words[0]] for term in terms]


def _words(text: str, folded: str) -> Iterator[str]:
    yield from words_of_folded(folded)[:_RANKED_WORDS]
    for parts in parts_of(text):
        yield GAP
        yield from parts
