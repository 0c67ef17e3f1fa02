"""Folds a text and maps each part of the folded text back to the original."""

import re
from bisect import bisect_right

from chatstore.fulltext.folding import fold
from chatstore.fulltext.words import FOLDED_CHARACTERS

# A text is folded in blocks, and only blocks with a match are mapped by character. A
# block ends where the next character folds independently. If there is no such place
# within another 256 characters, words across the block's end are not found.
_BLOCK = 256
# Characters that may join the one before: vowels and final consonants of Hangul in all
# their forms, and the half-width sound marks of Japanese.
_JOINING = re.compile(
    "[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\ud7b0-\ud7ff\uff9e-\uffdc]"
)
_RUN = re.compile("[A-Za-z0-9\x80-\U0010ffff]+|[^A-Za-z0-9\x80-\U0010ffff]+")
_MARKS = (
    "\u0300-\u036f\u0591-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed"
    "\u3099\u309a\uff9e\uff9f\u093c\u00ad\u0640\u2060\ufeff"
)
# A character with the marks that belong to it, or the letters of a Hangul syllable.
_CLUSTER = re.compile(f"[\u1100-\u11ff]+|.[{_MARKS}]*", re.DOTALL)
_HAS_CLUSTER = re.compile(f"[\u1100-\u11ff{_MARKS}]")

Range = tuple[int, int]


class FoldedText:
    """A text with its folded form, of bounded length, and the mapping between them."""

    def __init__(self, text: str) -> None:
        """Fold the text."""
        self._text = text
        self._starts, self._folded_starts = [0], [0]
        self._origins: dict[int, list[Range]] = {}
        self.folded = text.lower() if text.isascii() else self._fold_blocks()

    def origin(self, start: int, end: int) -> Range:
        """Return the [start, end) in the text of folded[start:end]."""
        if self._text.isascii():
            return start, end
        return self._origin(start)[0], self._origin(end - 1)[1]

    def place_after(self, place: int) -> int:
        """Return a place in the folded text that is not before `place` in the text."""
        if self._text.isascii():
            return place
        block = bisect_right(self._starts, place)
        if block == len(self._folded_starts):
            return len(self.folded)
        return self._folded_starts[block]

    def _fold_blocks(self) -> str:
        parts, start, length = [], 0, 0
        while start < len(self._text) and length < FOLDED_CHARACTERS:
            start = self._block_end(start)
            parts.append(fold(self._text[self._starts[-1] : start]))
            length += len(parts[-1])
            self._starts.append(start)
            self._folded_starts.append(length)
        return "".join(parts)[:FOLDED_CHARACTERS]

    def _block_end(self, start: int) -> int:
        first, last = start + _BLOCK, min(start + 2 * _BLOCK, len(self._text))
        for place in range(first, last):
            character = self._text[place]
            if character.isascii() or (
                character.isalnum() and not _JOINING.match(character)
            ):
                return place
        return last

    def _origin(self, place: int) -> Range:
        block = bisect_right(self._folded_starts, place) - 1
        if block not in self._origins:
            start, end = self._starts[block : block + 2]
            self._origins[block] = _origins(self._text[start:end], start)
        return self._origins[block][place - self._folded_starts[block]]


def _origins(block: str, start: int) -> list[Range]:
    """Return, for each character of the folded block, its [start, end) in the text.

    If a run does not fold cluster by cluster, all its characters have the whole run.
    """
    origins: list[Range] = []
    for run in _RUN.finditer(block):
        place, whole = start + run.start(), fold(run[0])
        if _is_one_to_one(run[0], whole):
            ends = range(place + 1, place + len(whole) + 1)
            origins += zip(range(place, ends.stop), ends, strict=False)
            continue
        clusters = _CLUSTER.findall(run[0])
        folded = fold("\n".join(clusters)).split("\n")
        if "".join(folded) != whole:
            clusters, folded = [run[0]], [whole]
        for cluster, part in zip(clusters, folded, strict=True):
            origins += [(place, place + len(cluster))] * len(part)
            place += len(cluster)
    return origins


def _is_one_to_one(text: str, folded: str) -> bool:
    """Whether folding changed nothing but the case of letters."""
    return (
        len(text) == len(folded)
        and text.lower() == folded
        and _HAS_CLUSTER.search(text) is None
    )
