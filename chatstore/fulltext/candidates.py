"""Finds the parts of a text that may hold a term, so that only these are folded.

Folding costs more than all other work on a text. So a pattern first searches the
unfolded text for a few letters of each word, in every form that folds to them. It may
match too much, never too little.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import groupby

from chatstore.fulltext.folding import (
    DROPPED_CHARACTERS,
    REPLACED_LETTERS,
    fold,
    ranges,
)
from chatstore.fulltext.matching import Term
from chatstore.fulltext.words import is_unspaced

Range = tuple[int, int]

# Signs that separate words in every script and fold independently of their neighbours.
_SEPARATORS = frozenset(
    [*(chr(code) for code in range(0x80) if not chr(code).isalnum())]
    + [
        *"\u060c\u061b\u061f\u0964\u0965\u3001\u3002\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"
    ]
)
_SEPARATOR = re.compile(f"[{re.escape(''.join(sorted(_SEPARATORS)))}]")
# With more words than this, a pattern is slower than a check of every word of a text.
MAX_PATTERN_WORDS = 10
# A pattern uses this many letters of a word: enough to exclude most other words.
_MAX_LETTERS = 5
# Common letters of each script. A pattern that begins with one of them stops at many
# places, so `_start_penalty` avoids them.
_COMMON_LETTERS = frozenset(
    "adehilnorstu"  # Latin
    "αεηικνοπρστυ"  # Greek
    "авеилнорст"  # Cyrillic
    "אהוילמרת"  # Hebrew
    "اتلمنوري"  # Arabic
    "कनरसहतम\u093e\u093f\u0940\u0947\u094b\u094d\u0902"  # Devanagari, its signs too
)
# A mark that folds to a letter, signs, ligatures, wide and narrow forms, and letters of
# mathematics and old scripts. These may fold to anything, so a word that has one is
# always a candidate; few texts have many.
_UNPREDICTABLE = (
    "\u0345\u2070-\u209f\u2100-\u218f\u2460-\u24ff\u3200-\u33ff\ufb00-\ufdff\ufe30-\ufefe"
    "\uff10-\uff19\uff21-\uffef"
)
_UNPREDICTABLE_BEYOND_FIRST_PLANE = (
    "\U00010000-\U0001f2ff\U0001fb00-\U0001fbff\U0002f800-\U0002fa1f"
)
# The code points among which folding changes the other characters.
_CHANGED_CODES = (*range(0x2100), *range(0x2C00, 0x3200), *range(0xA000, 0xAC00)) + (
    *range(0xF900, 0xFB00),
    *range(0xFF01, 0xFF21),
)

# Folding removes a mark or joins it to the letter before. Most marks are no letters to
# Python; tatweel and the later letters of a Hangul syllable are, see `_JOINING`.
_MARK = "[^\\w\0-\x7f]"
# A pattern that skips any number of marks takes quadratic time, so a row of more marks
# than this always matches.
_MAX_MARKS = 3
_JOINING = "\u0640\u1160-\u11ff\u3130-\u318f\ud7b0-\ud7ff"


@dataclass(frozen=True)
class _Forms:
    """The characters that folding changes, keyed by what they fold to.

    The keys of `to_one` are one character long, those of `to_several` are longer.
    """

    to_one: dict[str, list[str]]
    to_several: dict[str, list[str]]


@dataclass(frozen=True)
class _Letter:
    """The characters that a text may have in place of one letter of a word.

    Those in `single` replace only this letter, those in `several` also its neighbours.
    """

    single: set[str]
    several: set[str]


def candidate_parts(text: str, terms: Sequence[Term]) -> Iterator[Range]:
    """Yield the [start, end) of each part of `text` that may hold a term, in order.

    A part begins and ends between words, so it folds as it does within the text. The
    whole text is one part where that is quicker: for many words, words of one letter,
    numbers, and phrases, which have signs between their words.
    """
    first_words = frozenset(term.words[0] for term in terms)
    if not text or not first_words:
        return
    if len(first_words) > MAX_PATTERN_WORDS or not all(map(_is_in_one_part, terms)):
        yield 0, len(text)
        return
    if text.isascii():
        pattern, searched_text = _ascii_pattern(first_words), text.lower()
    else:
        pattern, searched_text = _pattern(first_words, _is_basic(text)), text
    end = number = 0
    match = pattern.search(searched_text)
    while match is not None:
        start = match.start()
        while start > end and text[start - 1] not in _SEPARATORS:
            start -= 1
        # The minimum length of a part doubles every 15 parts, so no text has many.
        number += 1
        longer = start + (1 << number // 15)
        sign = _SEPARATOR.search(text, max(match.start(), longer))
        end = sign.start() if sign else len(text)
        yield start, end
        match = pattern.search(searched_text, end)


def unspaced_run_of(term: Term) -> str | None:
    """Return the unspaced run that the term spells, if any: 数据库 for 数据, 据库."""
    if len(term.words) == 1 and term.is_prefix and is_unspaced(term.words[0]):
        return term.words[0]
    if not all(len(word) == 2 and is_unspaced(word) for word in term.words):
        return None
    pairs = zip(term.words, term.words[1:], strict=False)
    if term.is_prefix or any(one[1] != other[0] for one, other in pairs):
        return None
    return term.words[0][0] + "".join(word[1] for word in term.words)


def _is_in_one_part(term: Term) -> bool:
    """Whether no sign can be in the term: it is one word, or one unspaced run."""
    if len(term.words) > 1:
        return unspaced_run_of(term) is not None
    word = term.words[0]
    if word.isdecimal():  # it may be in a row of numbers, as in 2026-03-05T10:35
        return False
    return len(word) > 1 or is_unspaced(word) or not word.isalnum()


@lru_cache(maxsize=64)
def _ascii_pattern(first_words: frozenset[str]) -> re.Pattern[str]:
    words = sorted(re.escape(word) for word in first_words if word.isascii())
    return re.compile("|".join(words) or "(?!)")


@lru_cache(maxsize=64)
def _pattern(first_words: frozenset[str], is_basic: bool) -> re.Pattern[str]:
    """Return a pattern that matches where one of the words may begin.

    It begins with one class of all first letters, which Python searches quickly. A
    class with characters beyond the first plane is slow, so `is_basic` leaves them out.
    """
    words = [_letters(word) for word in sorted(first_words)]
    firsts = _class_of(_union(word[0].single for word in words))
    always = (
        _class_of(_union(word[0].several for word in words)) + _JOINING + _UNPREDICTABLE
    )
    if not is_basic:
        always += _UNPREDICTABLE_BEYOND_FIRST_PLANE
    return re.compile(f"[{firsts}{always}](?:{_endings(words)}|(?<=[{always}]))")


def _endings(words: Sequence[Sequence[_Letter]]) -> str:
    """Return a pattern for what follows the first letter of one of the words.

    For several words, it first checks one class of all second letters, where most
    places fail.
    """
    if len(words) == 1:
        return _ending(words[0][1:])
    endings = "|".join(
        f"(?<=[{_class_of(word[0].single)}]){_ending(word[1:])}" for word in words
    )
    if any(len(word) == 1 for word in words):
        return endings
    seconds = _class_of(_union(word[1].single | word[1].several for word in words))
    return f"(?=[{seconds}]|{_MARK})(?:{endings})"


def _ending(letters: Sequence[_Letter]) -> str:
    """Return a pattern for `letters`; a long row of marks before one also matches."""
    if not letters:
        return ""
    following = f"[{_class_of(letters[0].single)}]{_ending(letters[1:])}"
    if letters[0].several:
        following = f"(?:{following}|[{_class_of(letters[0].several)}])"
    return f"(?:{_MARK}{{0,{_MAX_MARKS}}}{following}|{_MARK}{{{_MAX_MARKS + 1}}})"


def _is_basic(text: str) -> bool:
    """Whether all characters are in Unicode's first plane, as in most texts."""
    return len(text.encode("utf-16-le", "surrogatepass")) == 2 * len(text)


