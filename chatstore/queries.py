"""Reads what a person types into a search box; no input is an error.

Must not know how a database is asked.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from chatstore.analyzer import WORD_LENGTH, Token, tokens_of

# Each costs the databases a look-up in each part of their index. So many in a row are
# hardly ever found twice, and what comes after them is left out.
MOST_WORDS = 100

_STRAIGHT = str.maketrans(dict.fromkeys("“”„‟«»", '"'))
_PIECE = re.compile(r'(-*)"([^"]*)"?(\*?)|([^\s"]+)')


@dataclass(frozen=True)
class Term:
    """Words that follow each other; the last may be only the beginning of one."""

    words: tuple[str, ...]
    is_prefix: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is one whole word, which is not cut to its first characters."""
        return (
            len(self.words) == 1
            and not self.is_prefix
            and len(self.words[0]) < WORD_LENGTH
        )

    def count_in(self, words: Sequence[str]) -> int:
        """Return how often the term is among the words of a text."""
        first = self.words[0]
        if len(self.words) > 1:
            return sum(self.is_at(words, start) for start in _places_of(first, words))
        if self.is_prefix:
            return sum(word.startswith(first) for word in words)
        return words.count(first)

    def is_at(self, words: Sequence[str], start: int) -> bool:
        """Whether the term's words stand in `words` from `start` on."""
        *whole, last = self.words
        end = start + len(whole)
        if end >= len(words) or any(
            words[start + place] != word for place, word in enumerate(whole)
        ):
            return False
        return words[end].startswith(last) if self.is_prefix else words[end] == last


@dataclass(frozen=True)
class Query:
    """What must all be in a text, and what must not."""

    wanted: tuple[Term, ...]
    unwanted: tuple[Term, ...]

    @property
    def terms(self):
        return self.wanted

    def holds(self, text):
        from chatstore.analyzer import words_of
        w = words_of(text)
        return all(t.count_in(w) for t in self.wanted)

    @property
    def has_phrase(self) -> bool:
        """Whether words must follow each other."""
        return any(len(term.words) > 1 for term in self.wanted)

    @property
    def can_match(self) -> bool:
        """Whether there is anything to look for, and not the same to be left out."""
        return bool(self.wanted) and not set(self.wanted) & set(self.unwanted)


def _places_of(word: str, words: Sequence[str]) -> Iterator[int]:
    # To look at each word in Python took three quarters of a search for a phrase.
    start = -1
    with suppress(ValueError):
        while True:
            start = words.index(word, start + 1)
            yield start


def parse_query(text: str) -> Query:
    """Return what `text` asks for.

    `"…"` is a phrase, `-` before a word or phrase leaves it out, `*` after one takes
    it for a beginning; whatever else is no letter or number only parts words.
    """
    wanted: dict[Term, None] = {}
    unwanted: dict[Term, None] = {}
    left = MOST_WORDS
    for piece in _PIECE.finditer(text.translate(_STRAIGHT)):
        minus, phrase, star, plain = piece.groups()
        content = phrase if plain is None else plain
        is_negative = bool(minus) or (plain or "").startswith("-")
        term = _term(tokens_of(content), is_prefix=bool(star) or content.endswith("*"))
        if term is None or left == 0:
            continue
        if len(term.words) > left:
            term = Term(term.words[:left])
        terms = unwanted if is_negative else wanted
        left -= len(term.words) if term not in terms else 0
        terms[term] = None
    return Query(tuple(wanted), tuple(unwanted))


def _term(tokens: Sequence[Token], *, is_prefix: bool) -> Term | None:
    if not tokens:
        return None
    words = tuple(token.word for token in tokens)
    if not tokens[-1].is_last_character:
        return Term(words, is_prefix)
    if len(tokens) > 1 and tokens[-2].is_pair:
        return Term(words[:-1])  # in the text the run may go on
    return Term(words, is_prefix=True)
