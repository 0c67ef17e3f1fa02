"""Finds the parts of a text that may hold a term, so that only these are folded.

Folding costs more than all other work on a text. So a pattern first looks in the
unfolded text for a few letters of each word, in every form that folds to them. It may
match too much, never too little.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from chatstore.fulltext.matching import Term
from chatstore.fulltext.words import PLAIN, UNWRITTEN, fold, is_unspaced, ranges

Range = tuple[int, int]

# Signs that part words in every script, and fold by themselves.
_APART = frozenset(
    [*(chr(code) for code in range(0x80) if not chr(code).isalnum())]
    + [
        *"\u060c\u061b\u061f\u0964\u0965\u3001\u3002\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
    ]
)
_SIGN_APART = re.compile(f"[{re.escape(''.join(sorted(_APART)))}]")
# With more words, a pattern takes longer than looking at each word of a text.
MOST_IN_A_PATTERN = 10
# A pattern has this many letters of a word: enough to tell it from most others.
_MOST_LETTERS = 4
# Signs, ligatures, wide and narrow forms, and mathematicians' and old letters: they may
# fold to anything. A word that has one is always looked at; few texts have many.
_ODD = (
    "\u2070-\u209f\u2100-\u218f\u2460-\u24ff\u3200-\u33ff\ufb00-\ufdff\ufe30-\ufefe"
    "\uff10-\uff19\uff21-\uffef"
)
_ODD_BEYOND = "\U00010000-\U0001f2ff\U0001fb00-\U0001fbff\U0002f800-\U0002fa1f"
# Where the other characters are that change when they are folded.
_CHANGING = (*range(0x2100), *range(0x2C00, 0x3200), *range(0xA000, 0xAC00)) + (
    *range(0xF900, 0xFB00),
    *range(0xFF01, 0xFF21),
)

# Folding removes marks or joins them to the letter before. Python counts most of them
# as no letters; tatweel and the later letters of a Hangul syllable are letters.
_MARK = "[^\\w\0-\x7f]"
# A pattern that skipped any number of marks would take quadratic time, so more than
# this many in a row always match.
_MOST_MARKS = 3
_JOINING = "\u0640\u1160-\u11ff\u3130-\u318f\ud7b0-\ud7ff"


@dataclass(frozen=True)
class _Forms:
    """By folded character: what is folded to it alone, and to it and others."""

    to_one: dict[str, list[str]]
    to_several: dict[str, list[str]]


def parts_near(text: str, terms: Sequence[Term]) -> Iterator[Range]:
    """Yield the parts of the text, in their order, that may hold a term.

    A part begins and ends between words, so that it folds as it does in the text. It is
    the whole text if that is quicker: for words of one letter, and for numbers and
    phrases, which have signs between them.
    """
    begins = frozenset(term.words[0] for term in terms)
    if not text or not begins:
        return
    if len(begins) > MOST_IN_A_PATTERN or not all(map(_is_in_one_part, terms)):
        yield 0, len(text)
        return
    if text.isascii():
        pattern, looked_at = _ascii_pattern(begins), text.lower()
    else:
        pattern, looked_at = _pattern(begins, _is_basic(text)), text
    end = number = 0
    found = pattern.search(looked_at)
    while found is not None:
        start = found.start()
        while start > end and text[start - 1] not in _APART:
            start -= 1
        # Each part is longer than the one before, so that no text has many.
        number += 1
        longer = start + number * number // 16
        sign = _SIGN_APART.search(text, max(found.start(), longer))
        end = sign.start() if sign else len(text)
        yield start, end
        found = pattern.search(looked_at, end)


def run_of(term: Term) -> str | None:
    """Return the run without spaces that the term is: 数据库 for 数据 and 据库."""
    if len(term.words) == 1 and term.is_prefix and is_unspaced(term.words[0]):
        return term.words[0]
    if not all(len(word) == 2 and is_unspaced(word) for word in term.words):
        return None
    pairs = zip(term.words, term.words[1:], strict=False)
    if term.is_prefix or any(one[1] != other[0] for one, other in pairs):
        return None
    return term.words[0][0] + "".join(word[1] for word in term.words)


def _is_in_one_part(term: Term) -> bool:
    """Whether no sign can be in the term: it is a word, or a run without spaces."""
    if len(term.words) > 1:
        return run_of(term) is not None
    word = term.words[0]
    if word.isdecimal():  # may be in a row of numbers, as in 2026-03-05T10:35
        return False
    return len(word) > 1 or is_unspaced(word) or not word.isalnum()


@lru_cache(maxsize=64)
def _ascii_pattern(begins: frozenset[str]) -> re.Pattern[str]:
    words = sorted(re.escape(word) for word in begins if word.isascii())
    return re.compile("|".join(words) or "(?!)")


@lru_cache(maxsize=64)
def _pattern(begins: frozenset[str], is_basic: bool) -> re.Pattern[str]:
    """Return what matches where one of the words may begin.

    It begins with all first letters at once: Python looks for a class quickly, unless
    that has characters beyond the first plane.
    """
    words = [_letters(word) for word in sorted(begins)]
    always = _among(word[0] for word in words) + _ODD
    if not is_basic:
        always += _ODD_BEYOND
    firsts = _class_of({each for word in words for each in _written(word[0])})
    endings = "|".join(sorted({_ending(word[1:]) for word in words}))
    return re.compile(f"[{firsts}{always}](?:{endings}|(?<=[{always}]))")


def _ending(letters: str) -> str:
    """Return a pattern for letters, up to the first character that may be several."""
    if not letters:
        return ""
    alone = _class_of(_written(letters[0]))
    several = _among(letters[0]) + _JOINING + _ODD + _ODD_BEYOND
    following = f"[{alone}{several}]"
    if len(letters) > 1:
        following = f"(?:[{alone}]{_ending(letters[1:])}|[{several}])"
    many = f"{_MARK}{{{_MOST_MARKS + 1}}}"
    return f"(?:{many}|{_MARK}{{0,{_MOST_MARKS}}}{following})"


def _is_basic(text: str) -> bool:
    """Whether all characters are of Unicode's first plane, as in most texts."""
    return len(text.encode("utf-16-le", "surrogatepass")) == 2 * len(text)


