"""Chooses the words of a text that are indexed, and their places in a tsvector.

Must not know how an index is queried. Entries written by different versions of this
file do not compare, so a change of its results needs a migration that rewrites them.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

from chatstore.fulltext.folding import limit_marks
from chatstore.fulltext.words import INDEXED_CHARACTERS, first_word, parts_of, words_of

# A tsvector has places up to 16,383 and keeps 255 of a word. It moves all later places
# to the last one, so we stay below that.
LAST_PLACE = 16_381
PLACES_OF_A_WORD = 255
# A tsvector holds just under 1 MiB of words and places; the scopes need a little.
MAX_TSVECTOR_BYTES = 1_040_000

# Bound of a word that is written with a minus. Without it, a text of four-byte letters
# could have more words, parts and words with a minus than a tsvector holds.
_MAX_MINUS_WORD_BYTES = 40

# Private-use characters, which occur in no word of a text.
GAP, NOTHING, _MINUS_MARK, _SIGN_MARK, UNPLACED = (
    "\ue000",
    "\ue001",
    "\ue002",
    "\ue003",
    "\ue004",
)

STRAIGHT_QUOTES = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
# A minus that is not inside a word, and the text after it: up to the next space or, if
# quoted, up to the next quotation mark, and at most up to the next such minus.
_MINUS = re.compile(
    r'(?<![\w-])-+(?:"((?:[^"-]|(?<=[\w-])-)*)|((?:[^\s"-]|(?<=[\w-])-)*))'
)


@dataclass(frozen=True)
class IndexWords:
    """The indexed words of a text.

    Each of the `stretches` is a list of consecutive words: first those of the text,
    then each list from `parts_of`. A phrase lies within one stretch. `loose` words have
    no place: words written with a minus, and the signs of a text without words.
    """

    stretches: list[list[str]]
    loose: list[str]

    def in_a_row(self) -> list[str]:
        """Return all words, with a GAP before a word that does not follow the last."""
        row = list(self.stretches[0])
        for words in (*self.stretches[1:], *([word] for word in self.loose)):
            row.append(GAP)
            row += words
        return row


@dataclass(frozen=True)
class Layout:
    """Words laid out for a tsvector.

    `places` lists the places of each word, none if there was no room. `is_complete`
    says whether all words are there, each with all its places.
    """

    places: dict[str, list[int]]
    is_complete: bool


def index_words(text: str) -> IndexWords:
    """Return the indexed words of the first INDEXED_CHARACTERS of `text`."""
    text = text[:INDEXED_CHARACTERS]
    words = words_of(text)
    if not words:
        return IndexWords([[]], sign_words(text))
    if not text.isascii():
        text = unicodedata.normalize("NFC", limit_marks(text))
    return IndexWords([words, *parts_of(text)], _minus_words(text))


def add_minus_mark(word: str) -> str:
    """Return the index's word for `word` written with a minus before it."""
    return _MINUS_MARK + word.encode()[:_MAX_MINUS_WORD_BYTES].decode(errors="ignore")


def remove_minus_mark(word: str) -> str:
    """Return the word without the mark that `add_minus_mark` adds."""
    return word.removeprefix(_MINUS_MARK)


def sign_words(text: str) -> list[str]:
    """Return one word for each distinct piece of a text that has only signs.

    A text of only white space is one piece.
    """
    pieces = dict.fromkeys(text.split()) or [text and " "]
    return [
        _SIGN_MARK + _digest(unicodedata.normalize("NFC", limit_marks(each)))
        for each in filter(None, pieces)
    ]


def lay_out(words: IndexWords) -> Layout:
    """Return the words with as many of their places as a tsvector holds.

    All words come first, and places get the bytes that are left. The words of 100,000
    characters take at most 8 bytes a character: pairs of Han beyond U+20000.
    """
    placed_words = [word for stretch in words.stretches for word in stretch]
    places, free = _fit_words([*placed_words, *words.loose])
    is_complete, place = len(places) == len({*placed_words, *words.loose}), 0
    for stretch in words.stretches:
        place += 1 if place else 0
        # A word without a place leaves a gap, so no phrase matches across it.
        has_gap = True
        for word in stretch:
            word_places = places.get(word)
            # The first place also costs PostgreSQL's alignment and the count.
            cost = 2 if word_places else 5
            if (
                word_places is None
                or place >= LAST_PLACE
                or len(word_places) == PLACES_OF_A_WORD
                or cost > free
            ):
                place += not has_gap
                has_gap, is_complete = True, False
                continue
            place += 1
            word_places.append(place)
            free -= cost
            has_gap = False
    return Layout(places, is_complete)


def _fit_words(words: Iterable[str]) -> tuple[dict[str, list[int]], int]:
    """Return the words that fit, each with no places yet, and the bytes left."""
    places: dict[str, list[int]] = {}
    free = MAX_TSVECTOR_BYTES
    for word in dict.fromkeys(words):
        size = len(word.encode())
        if size <= free:
            places[word] = []
            free -= size
    return places, free


def _minus_words(text: str) -> list[str]:
    if "-" not in text:
        return []
    pieces = dict.fromkeys(
        quoted or plain
        for quoted, plain in _MINUS.findall(text.translate(STRAIGHT_QUOTES))
    )
    words = filter(None, map(first_word, pieces))
    return [add_minus_mark(word) for word in dict.fromkeys(words)]


def _digest(piece: str) -> str:
    encoded = piece.encode("utf-8", "surrogatepass")
    return hashlib.blake2b(encoded, digest_size=8).hexdigest()
