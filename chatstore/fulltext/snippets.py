"""Cuts a snippet around the first match out of a text; knows no database."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, takewhile

from chatstore.fulltext.candidates import MAX_PATTERN_WORDS, candidate_parts
from chatstore.fulltext.folded_text import FoldedText, Range
from chatstore.fulltext.folding import fold
from chatstore.fulltext.matching import Finder, Term
from chatstore.fulltext.words import (
    INDEXED_CHARACTERS,
    WORD_START,
    compounds_of,
    spans_of,
    stands_alone,
)

LENGTH = 160
# How many characters of their texts all snippets of one page may read.
PAGE_CHARACTERS = 20 * INDEXED_CHARACTERS
_CHARACTERS_BEFORE = 40
# How far a cut may move to fall between two words.
_SLACK = 20
_LINE_BREAK = re.compile("[\n\r\t\v\f\x85\u2028\u2029]")
# In a text of up to this length, a pattern costs more than reading all words.
_SHORT_TEXT = 160


@dataclass(frozen=True)
class Snippet:
    """Part of a text in one line, and the [start, end) of each match in that line.

    Offsets count characters (Unicode code points).
    """

    text: str
    matches: list[Range]


def characters_each(hits: int) -> int:
    """Return how many characters each snippet of a page with `hits` hits may read."""
    return min(INDEXED_CHARACTERS, PAGE_CHARACTERS // max(1, hits))


def cut_snippet(
    text: str, terms: Sequence[Term], max_characters: int = INDEXED_CHARACTERS
) -> Snippet:
    """Return about 160 characters of `text` around the first match of a term.

    Searches only the first `max_characters` of the indexed part. Without a match there,
    returns the beginning of `text`.
    """
    parts = _parts(text[: min(max_characters, INDEXED_CHARACTERS)], terms)
    found = next((part for part in parts if part.first), None)
    first = found.first if found else None
    start, end = _window(text, first or (0, 0))
    head, tail = "…" if start else "", "…" if end < len(text) else ""
    shift = len(head) - start
    return Snippet(
        head + _LINE_BREAK.sub(" ", text[start:end]) + tail,
        [
            (max(match_start, start) + shift, min(match_end, end) + shift)
            for match_start, match_end in _merge(
                _matches([found] if found else [], parts, end)
            )
        ],
    )


def _parts(text: str, terms: Sequence[Term]) -> Iterator["_Part"]:
    finder = Finder(terms)
    for start, end in candidate_parts(text, terms):
        yield _Part(text[start:end], start, terms, finder)


def _matches(
    found: Iterable["_Part"], others: Iterable["_Part"], end: int
) -> Iterator[Range]:
    """Yield the matches that lie before `end`."""
    for part in chain(found, takewhile(lambda each: each.start < end, others)):
        yield from part.matches_before(end)


class _Part:
    """The matches in part of a text, including those in parts of identifiers."""

    def __init__(
        self, text: str, start: int, terms: Sequence[Term], finder: Finder
    ) -> None:
        """Find the first match; later ones are found only on demand."""
        self.start, self._text = start, text
        self._terms, self._finder = terms, finder
        self._folded = FoldedText(text)
        self._word = self._first_word()
        word = self._word and self._folded.origin(*self._word)
        # Only an identifier before that word can be the first match.
        part = next(self._find_parts(word[0] if word else len(text)), None)
        self._first = min(filter(None, (word, part)), default=None)

    @property
    def first(self) -> Range | None:
        """The [start, end) of the first match in the whole text, if there is one."""
        return self._first and self._in_whole_text(self._first)

    def matches_before(self, end: int) -> Iterator[Range]:
        """Yield the matches from the first on that lie before `end`."""
        return map(self._in_whole_text, self._matches_before(end - self.start))

    def _in_whole_text(self, match: Range) -> Range:
        return match[0] + self.start, match[1] + self.start

    def _matches_before(self, end: int) -> Iterator[Range]:
        if self._first and self._first[0] < end:
            yield self._first
            yield from self._find_parts(end)
        if self._word:
            last = self._folded.place_after(end)
            spans = spans_of(self._folded.folded, self._word[0])
            for span in self._find(takewhile(lambda each: each[1] < last, spans)):
                match = self._folded.origin(*span)
                if match[0] < end:
                    yield match

    def _first_word(self) -> Range | None:
        begin = first_candidate(self._folded.folded, self._terms)
        if begin is None:
            return None
        return next(self._find(spans_of(self._folded.folded, begin)), None)

    def _find(self, spans: Iterable[tuple[str, int, int]]) -> Iterator[Range]:
        for start, end, _ in self._finder.find_spans(spans):
            yield start, end

    def _find_parts(self, end: int) -> Iterator[Range]:
        for parts in compounds_of(self._text[:end]):
            yield from self._find(
                (fold(part), start, stop) for part, start, stop in parts
            )


def first_candidate(folded: str, terms: Sequence[Term]) -> int | None:
    """Return a place before which no term begins; None if no term begins at all."""
    first_words = {term.words[0] for term in terms}
    if (
        not first_words
        or len(first_words) > MAX_PATTERN_WORDS
        or len(folded) <= _SHORT_TEXT
    ):
        return 0 if first_words else None
    word_start = "(?<![a-z0-9])" if folded.isascii() else WORD_START
    patterns = [
        re.escape(word) if stands_alone(word) else word_start + re.escape(word)
        for word in sorted(first_words)
    ]
    match = re.search("|".join(patterns), folded)
    return match and match.start()


def _window(text: str, match: Range) -> Range:
    start = max(0, min(match[0] - _CHARACTERS_BEFORE, len(text) - LENGTH))
    if start:
        space = text.find(" ", start, min(start + _SLACK, match[0]))
        start = space + 1 if space >= 0 else start
    end = min(len(text), start + LENGTH)
    if end < len(text):
        space = text.rfind(" ", max(end - _SLACK, match[1]), end)
        end = space if space >= 0 else end
    return start, end


def _merge(matches: Iterable[Range]) -> list[Range]:
    """Return the matches in order, with overlapping ones merged into one range."""
    ranges: list[Range] = []
    for start, end in sorted(matches):
        if ranges and start < ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], end))
        else:
            ranges.append((start, end))
    return ranges
