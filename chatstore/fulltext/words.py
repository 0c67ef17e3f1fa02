"""Splits text into the words that search compares, the same for every database.

Must not know what an index can hold: `positions` does.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from heapq import merge
from operator import add, itemgetter

from chatstore.fulltext.folding import fold, limit_marks, ranges

INDEXED_CHARACTERS = 100_000
# Folding turns U+FDFA into 18 characters, so we drop folded characters beyond this.
FOLDED_CHARACTERS = 2 * INDEXED_CHARACTERS
# Three bytes fold to at most 18 characters, so a text up to this size needs no cut.
WHOLE_BYTES = FOLDED_CHARACTERS // 6
WORD_LENGTH = 100

# Scripts without spaces between words, and Korean, whose words take endings.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eff"  # Thai, Lao
    "\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17d7\u17dc-\u17dd"  # Myanmar, Khmer
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3021-\u3029\u3041-\u3096\u3099-\u309a\u309d-\u309f"  # Hiragana
    "\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # Katakana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_FIRST_UNSPACED = "\u0e01"
# Vowel signs and viramas, which belong to a word but are no letters to Python.
_SIGNS = "\u0900-\u0963\u0971-\u0d65\u0d70-\u0df3\u0f35-\u0f39\u0f71-\u0fbc"
_PICTURES = "\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
# The classes are disjoint, so the pattern reads no text twice.
_LETTER = f"[^\\W_{_UNSPACED}{_SIGNS}]"
_TOKEN = re.compile(f"[{_UNSPACED}]+|(?:{_LETTER}+|[{_SIGNS}]+)+|[{_PICTURES}]")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_STANDS_ALONE = re.compile(f"[{_UNSPACED}{_PICTURES}]")
# Where a word may begin, unless the script has no spaces.
WORD_START = f"(?<!{_LETTER})(?<![{_SIGNS}])"
_ASCII_WORD = re.compile(f"([a-z0-9]{{1,{WORD_LENGTH}}})[a-z0-9]*")
_ASCII_RUN = re.compile("[a-z0-9]+")
# Numbers in a row, as in dates, times, versions and addresses.
_NUMBERS = re.compile("(?<![0-9])[0-9]++(?:[-.:/][0-9]++)++")
_NUMBER = re.compile("[0-9]+")
_ASCII_LETTER = re.compile("[A-Za-z]")

_FOLD_TO_TWO_LETTERS = "æǣǽœþ"
_PIECE = 4096


@dataclass(frozen=True)
class Token:
    """A word as the index stores it.

    An unspaced run is indexed as its pairs of neighbours and its last character:
    数据库 as 数据, 据库 and 库.
    """

    word: str
    is_pair: bool = False
    is_last_character: bool = False


def words_of(text: str) -> list[str]:
    """Return the words of the indexed part of `text`, in order."""
    text = text[:INDEXED_CHARACTERS]
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return words_of_folded(fold(text)[:FOLDED_CHARACTERS])


def is_whole(text: str, *, max_folded: int = FOLDED_CHARACTERS) -> bool:
    """Whether `words_of` drops no part of `text`.

    A page has many texts, so this does only those steps of folding that lengthen a
    text, and stops at the bound.
    """
    if len(text) > INDEXED_CHARACTERS:
        return False
    length = 0
    for start in range(0, 0 if text.isascii() else len(text), _PIECE):
        piece = limit_marks(text[start : start + _PIECE])
        piece = unicodedata.normalize("NFKC", piece).casefold()
        length += len(piece) + sum(map(piece.count, _FOLD_TO_TWO_LETTERS))
        if length > max_folded:
            return False
    return True


def words_of_folded(folded: str) -> list[str]:
    """Return the words of a text that is folded already."""
    if folded.isascii():  # as most Latin script is once folded, even Vietnamese
        return _ASCII_WORD.findall(folded)
    words: list[str] = []
    for run in _TOKEN.findall(folded):
        if run < _FIRST_UNSPACED or not _IS_UNSPACED.match(run):
            words.append(run if len(run) <= WORD_LENGTH else run[:WORD_LENGTH])
        else:
            words += map(add, run, run[1:])
            words.append(run[-1])
    return words


def tokens_of(text: str) -> list[Token]:
    """Return the words of the whole `text` as tokens, for a query."""
    tokens: list[Token] = []
    for run in _TOKEN.findall(fold(text)):
        if not _IS_UNSPACED.match(run):
            tokens.append(Token(run[:WORD_LENGTH]))
            continue
        pairs = zip(run, run[1:], strict=False)
        tokens += [Token(one + other, is_pair=True) for one, other in pairs]
        tokens.append(Token(run[-1], is_last_character=True))
    return tokens


def spans_of(folded: str, start: int = 0) -> Iterator[tuple[str, int, int]]:
    """Yield (word, start, end) for each word of a folded text from `start` on."""
    pattern = _ASCII_RUN if folded.isascii() else _TOKEN
    for run in pattern.finditer(folded, start):
        begin, end = run.span()
        if run[0] < _FIRST_UNSPACED or not _IS_UNSPACED.match(run[0]):
            yield run[0][:WORD_LENGTH], begin, end
            continue
        for place in range(begin, end - 1):
            yield folded[place : place + 2], place, place + 2
        yield folded[end - 1], end - 1, end


def first_word(text: str) -> str | None:
    """Return the first word of `text`, if it has one."""
    run = _TOKEN.search(fold(text))
    if run is None:
        return None
    return run[0][:2] if _IS_UNSPACED.match(run[0]) else run[0][:WORD_LENGTH]


def is_unspaced(word: str) -> bool:
    """Whether the word is in a script without spaces between words."""
    return _IS_UNSPACED.match(word) is not None


def stands_alone(word: str) -> bool:
    """Whether the word may begin right after a letter, as emoji and pairs do."""
    return _STANDS_ALONE.match(word) is not None


Span = tuple[str, int, int]


def compounds_of(text: str) -> Iterator[list[Span]]:
    """Yield, for each compound in `text`, its parts as (part, start, end).

    A compound is an identifier in camelCase or a row of numbers next to a letter. The
    identifier getUserById has get, User, By, Id; HTTPServer has HTTP and Server;
    parseJSON2 has parse, JSON and 2; PDFs and order4300 are no compounds. The rows are
    the numbers of v3.11.7, and both the date and the time of 2026-03-05T10:35:07Z.
    Parts keep the case of the text.
    """
    for start, end, part in _compounds(text):
        yield [(each[0], *each.span()) for each in part.finditer(text, start, end)]


def parts_of(text: str) -> list[list[str]]:
    """Return the folded parts of each distinct compound, see `compounds_of`."""
    lines = dict.fromkeys(
        " ".join(part.findall(text, start, end))
        for start, end, part in _compounds(text)
    )
    folded = fold("\n".join(lines)).split("\n") if lines else []
    return [words_of_folded(line) for line in folded]


# The start and end of a compound, and the pattern that finds its parts.
_Compound = tuple[int, int, re.Pattern[str]]


def _compounds(text: str) -> Iterator[_Compound]:
    return merge(_identifiers(text), _numbers(text), key=itemgetter(0))


def _numbers(text: str) -> Iterator[_Compound]:
    for row in _NUMBERS.finditer(text):
        start, end = row.span()
        if _ASCII_LETTER.match(text[start - 1 : start]) or _ASCII_LETTER.match(
            text, end
        ):
            yield start, end, _NUMBER


def _identifiers(text: str) -> Iterator[_Compound]:
    border, letter, part = _ascii_camel() if text.isascii() else _any_camel()
    found = border.search(text)
    while found is not None:
        start = found.start()
        while letter.match(text[start - 1 : start]):
            start -= 1
        run = letter.match(text, found.start())
        end = run.end() if run else found.end()
        yield start, end, part
        found = border.search(text, end)


@cache
def _ascii_camel() -> tuple[re.Pattern[str], ...]:
    return _camel("A-Z", "a-z", "0-9")


@cache
def _any_camel() -> tuple[re.Pattern[str], ...]:
    # Python's regular expressions have no class of upper-case letters, so we list them.
    # Beyond U+10FFF we need only Adlam; most others are letters of mathematics.
    codes = (*range(0xD800), *range(0xE000, 0x11000), *range(0x1E900, 0x1E944))
    letters = [chr(code) for code in codes if chr(code).isalpha()]
    upper, lower = filter(str.isupper, letters), filter(str.islower, letters)
    return _camel(ranges(upper), ranges(lower), "0-9")


def _camel(upper: str, lower: str, digits: str) -> tuple[re.Pattern[str], ...]:
    # Most letters are lower case, so the pattern begins with upper case to skip them.
    border = (
        f"[{upper}](?:(?<=[{lower}][{upper}])|(?<=[{upper}][{upper}])[{lower}]{{2}})"
    )
    return (
        re.compile(border),
        re.compile(f"[{upper}{lower}{digits}]+"),
        re.compile(f"[{upper}]+(?![{lower}])|[{upper}]?[{lower}]+|[{digits}]+"),
    )
