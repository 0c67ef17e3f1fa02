"""Finds the parts of a text that may hold a term, so that only these are folded.

To fold a text takes longer than all else that is done with it. Here it is looked at as
it is written, for the first letters of the words that are sought, in any of their forms.
Too much may be found, but never too little.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from chatstore.analyzer import PLAIN, UNWRITTEN, fold, is_unspaced
from chatstore.matching import Term

Range = tuple[int, int]

# Signs that part words in every script, and fold by themselves.
_APART = frozenset(
    [*(chr(code) for code in range(0x80) if not chr(code).isalnum())]
    + [*"\u060c\u061b\u061f\u0964\u0965\u3001\u3002\uff01\uff08\uff09\uff0c\uff1a\uff1b\uff1f"]
)
_SIGN_APART = re.compile(f"[{re.escape(''.join(sorted(_APART)))}]")
# With more words, a pattern takes longer than looking at each word of a text.
_MOST_WORDS = 10
# So many letters of a word tell most others apart.
_LETTERS = 4
# The later letters of a Hangul syllable, which join the first.
_LATER_LETTERS = (*range(0x1160, 0x1200), *range(0xD7B0, 0xD800))
# Beyond the first plane, whatever may fold to something else. None of it is frequent.
_STYLED = "\U00010000-\U0001f2ff\U0001fb00-\U0001fbff\U0002f800-\U0002fa1f"
# Where characters are that change when they are folded. Han and Hangul never do.
_CHANGING = (*range(0x3400), *range(0xA000, 0xAC00), *range(0xF900, 0xFFFE))


@dataclass(frozen=True)
class _Forms:
    """What texts have for a folded character.

    `alone` is folded to the character, `among` to it and others. `passed` is folded
    away, or joined to the character before.
    """

    alone: dict[str, list[str]]
    among: dict[str, list[str]]
    passed: str


def parts_near(text: str, terms: Sequence[Term]) -> Iterator[Range]:
    """Yield the parts of the text, in their order, that may hold a term.

    A part begins and ends between words, so that it folds as it does in the text. It is
    the whole text if that is quicker: for words of one letter and for phrases, which
    have signs between their words.
    """
    begins = frozenset(term.words[0] for term in terms)
    if not text or not begins:
        return
    if len(begins) > _MOST_WORDS or not all(map(_is_in_one_part, terms)):
        yield 0, len(text)
        return
    if text.isascii():
        pattern, looked_at = _ascii_pattern(begins), text.lower()
    else:
        pattern, looked_at = _pattern(begins), text
    end = 0
    found = pattern.search(looked_at)
    while found is not None:
        start = found.start()
        while start > end and text[start - 1] not in _APART:
            start -= 1
        sign = _SIGN_APART.search(text, found.start())
        end = sign.start() if sign else len(text)
        # A sign that is sought itself, such as an emoji, is no part by itself.
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
    return len(word) > 1 or is_unspaced(word) or not word.isalnum()


@lru_cache(maxsize=64)
def _ascii_pattern(begins: frozenset[str]) -> re.Pattern[str]:
    words = sorted(re.escape(word) for word in begins if word.isascii())
    return re.compile("|".join(words) or "(?!)")


@lru_cache(maxsize=64)
def _pattern(begins: frozenset[str]) -> re.Pattern[str]:
    """Return what matches where one of the words may begin.

    It begins with all first letters at once: Python looks for a class quickly.
    """
    words = [_letters(word) for word in sorted(begins)]
    forms = _forms()
    passed = f"[{forms.passed}]*"
    firsts = {each for word in words for each in _written(word[0])}
    # Of these, others of the letters may come.
    several = {
        each
        for word in words
        for letter in word
        for part in _beginnings(letter)
        for each in forms.among.get(part, ())
    }
    on_sight = _inside(several) + _STYLED
    endings = sorted(
        {
            "".join(f"{passed}[{_inside(_written(letter))}]" for letter in word[1:])
            for word in words
        }
    )
    return re.compile(
        f"[{_inside(firsts)}{on_sight}](?:(?<=[{on_sight}])|{'|'.join(endings)})"
    )


def _letters(word: str) -> str:
    """Return the first letters of a word, up to a mark that may change its place."""
    for place in range(1, min(_LETTERS, len(word))):
        if unicodedata.combining(word[place]):
            return word[:place]
    return word[:_LETTERS]


def _beginnings(letter: str) -> Iterator[str]:
    """Yield the letters to which marks or letters are joined to make this one."""
    parts = unicodedata.normalize("NFD", letter)
    for length in range(1, len(parts) + 1):
        yield unicodedata.normalize("NFC", parts[:length])


def _written(letter: str) -> set[str]:
    """Return the characters that a text may have for the letter."""
    forms = _forms().alone
    parts = list(_beginnings(letter))
    return {*parts, *(each for part in parts for each in forms.get(part, ()))}


@cache
def _forms() -> _Forms:
    characters = [*filter(_is_changed, map(chr, _CHANGING))]
    alone: dict[str, list[str]] = {}
    among: dict[str, list[str]] = {}
    joined, gone = set(map(chr, _LATER_LETTERS)), []
    folded = fold("\n".join(characters)).split("\n")
    for character, becomes in zip(characters, folded, strict=True):
        joined |= {*unicodedata.normalize("NFD", becomes)[len(becomes) :]}
        for each in becomes:
            forms = alone if len(becomes) == 1 else among
            forms.setdefault(each, []).append(character)
        if not becomes:
            gone.append(character)
    passed = [*joined, *gone, *(form for one in joined for form in alone.get(one, ()))]
    return _Forms(alone, among, _inside({*passed}))


def _is_changed(character: str) -> bool:
    return (
        unicodedata.decomposition(character) != ""
        or character.casefold() != character
        or ord(character) in PLAIN
        or UNWRITTEN.match(character) is not None
    )


def _inside(characters: Iterable[str]) -> str:
    return re.escape("".join(sorted(characters)))
