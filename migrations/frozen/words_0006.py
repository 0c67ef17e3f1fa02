"""The search words of step 0006: a copy of analyzer.py, layout.py and entries.py.

This code never changes: a new format of the index needs a new step with a new copy. A
test compares its words with those of chatstore.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from heapq import merge
from operator import add, itemgetter
from uuid import UUID

INDEXED_CHARACTERS = 100_000
# Folding turns U+FDFA into 18 characters, so we cut folded text at this bound.
FOLDED_CHARACTERS = 2 * INDEXED_CHARACTERS
WORD_LENGTH = 100
# Python sorts the marks of a letter in quadratic time. Unicode's Stream-Safe Text
# Format allows 30, so we drop the others.
_MARKS_OF_A_LETTER = 30
# A quick search that finds every crowd of marks, among others.
_NO_LETTER = re.compile("[^\\w\x00-\x7f]")
_NO_LETTERS = re.compile(f"[^\\w\x00-\x7f]{{{_MARKS_OF_A_LETTER + 1}}}")

# Scripts without spaces between words, and Korean, whose words grow endings.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eff"  # Thai, Lao
    "\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17d7\u17dc-\u17dd"  # Myanmar, Khmer
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3021-\u3029\u3041-\u3096\u3099-\u309a\u309d-\u309f"  # Hiragana
    "\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # Katakana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
_FIRST_UNSPACED = "\u0e01"
# Vowel signs and viramas belong to a word, but \w of Python does not match them.
_SIGNS = "\u0900-\u0963\u0971-\u0d65\u0d70-\u0df3\u0f35-\u0f39\u0f71-\u0fbc"
_PICTURES = "\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
# The classes are disjoint, so that no text is read twice.
_LETTER = f"[^\\W_{_UNSPACED}{_SIGNS}]"
_TOKEN = re.compile(f"[{_UNSPACED}]+|(?:{_LETTER}+|[{_SIGNS}]+)+|[{_PICTURES}]")
# Numbers in a row, as in dates, times, versions and addresses.
_NUMBERS = re.compile("(?<![0-9])[0-9]++(?:[-.:/][0-9]++)++")
_NUMBER = re.compile("[0-9]+")
_ASCII_LETTER = re.compile("[A-Za-z]")
_IS_UNSPACED = re.compile(f"[{_UNSPACED}]")
_ASCII_WORD = re.compile(f"([a-z0-9]{{1,{WORD_LENGTH}}})[a-z0-9]*")

# Marks that people leave out (accents, Hebrew points, Arabic vowels), tatweel, the soft
# hyphen and other invisible characters.
_UNWRITTEN = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
    "\u06e7\u06e8\u06ea-\u06ed\u00ad\u2060\ufeff]+"
)
# Letters that no normalization form decomposes.
_PLAIN = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
    | {"ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n", "ĸ": "k"}
)
_HAS_PLAIN = re.compile("[æœøłđðþıħŧŋĸ]")


def fold(text: str) -> str:
    """Return `text` without case, accents and other variants of spelling.

    Parts of a text between ASCII signs fold to the same one by one and together.
    """
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", without_crowds(text)).casefold()
    text = _UNWRITTEN.sub("", unicodedata.normalize("NFD", text))
    if _HAS_PLAIN.search(text):
        text = text.translate(_PLAIN)
    # Folded characters may compose to one that has a plain form, so we do NFKC again.
    return unicodedata.normalize("NFKC", text)


def without_crowds(text: str) -> str:
    """Return `text` with at most 30 combining marks in a row."""
    # Of 31 characters in a row, one is in the sample.
    sample = text[_MARKS_OF_A_LETTER :: _MARKS_OF_A_LETTER + 1]
    if _NO_LETTER.search(sample) is None or _NO_LETTERS.search(text) is None:
        return text
    return _crowd().sub(lambda crowd: crowd[0][:_MARKS_OF_A_LETTER], text)


def words_of(text: str) -> list[str]:
    """Return the words of the indexed part of `text`, in order."""
    text = text[:INDEXED_CHARACTERS]
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    return words_of_folded(fold(text)[:FOLDED_CHARACTERS])


def words_of_folded(folded: str) -> list[str]:
    """Return the words of a folded text."""
    if folded.isascii():  # true of Vietnamese and most Latin text
        return _ASCII_WORD.findall(folded)
    words: list[str] = []
    for run in _TOKEN.findall(folded):
        if run < _FIRST_UNSPACED or not _IS_UNSPACED.match(run):
            words.append(run if len(run) <= WORD_LENGTH else run[:WORD_LENGTH])
        else:
            words += map(add, run, run[1:])
            words.append(run[-1])
    return words


def first_word(text: str) -> str | None:
    """Return the first word of `text`."""
    run = _TOKEN.search(fold(text))
    if run is None:
        return None
    return run[0][:2] if _IS_UNSPACED.match(run[0]) else run[0][:WORD_LENGTH]


def parts_of(text: str) -> list[list[str]]:
    """Return, for each distinct compound (see `_compounds`), the words of its parts."""
    lines = dict.fromkeys(
        " ".join(part.findall(text, start, end))
        for start, end, part in _compounds(text)
    )
    folded = fold("\n".join(lines)).split("\n") if lines else []
    return [words_of_folded(line) for line in folded]


# Start and end of a compound, and the pattern that finds its parts.
_Compound = tuple[int, int, re.Pattern[str]]


def _compounds(text: str) -> Iterator[_Compound]:
    """Yield the compounds in `text`, in order of their start.

    Identifiers in camelCase are compounds: getUserById has get, User, By, Id;
    HTTPServer has HTTP and Server; parseJSON2 has parse, JSON and 2. PDFs and order4300
    are not compounds. Numbers in a row with a letter before or after them are compounds
    too: those of v3.11.7, and both the date and the time of 2026-03-05T10:35:07Z.
    """
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
def _crowd() -> re.Pattern[str]:
    marks = filter(unicodedata.combining, map(chr, range(0x300, 0x1F000)))
    return re.compile(f"[{_ranges(marks)}]{{{_MARKS_OF_A_LETTER + 1},}}")


@cache
def _ascii_camel() -> tuple[re.Pattern[str], ...]:
    return _camel("A-Z", "a-z", "0-9")


@cache
def _any_camel() -> tuple[re.Pattern[str], ...]:
    # Python's regular expressions have no class of upper case, so we list the letters.
    # Beyond U+10FFF we need only Adlam: the others are letters of mathematics.
    codes = (*range(0xD800), *range(0xE000, 0x11000), *range(0x1E900, 0x1E944))
    letters = [chr(code) for code in codes if chr(code).isalpha()]
    upper, lower = filter(str.isupper, letters), filter(str.islower, letters)
    return _camel(_ranges(upper), _ranges(lower), "0-9")


def _camel(upper: str, lower: str, digits: str) -> tuple[re.Pattern[str], ...]:
    # Most letters are lower case. The pattern begins with upper case to skip them fast.
    border = (
        f"[{upper}](?:(?<=[{lower}][{upper}])|(?<=[{upper}][{upper}])[{lower}]{{2}})"
    )
    return (
        re.compile(border),
        re.compile(f"[{upper}{lower}{digits}]+"),
        re.compile(f"[{upper}]+(?![{lower}])|[{upper}]?[{lower}]+|[{digits}]+"),
    )


def _ranges(characters: Iterator[str]) -> str:
    """Return the sorted `characters` as the inside of a character class."""
    ranges: list[list[str]] = []
    for each in characters:
        if ranges and ord(each) == ord(ranges[-1][1]) + 1:
            ranges[-1][1] = each
        else:
            ranges.append([each, each])
    return "".join(f"{first}-{last}" for first, last in ranges)


# A tsvector counts places up to 16,383 and keeps 255 of a word. It moves all later
# places to 16,383, so we stay below.
LAST_PLACE = 16_381
PLACES_OF_A_WORD = 255
# A tsvector holds just under 1 MiB of words and places, and scopes need some of it.
MOST_BYTES = 1_040_000

# Words with letters of four bytes, their parts, and all of these with a minus would not
# fit into a tsvector, so we cut those with a minus.
_WRITTEN_BYTES = 40

# Characters of private use, which no word of a text contains.
GAP, NOTHING, _WRITTEN, _SIGN, UNPLACED = (
    "\ue000",
    "\ue001",
    "\ue002",
    "\ue003",
    "\ue004",
)

STRAIGHT = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
# A minus that is not inside a word, and the text after it. Quoted text ends at the next
# quotation mark, other text at the next space, and both at the next such minus.
_MINUS = re.compile(
    r'(?<![\w-])-+(?:"((?:[^"-]|(?<=[\w-])-)*)|((?:[^\s"-]|(?<=[\w-])-)*))'
)


@dataclass(frozen=True)
class IndexWords:
    """The words of a text that are indexed.

    Each of `stretches` is a list of consecutive words, and a phrase lies within one.
    The first has the words of the text; each other one has the parts of a compound.
    `loose` words have no place: they are words written with a minus, and the signs of
    a text without words.
    """

    stretches: list[list[str]]
    loose: list[str]

    def in_a_row(self) -> list[str]:
        """Return all words, with a GAP between words that are not consecutive."""
        row = list(self.stretches[0])
        for words in (*self.stretches[1:], *([word] for word in self.loose)):
            row.append(GAP)
            row += words
        return row


@dataclass(frozen=True)
class Layout:
    """Words laid out for a tsvector.

    `places` maps each word to its places, which are empty if there was no room.
    `is_complete` is whether every occurrence of a word has its place.
    """

    places: dict[str, list[int]]
    is_complete: bool


def index_words(text: str) -> IndexWords:
    """Return the words to index of the first `INDEXED_CHARACTERS` of `text`."""
    text = text[:INDEXED_CHARACTERS]
    words = words_of(text)
    if not words:
        return IndexWords([[]], sign_words(text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", without_crowds(text))
    return IndexWords([words, *parts_of(text)], _written_words(text))


def written(word: str) -> str:
    """Return the index word for `word` written with a minus."""
    return _WRITTEN + word.encode()[:_WRITTEN_BYTES].decode(errors="ignore")


def sign_words(text: str) -> list[str]:
    """Return an index word for each distinct piece of a text that has only signs.

    White space separates the pieces. A text of only white space is one piece.
    """
    pieces = dict.fromkeys(text.split()) or [text and " "]
    return [
        _SIGN + _digest(unicodedata.normalize("NFC", without_crowds(each)))
        for each in filter(None, pieces)
    ]


def lay_out(words: IndexWords) -> Layout:
    """Give each word its places, as far as a tsvector holds them.

    Words take their bytes first, and places get the rest. Words have at most 8 bytes
    for each of the 100,000 characters: pairs of Han beyond U+20000.
    """
    everything = [word for stretch in words.stretches for word in stretch]
    places, free = _without_places([*everything, *words.loose])
    is_complete, place = len(places) == len({*everything, *words.loose}), 0
    for stretch in words.stretches:
        place += 1 if place else 0
        # A word without a place leaves a gap, so that no phrase spans it.
        is_apart = True
        for word in stretch:
            taken = places.get(word)
            cost = 2 if taken else 5  # PostgreSQL's alignment, the count, one place
            if (
                taken is None
                or place >= LAST_PLACE
                or len(taken) == PLACES_OF_A_WORD
                or cost > free
            ):
                place += not is_apart
                is_apart, is_complete = True, False
                continue
            place += 1
            taken.append(place)
            free -= cost
            is_apart = False
    return Layout(places, is_complete)


def _without_places(words: Iterable[str]) -> tuple[dict[str, list[int]], int]:
    """Return the words that fit, each with no places, and the number of free bytes."""
    places: dict[str, list[int]] = {}
    free = MOST_BYTES
    for word in dict.fromkeys(words):
        size = len(word.encode())
        if size <= free:
            places[word] = []
            free -= size
    return places, free


def _written_words(text: str) -> list[str]:
    if "-" not in text:
        return []
    pieces = dict.fromkeys(
        quoted or plain for quoted, plain in _MINUS.findall(text.translate(STRAIGHT))
    )
    words = filter(None, map(first_word, pieces))
    return [written(word) for word in dict.fromkeys(words)]


def _digest(piece: str) -> str:
    encoded = piece.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()


_SCOPE_PREFIX = "_"  # no word of a text has an underscore

# Matches the entries in which a word lacks a place.
UNPLACED_TSQUERY = f"'{UNPLACED}'"


def owner_scope(owner_id: str) -> str:
    """Return the scope word of this owner's entries."""
    return "o" + hashlib.blake2b(owner_id.encode(), digest_size=8).hexdigest()


def session_scope(session_id: UUID) -> str:
    """Return the scope word of this session's entries."""
    return "s" + session_id.hex


def role_scope(role: str) -> str:
    """Return the scope word of the messages with this role."""
    return "r" + re.sub("[^a-z]", "", role)


def scopes_of(owner_id: str, session_id: UUID, role: str = "") -> list[str]:
    """Return the scope words of a message, or of a session's name."""
    scopes = [owner_scope(owner_id), session_scope(session_id)]
    return [*scopes, role_scope(role)] if role else scopes


def fts5_words(text: str) -> str:
    """Return the words of `text`, separated for FTS5's tokenizer `ascii`."""
    return " ".join(index_words(text).in_a_row())


def tsvector_words(text: str, scopes: Sequence[str]) -> str:
    """Return the tsvector literal of `text`; no text parser reads it."""
    layout = lay_out(index_words(text))
    lexemes = [
        f"'{word}':{','.join(map(str, places))}" if places else f"'{word}'"
        for word, places in layout.places.items()
    ]
    if not layout.is_complete:
        lexemes.append(UNPLACED_TSQUERY)
    lexemes += [f"'{_SCOPE_PREFIX}{scope}'" for scope in scopes]
    return " ".join(lexemes)