def _among(letters: Iterable[str]) -> str:
    """Return the characters that fold to one of the letters and to others."""
    forms = _forms().to_several
    parts = {part for letter in letters for part in _beginnings(letter)}
    return _class_of({each for part in parts for each in forms.get(part, ())})


def _letters(word: str) -> str:
    """Return some letters of a word, up to a mark that may change its place.

    Not the first two if there are enough others: many words share these.
    """
    start = min(2, max(0, len(word) - _MOST_LETTERS))
    if unicodedata.combining(word[start]):
        start = 0
    end = start + 1
    last = min(start + _MOST_LETTERS, len(word))
    while end < last and not unicodedata.combining(word[end]):
        end += 1
    return word[start:end]


def _beginnings(letter: str) -> Iterator[str]:
    """Yield the letters to which marks or letters are joined to make this one."""
    parts = unicodedata.normalize("NFD", letter)
    for length in range(1, len(parts) + 1):
        yield unicodedata.normalize("NFC", parts[:length])


def _written(letter: str) -> set[str]:
    """Return the characters that a text may have for the letter."""
    forms = _forms().to_one
    parts = list(_beginnings(letter))
    return {*parts, *(each for part in parts for each in forms.get(part, ()))}


@cache
def _forms() -> _Forms:
    characters = [*filter(_is_changed, map(chr, _CHANGING))]
    to_one: dict[str, list[str]] = {}
    to_several: dict[str, list[str]] = {}
    folded = fold("\n".join(characters)).split("\n")
    for character, becomes in zip(characters, folded, strict=True):
        for each in becomes:
            forms = to_one if len(becomes) == 1 else to_several
            forms.setdefault(each, []).append(character)
    return _Forms(to_one, to_several)


def _is_changed(character: str) -> bool:
    return (
        unicodedata.decomposition(character) != ""
        or character.casefold() != character
        or ord(character) in PLAIN
        or UNWRITTEN.match(character) is not None
    )


def _class_of(characters: Iterable[str]) -> str:
    return ranges(sorted(characters))
