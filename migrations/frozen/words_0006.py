"""The search words of step 0006: a copy of chatstore/analyzer.py and entries.py.

It changes no more: another format of the index is another step with another copy. A
test compares its words with those that chatstore makes.
"""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

INDEXED_CHARACTERS = 100_000
WORD_LENGTH = 100

# A tsvector counts places up to 16,383 and keeps 255 of a word. The last place is
# for words that have none, the one before it keeps these from being neighbours.
LAST_PLACE = 16_381
NO_PLACE = 16_383
PLACES_OF_A_WORD = 255
# It holds just under 1 MiB of words and places; the owner's own words need a little.
_MOST_BYTES = 1_040_000

# Scripts without spaces between words, and Korean, whose words grow endings.
_UNSPACED = (
    "\u0e01-\u0e3a\u0e40-\u0e4e\u0e81-\u0eff"  # Thai, Lao
    "\u1000-\u1049\u1050-\u109f\u1780-\u17d3\u17d7\u17dc-\u17dd"  # Myanmar, Khmer
    "\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff"  # Hangul
    "\u3005-\u3007\u3021-\u3029\u3041-\u3096\u3099-\u309a\u309d-\u309f"  # Hiragana
    "\u30a1-\u30fa\u30fc-\u312f\u31a0-\u31bf\u31f0-\u31ff"  # Katakana, Bopomofo
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
)
# Vowel signs and viramas, which belong to the word, but are no letters to Python.
_SIGNS = "\u0900-\u0963\u0971-\u0d65\u0d70-\u0df3\u0f35-\u0f39\u0f71-\u0fbc"
_PICTURES = "\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff"
_TOKEN = re.compile(
    f"([{_UNSPACED}]+)|((?:[^\\W_{_UNSPACED}]|[{_SIGNS}])+)|[{_PICTURES}]"
)
# What is written together in ASCII, and all the rest of Unicode.
_RUN = re.compile("[A-Za-z0-9\x80-\U0010ffff]+")
_ASCII_WORD = re.compile(f"([a-z0-9]{{1,{WORD_LENGTH}}})[a-z0-9]*")

# Marks that people leave out: accents, Hebrew points, Arabic vowels; tatweel, the
# soft hyphen and other things unseen.
_UNWRITTEN = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7"
    "\u0610-\u061a\u0640\u064b-\u065f\u0670\u06d6-\u06dc\u06df-\u06e4"
    "\u06e7\u06e8\u06ea-\u06ed\u00ad\u2060\ufeff]"
)
# Letters that no normalization form takes apart.
_PLAIN = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th"}
    | {"ı": "i", "ħ": "h", "ŧ": "t", "ŋ": "n", "ĸ": "k"}
)


@dataclass(frozen=True)
class Token:
    """A word as the index has it.

    A run without spaces is indexed as its pairs of neighbours and its last character,
    数据库 as 数据, 据库 and 库.
    """

    word: str
    is_pair: bool = False
    is_last_character: bool = False


@dataclass(frozen=True)
class Layout:
    """The words of a text, laid out for an index.

    `stretches` are words that follow each other; a phrase lies within one of them.
    `loose` are words that are in no stretch: found, but not as part of a phrase.
    """

    stretches: list[list[str]]
    loose: list[str]


def fold(text: str) -> str:
    """Return `text` without case, accents and other ways to write the same."""
    if text.isascii():
        return text.lower()
    text = unicodedata.normalize("NFKC", text).casefold()
    text = _UNWRITTEN.sub("", unicodedata.normalize("NFD", text))
    # Twice: what was folded may now be one character, and that have a plain form.
    return unicodedata.normalize("NFKC", text.translate(_PLAIN))


def words_of(text: str) -> list[str]:
    """Return the words of the part of `text` that is indexed, in their order."""
    text = text[:INDEXED_CHARACTERS]
    if text.isascii():
        return _ASCII_WORD.findall(text.lower())
    words: list[str] = []
    for run in _RUN.findall(text):
        words += _words_of_run(run)
    return words