def _letters(word: str) -> list[_Letter]:
    """Return the letters of `word` that a pattern searches for, at most five.

    They begin with a rare letter if enough letters follow one. They skip the beginning
    of a long word, which many words share. Marks in a row may change their order, so
    each of them may stand for any other.
    """
    start = min(range(max(1, len(word) - 2)), key=partial(_start_penalty, word))
    letters: list[_Letter] = []
    for is_mark, run in groupby(word[start : start + _MAX_LETTERS], _is_mark):
        forms = [_forms_of(each) for each in run]
        for each in [_union(forms)] * len(forms) if is_mark else forms:
            letters.append(_Letter(each, set()))
    for characters, begin, end in _multi_letter_forms(word):
        if begin < start + len(letters) and end > start:
            letters[max(0, begin - start)].several.update(characters)
    return letters


def _is_mark(character: str) -> bool:
    return unicodedata.combining(character) > 0


def _multi_letter_forms(word: str) -> Iterator[tuple[list[str], int, int]]:
    """Yield (characters, start, end): each character may replace word[start:end].

    In a word with marks that is the whole word, because marks may change their order.
    """
    parts = unicodedata.normalize("NFD", word)
    has_marks = parts != word or any(map(_is_mark, parts))
    for folded, characters in _forms().to_several.items():
        if set(parts).isdisjoint(unicodedata.normalize("NFD", folded)):
            continue
        if has_marks:
            yield characters, 0, len(word)
            continue
        for place in _find_places(word, folded):
            yield characters, place, place + len(folded)


