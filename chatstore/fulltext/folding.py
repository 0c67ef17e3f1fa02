"""Folds text: without case, accents and other variants of the same letters."""

import re
import unicodedata
from collections.abc import Iterable
from functools import cache

# Python sorts the marks of a letter in quadratic time. Unicode's Stream-Safe Text
# Format allows 30, so we drop the others.
_MAX_MARKS_OF_A_LETTER = 30
# Both patterns are fast, and every long row of marks matches both.
_MARK = re.compile("[^\\w\x00-\x7f]")
_MARKS = re.compile(f"[^\\w\x00-\x7f]{{{_MAX_MARKS_OF_A_LETTER + 1}}}")
# Marks that people leave out: accents, Hebrew points, Arabic vowels; tatweel, the
# soft hyphen and other invisible characters.
DROPPED_CHARACTERS = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
    "\u06e7\u06e8\u06ea-\u06ed\u00ad\u2060\ufeff]"
)
# Letters that no normalization form decomposes.
REPLACED_LETTERS = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
    | {"ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n", "ĸ": "k"}
)
_HAS_REPLACED_LETTER = re.compile("[æœøłđðþıħŧŋĸ]")


def fold(text: str) -> str:
    """Return `text` without case, accents and other variants of the same letters.

    ASCII signs separate independent parts: fold(a + "," + b) = fold(a) + "," + fold(b).
    """
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", limit_marks(text)).casefold()
    text = DROPPED_CHARACTERS.sub("", unicodedata.normalize("NFD", text))
    if _HAS_REPLACED_LETTER.search(text):
        text = text.translate(REPLACED_LETTERS)
    # Normalize again: folded characters may now compose, and the result may change.
    return unicodedata.normalize("NFKC", text)


def fold_case(text: str) -> str:
    """Return `text` in one form for every case and Unicode form; accents stay.

    Texts with equal forms are a compatibility caseless match (Unicode, section 3.13,
    D146). The form of a text that is not empty is not empty.
    """
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFD", text).casefold()
    folded = unicodedata.normalize("NFKD", folded).casefold()
    return unicodedata.normalize("NFKC", folded)


def limit_marks(text: str) -> str:
    """Return `text` with at most 30 combining marks in a row."""
    # Any 31 characters in a row include one of the sample.
    sample = text[_MAX_MARKS_OF_A_LETTER :: _MAX_MARKS_OF_A_LETTER + 1]
    if _MARK.search(sample) is None or _MARKS.search(text) is None:
        return text
    return _long_mark_row().sub(lambda row: row[0][:_MAX_MARKS_OF_A_LETTER], text)


@cache
def _long_mark_row() -> re.Pattern[str]:
    marks = filter(unicodedata.combining, map(chr, range(0x300, 0x1F000)))
    return re.compile(f"[{ranges(marks)}]{{{_MAX_MARKS_OF_A_LETTER + 1},}}")


def ranges(characters: Iterable[str]) -> str:
    """Return the sorted `characters` as the inside of a regular-expression class."""
    spans: list[list[str]] = []
    for each in characters:
        if spans and ord(each) == ord(spans[-1][1]) + 1:
            spans[-1][1] = each
        else:
            spans.append([each, each])
    return "".join(
        re.escape(first) if first == last else f"{re.escape(first)}-{re.escape(last)}"
        for first, last in spans
    )
