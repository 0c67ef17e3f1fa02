"""Finds all places where a text matches a query; knows no database."""

import re
from collections.abc import Iterator, Sequence
from heapq import merge
from itertools import islice
from operator import itemgetter

from chatstore.fulltext.candidates import candidate_parts
from chatstore.fulltext.folded_text import FoldedText, Range
from chatstore.fulltext.folding import fold
from chatstore.fulltext.matching import Finder, Term
from chatstore.fulltext.query import MAX_WORDS, Query
from chatstore.fulltext.snippets import first_candidate
from chatstore.fulltext.words import (
    INDEXED_CHARACTERS,
    WORD_LENGTH,
    compounds_of,
    spans_of,
)

MAX_MATCHES = 1000
# In a text of up to this length, many small parts cost more than one.
_SHORT_TEXT = 4096

# The [start, end) of a match, and the index of its term.
_Match = tuple[int, int, int]


class Highlighter:
    """Finds the matches of one query in any number of texts."""

    def __init__(self, query: Query, *, max_matches: int = MAX_MATCHES) -> None:
        """Prepare to find up to `max_matches` matches in each text."""
        self._query, self._max_matches = query, max_matches
        self._finder = Finder(query.terms)
        self._pattern = _word_pattern(query.terms)
        self._beginnings = sorted({term.words[0] for term in query.terms})

    def matches(self, text: str, searched: str | None = None) -> list[Range]:
        """Return the [start, end) of each match in the indexed part of `text`.

        Offsets count characters (Unicode code points). Matches that overlap are one.
        `searched` is the text that search finds, if that is more than `text`. If it
        does not match the whole query, there are no matches.
        """
        ranges: list[Range] = []
        found: set[int] = set()
        is_cut = False
        for start, end, number in self._find(text[:INDEXED_CHARACTERS]):
            found.add(number)
            _append(ranges, start, end)
            # Each range has a word, and a later phrase joins at most MAX_WORDS of them.
            is_cut = len(ranges) > self._max_matches + MAX_WORDS
            if is_cut:
                break
        if ranges and self._is_hit(text, searched, found, is_cut):
            return ranges[: self._max_matches]
        return []

    def _is_hit(
        self, text: str, searched: str | None, found: set[int], is_cut: bool
    ) -> bool:
        """Whether search finds the text, of which the terms `found` are known.

        If `is_cut`, the text may have other terms too.
        """
        has_all = all(not found.isdisjoint(clause) for clause in self._query.clauses)
        if has_all and not (self._query.unwanted or self._query.has_minus_marks):
            return True
        if not has_all and not is_cut and searched is None:
            return False
        return self._query.holds(text if searched is None else searched)

    def _find(self, text: str) -> Iterator[_Match]:
        """Yield the matches in the order of their ends."""
        for start, end in self._parts(text):
            part = text[start:end]
            for match in merge(
                self._find_words(part), self._find_parts(part), key=itemgetter(1)
            ):
                yield match[0] + start, match[1] + start, match[2]

    def _parts(self, text: str) -> Iterator[Range]:
        """Yield the [start, end) of the parts of a text that may have matches."""
        if text.isascii():  # folding it costs less than to search for candidates
            lower = text.lower()
            if any(beginning in lower for beginning in self._beginnings):
                yield 0, len(text)
        elif len(text) > _SHORT_TEXT:
            yield from candidate_parts(text, self._query.terms)
        else:
            for start, _ in islice(candidate_parts(text, self._query.terms), 1):
                yield start, len(text)

    def _find_words(self, text: str) -> Iterator[_Match]:
        if self._pattern is not None and text.isascii():
            spans = (
                (word[0], *word.span()) for word in self._pattern.finditer(text.lower())
            )
            yield from self._finder.find_spans(spans)
            return
        folded = FoldedText(text)
        begin = first_candidate(folded.folded, self._query.terms)
        if begin is None:
            return
        for start, end, number in self._finder.find_spans(
            spans_of(folded.folded, begin)
        ):
            yield (*folded.origin(start, end), number)

    def _find_parts(self, text: str) -> Iterator[_Match]:
        """Yield the matches in parts of identifiers, dates and versions."""
        for parts in compounds_of(text):
            yield from self._finder.find_spans(
                (fold(part), start, end) for part, start, end in parts
            )


def _word_pattern(terms: Sequence[Term]) -> re.Pattern[str] | None:
    """Return a pattern of the words of ASCII text that match one of the terms.

    None if a term is a phrase, so that its words must be found among all words. A word
    of the greatest length may be the beginning of a longer one.
    """
    words: list[str] = []
    for term in terms:
        if len(term.words) > 1:
            return None
        is_whole = not term.is_prefix and len(term.words[0]) < WORD_LENGTH
        words.append(re.escape(term.words[0]) + "(?![a-z0-9])" * is_whole)
    return re.compile(f"(?<![a-z0-9])(?:{'|'.join(words)})[a-z0-9]*")


def _append(ranges: list[Range], start: int, end: int) -> None:
    """Add a range that ends last; join it with those that it overlaps."""
    while ranges and ranges[-1][1] > start:
        start = min(start, ranges[-1][0])
        end = max(end, ranges.pop()[1])
    ranges.append((start, end))