def _find_places(word: str, part: str) -> Iterator[int]:
    """Yield each place where `part` may begin in `word`, even if only some of it fits.

    A negative place cuts the beginning of `part`. In a script with spaces a word cannot
    begin right after a letter, so we skip a place whose cut is made of letters.
    """
    for place in range(1 - len(part), len(word)):
        cut = part[: max(0, -place)]
        there = word[max(0, place) : place + len(part)]
        if cut.isalpha() and not is_unspaced(cut[-1]):
            continue
        if part[len(cut) :].startswith(there):
            yield place


def _start_penalty(word: str, start: int) -> tuple[bool, int, int]:
    missing = max(0, start + _MAX_LETTERS - len(word))
    return word[start] in _COMMON_LETTERS, missing, abs(start - 2)


def _beginnings(letter: str) -> Iterator[str]:
    """Yield the NFC of each prefix of the letter's NFD: "e", then "é", for "é"."""
    parts = unicodedata.normalize("NFD", letter)
    for length in range(1, len(parts) + 1):
        yield unicodedata.normalize("NFC", parts[:length])


def _forms_of(letter: str) -> set[str]:
    """Return the characters that an unfolded text may have for the letter."""
    forms = _forms().to_one
    parts = list(_beginnings(letter))
    return {*parts, *(each for part in parts for each in forms.get(part, ()))}


@cache
def _forms() -> _Forms:
    characters = [*filter(_is_changed, map(chr, _CHANGED_CODES))]
    forms = _Forms({}, {})
    folded = fold("\n".join(characters)).split("\n")
    for character, becomes in zip(characters, folded, strict=True):
        if len(becomes) == 1:
            forms.to_one.setdefault(becomes, []).append(character)
        elif becomes:
            forms.to_several.setdefault(becomes, []).append(character)
    return forms


def _is_changed(character: str) -> bool:
    return (
        unicodedata.decomposition(character) != ""
        or character.casefold() != character
        or ord(character) in REPLACED_LETTERS
        or DROPPED_CHARACTERS.match(character) is not None
    )


def _union(sets: Iterable[set[str]]) -> set[str]:
    return set().union(*sets)


def _class_of(characters: Iterable[str]) -> str:
    return ranges(sorted(characters))