def lay_out(words: list[str]) -> Layout:
    """Decide which words have a place, and which are only there, or not at all."""
    if len(words) <= PLACES_OF_A_WORD:
        return Layout([words], [])
    stretches: list[list[str]] = [[]]
    counts: Counter[str] = Counter()
    place, free, seen = 0, _MOST_BYTES, 0
    for word in words:
        if place == LAST_PLACE:
            break
        seen += 1
        cost = 2 if counts[word] else _bytes_in_index(word)
        if counts[word] < PLACES_OF_A_WORD and cost <= free:
            stretches[-1].append(word)
            counts[word] += 1
            free -= cost
        elif stretches[-1]:
            stretches.append([])  # its neighbours do not follow each other
        else:
            continue
        place += 1
    others = dict.fromkeys(word for word in words[seen:] if word not in counts)
    return Layout(stretches, list(_that_fit(others, free)))


def _that_fit(words: Iterable[str], free: int) -> Iterator[str]:
    for word in words:
        free -= _bytes_in_index(word)
        if free < 0:
            return
        yield word


def _words_of_run(run: str) -> Sequence[str]:
    if run.isascii():
        return (run.lower()[:WORD_LENGTH],)
    return [token.word for token in _tokens_of_run(run)]


def _tokens_of_run(run: str) -> list[Token]:
    return [token for token, _, _ in _spans(fold(run))]


def _spans(folded: str) -> Iterator[tuple[Token, int, int]]:
    for match in _TOKEN.finditer(folded):
        start, end = match.span()
        if match[1] is None:
            yield Token(match[0][:WORD_LENGTH]), start, end
            continue
        for place in range(start, end - 1):
            yield Token(folded[place : place + 2], is_pair=True), place, place + 2
        yield Token(folded[end - 1], is_last_character=True), end - 1, end


def _bytes_in_index(word: str) -> int:
    size = len(word.encode())
    return size + size % 2 + 4  # PostgreSQL's alignment, the count, one place


# Words that no text has: of private use, and with an underscore.
_GAP = "\ue000"
_SCOPE_PREFIX = "_"


def owner_scope(owner_id: str) -> str:
    """Return the scope word of all that is this owner's."""
    return "o" + hashlib.blake2b(owner_id.encode(), digest_size=8).hexdigest()


def session_scope(session_id: UUID) -> str:
    """Return the scope word of all that is in this session."""
    return "s" + session_id.hex


def role_scope(role: str) -> str:
    """Return the scope word of all that is said in this role."""
    return "r" + re.sub("[^a-z]", "", role)


def scopes_of(owner_id: str, session_id: UUID, role: str = "") -> list[str]:
    """Return the scope words of a message, or of a session's name."""
    scopes = [owner_scope(owner_id), session_scope(session_id)]
    return [*scopes, role_scope(role)] if role else scopes


def fts5_words(text: str) -> str:
    """Return what FTS5's tokenizer `ascii` takes apart into the words of `text`."""
    words = lay_out(words_of(text))
    parts = [" ".join(stretch) for stretch in words.stretches if stretch]
    return f" {_GAP} ".join([*parts, *words.loose])


def tsvector_words(text: str, scopes: Sequence[str]) -> str:
    """Return the literal of the tsvector of `text`, never read by a text parser."""
    layout = lay_out(words_of(text))
    lexemes = [
        f"'{word}':{','.join(places)}" for word, places in _places(layout).items()
    ]
    lexemes += [f"'{word}':{NO_PLACE}" for word in layout.loose]
    lexemes += [f"'{_SCOPE_PREFIX}{scope}'" for scope in scopes]
    return " ".join(lexemes)


def _places(layout: Layout) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    place = 0
    for stretch in layout.stretches:
        for word in stretch:
            place += 1
            places.setdefault(word, []).append(str(place))
        place += 1
    return places
