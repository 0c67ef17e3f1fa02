"""Cuts the part out of a text that shows what was searched for; no database here."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from chatstore.analyzer import (
    INDEXED_CHARACTERS,
    Located,
    locate_words,
    runs_of,
)
from chatstore.queries import Term

LENGTH = 160
_BEFORE = 40
# How far a cut may move to come between two words.
_SLACK = 20
_LINE = str.maketrans(dict.fromkeys("\n\r\t\v\f\x85\u2028\u2029", " "))


@dataclass(frozen=True)
class Snippet:
    """Part of a text in one line, and where in it, [start, end), the matches are.

    Offsets count characters (Unicode code points).
    """

    text: str
    matches: list[tuple[int, int]]


def cut_snippet(text: str, terms: Sequence[Term]) -> Snippet:
    """Return about 160 characters of `text` around the first match of a term.

    Reads no further than that; without a match, the beginning.
    """
    indexed = text[:INDEXED_CHARACTERS]
    first = next(_find(indexed, terms), None)
    start, end = _window(text, first or Located("", 0, 0))
    head, tail = "…" if start else "", "…" if end < len(text) else ""
    matches = _merge([first, *_find(indexed[:end], terms, start)] if first else [])
    shift = len(head) - start
    return Snippet(
        head + text[start:end].translate(_LINE) + tail,
        [(max(one, start) + shift, min(two, end) + shift) for one, two in matches],
    )


def _find(text: str, terms: Sequence[Term], start: int = 0) -> Iterator[Located]:
    """Yield the matches from `start` on, the word being of no interest."""
    longest = max((len(term.words) for term in terms), default=0)
    for place, count in _candidates(text, terms, start):
        located = list(islice(locate_words(text, place), count + longest))
        following = [each.word for each in located]
        for index in range(count):
            for term in terms:
                if term.is_at(following, index):
                    last = located[index + len(term.words) - 1]
                    yield Located("", located[index].start, last.end)


def _candidates(
    text: str, terms: Sequence[Term], start: int
) -> Iterator[tuple[int, int]]:
    """Yield where a match may begin, and in how many words from there.

    Most of a text is passed over here: to look closer costs ten times as much.
    """
    begins = tuple(term.words[0] for term in terms)
    if text.isascii():
        pattern = rf"(?<![a-z0-9])(?:{'|'.join(map(re.escape, begins))})"
        for match in re.finditer(pattern, text[start:].lower()):
            yield start + match.start(), 1
        return
    for place, words in runs_of(text, start):
        if any(word.startswith(begins) for word in words):
            yield place, len(words)


def _window(text: str, match: Located) -> tuple[int, int]:
    start = max(0, min(match.start - _BEFORE, len(text) - LENGTH))
    if start:
        space = text.find(" ", start, min(start + _SLACK, match.start))
        start = space + 1 if space >= 0 else start
    end = min(len(text), start + LENGTH)
    if end < len(text):
        space = text.rfind(" ", max(end - _SLACK, match.end), end)
        end = space if space >= 0 else end
    return start, end


def _merge(matches: Iterable[Located]) -> list[tuple[int, int]]:
    """Return the matches as ranges that do not touch: of pairs, the whole run."""
    ranges: list[tuple[int, int]] = []
    for match in sorted(matches, key=lambda each: (each.start, each.end)):
        if ranges and match.start < ranges[-1][1]:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], match.end))
        else:
            ranges.append((match.start, match.end))
    return ranges
