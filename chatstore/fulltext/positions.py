"""Which words of a text an index gets, and where in it: in FTS5, and in a tsvector.

Must not know how an index is asked. Entries that were written by one version of this
file are not compared with those of another: a migration writes them again.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from chatstore.fulltext.words import (
    INDEXED_CHARACTERS,
    first_word,
    parts_of,
    without_crowds,
    words_of,
)

# A tsvector counts places up to 16,383 and keeps 255 of a word. We stay below the
# last, at which it puts all that come after.
LAST_PLACE = 16_381
PLACES_OF_A_WORD = 255
# It holds just under 1 MiB of words and places; the scopes need a little.
MOST_BYTES = 1_040_000

# Words of letters of four bytes, their parts and all of each with its minus would be
# more than a tsvector holds.
_WRITTEN_BYTES = 40

# Characters of private use, which no word of a text has.
GAP, NOTHING, _WRITTEN, _SIGN, UNPLACED = (
    "\ue000",
    "\ue001",
    "\ue002",
    "\ue003",
    "\ue004",
)

STRAIGHT = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
# A minus that parts no word, and what is written after it: up to the next space, or up
# to the next quotation mark, and at most to the next such minus.
_MINUS = re.compile(
    r'(?<![\w-])-+(?:"((?:[^"-]|(?<=[\w-])-)*)|((?:[^\s"-]|(?<=[\w-])-)*))'
)


@dataclass(frozen=True)
class IndexWords:
    """What is indexed of a text.

    `stretches` are words that follow each other; a phrase lies within one of them: the
    text itself, and what `parts_of` makes of it. `loose` words have no place: words
    that are written with a minus, and the signs of a text without words.
    """

    stretches: list[list[str]]
    loose: list[str]

    def in_a_row(self) -> list[str]:
        """Return all words, with a gap where one does not follow the other."""
        row = list(self.stretches[0])
        for words in (*self.stretches[1:], *([word] for word in self.loose)):
            row.append(GAP)
            row += words
        return row


@dataclass(frozen=True)
class Layout:
    """Words laid out for a tsvector.

    `places` has the places of a word, none if there was no room. `is_complete` says
    whether each time a word is written has its place.
    """

    places: dict[str, list[int]]
    is_complete: bool


def index_words(text: str) -> IndexWords:
    """Return what is indexed of the first characters of `text`."""
    text = text[:INDEXED_CHARACTERS]
    words = words_of(text)
    if not words:
        return IndexWords([[]], sign_words(text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", without_crowds(text))
    return IndexWords([words, *parts_of(text)], _written_words(text))


def written(word: str) -> str:
    """Return the word that says that `word` is written with its minus."""
    return _WRITTEN + word.encode()[:_WRITTEN_BYTES].decode(errors="ignore")


def unwritten(word: str) -> str:
    """Return the word that is written, with its minus or without."""
    return word.removeprefix(_WRITTEN)


def sign_words(text: str) -> list[str]:
    """Return a word for each piece of a text that has nothing but signs, once each.

    All white space is one piece where there is nothing else.
    """
    pieces = dict.fromkeys(text.split()) or [text and " "]
    return [
        _SIGN + _digest(unicodedata.normalize("NFC", without_crowds(each)))
        for each in filter(None, pieces)
    ]


def lay_out(words: IndexWords) -> Layout:
    """Give each word its places, as far as a tsvector holds them.

    All words come first, and places get what is left: 100,000 characters have words of
    8 bytes a character at most, pairs of Han beyond U+20000.
    """
    everything = [word for stretch in words.stretches for word in stretch]
    places, free = _without_places([*everything, *words.loose])
    is_complete, place = len(places) == len({*everything, *words.loose}), 0
    for stretch in words.stretches:
        place += 1 if place else 0
        # A word without its place parts its neighbours.
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
    """Return the words that fit, without places, and how many bytes are left."""
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
