"""Parses what a person types into a search box; no input is an error.

Must not know how a database is queried.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from chatstore.fulltext.matching import Finder, Term
from chatstore.fulltext.positions import (
    STRAIGHT_QUOTES,
    add_minus_mark,
    index_words,
    remove_minus_mark,
    sign_words,
)
from chatstore.fulltext.words import Token, parts_of, tokens_of

# Each word costs a lookup in each part of the index. Two texts hardly ever share this
# many words in a row, so we drop the words after them.
MAX_WORDS = 100

_PIECE = re.compile(r'(-*)"([^"]*)"?(\*?)|([^\s"]+)')

# Alternatives: a text must have at least one of them.
Clause = tuple[Term, ...]


@dataclass(frozen=True)
class Exclusion:
    """A term that a text must not have, unless it has `minus_form`, the minus form."""

    term: Term
    minus_form: Term


@dataclass(frozen=True)
class Query:
    """A parsed query: a text must match all of `wanted` and none of `unwanted`."""

    wanted: tuple[Clause, ...]
    unwanted: tuple[Exclusion, ...]

    @property
    def can_match(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.wanted)

    @property
    def has_phrase(self) -> bool:
        """Whether any term, wanted or unwanted, is a phrase."""
        return any(len(term.words) > 1 for term in self._all_terms())

    @property
    def has_repeats(self) -> bool:
        """Whether a term repeats a word so often that it is not looked up whole."""
        return any(term.index_term is not term for term in self._all_terms())

    @property
    def has_minus_marks(self) -> bool:
        """Whether a wanted term asks for a minus, which `terms` leaves out."""
        terms = (term for clause in self.wanted for term in clause)
        return any(term != _without_minus_mark(term) for term in terms)

    def _all_terms(self) -> Iterator[Term]:
        for clause in self.wanted:
            yield from clause
        for exclusion in self.unwanted:
            yield exclusion.term

    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Every wanted term once, with its words as they stand in a text."""
        terms = (term for clause in self.wanted for term in clause)
        return tuple(dict.fromkeys(map(_without_minus_mark, terms)))

    @cached_property
    def clauses(self) -> list[list[int]]:
        """For each wanted clause, the indexes of its alternatives in `terms`."""
        numbers = {term: number for number, term in enumerate(self.terms)}
        return [
            [numbers[_without_minus_mark(term)] for term in clause]
            for clause in self.wanted
        ]

    def holds(self, text: str) -> bool:
        """Whether the indexed part of `text` matches the query."""
        return self.holds_words(index_words(text).in_a_row())

    def holds_words(self, words: Sequence[str]) -> bool:
        """Whether `words`, as `IndexWords.in_a_row` returns them, match the query."""
        terms = {term for clause in self.wanted for term in clause}
        for each in self.unwanted:
            terms |= {each.term, each.minus_form}
        found = _terms_among(words, terms)
        return all(not found.isdisjoint(clause) for clause in self.wanted) and all(
            each.minus_form in found or each.term not in found for each in self.unwanted
        )


def _terms_among(words: Sequence[str], terms: Iterable[Term]) -> set[Term]:
    distinct = set(words)
    possible = [term for term in terms if distinct.issuperset(term.whole_words)]
    found = {term for term in possible if len(term.words) == 1 and not term.is_prefix}
    to_search = [term for term in possible if term not in found]
    if to_search:
        counts = Finder(to_search).counts(words)
        found |= {term for term, count in zip(to_search, counts, strict=True) if count}
    return found


@dataclass(frozen=True)
class _Piece:
    """A part of a query; its `terms` are alternatives, empty if it has no word."""

    terms: Clause
    is_negative: bool = False
    is_or: bool = False


def parse_query(text: str) -> Query:
    """Return the query that `text` spells.

    `"…"` is a phrase, `-` before a word or phrase excludes it, `*` after one makes it a
    prefix, OR between two makes them alternatives. Any other character that is no
    letter or number separates words. A text without words asks for its signs.
    """
    wanted: dict[Clause, None] = {}
    unwanted: dict[Term, None] = {}
    for clause, is_negative in _limit_words(_join_alternatives(list(_pieces(text)))):
        if is_negative:
            unwanted[clause[0]] = None
        else:
            wanted[clause] = None
    exclusions = tuple(Exclusion(term, _minus_form(term)) for term in unwanted)
    if wanted:
        return Query(tuple(wanted), exclusions)
    if exclusions:  # nobody asks only for what is missing: the text was pasted
        pasted = [
            (term,) for each in exclusions for term in (each.minus_form, each.term)
        ]
        return Query(tuple(pasted), ())
    signs = sign_words(text)[:MAX_WORDS]
    return Query(tuple((Term((sign,)),) for sign in signs), ())


def _pieces(text: str) -> Iterator[_Piece]:
    for match in _PIECE.finditer(text.translate(STRAIGHT_QUOTES)):
        minus, phrase, star, plain = match.groups()
        content = phrase if plain is None else plain
        is_negative = bool(minus) or content is plain and plain.startswith("-")
        is_prefix = bool(star) or content.endswith("*")
        term = _term(tokens_of(content), is_prefix=is_prefix)
        if term is None:
            yield _Piece(())
        elif is_negative:
            yield _Piece((term,), is_negative=True)
        else:
            yield _Piece(_alternatives(term, content), is_or=plain == "OR")


def _join_alternatives(pieces: Sequence[_Piece]) -> Iterator[tuple[Clause, bool]]:
    """Yield (clause, is_negative); OR between two wanted pieces joins them.

    Elsewhere OR is a word.
    """
    clause: Clause = ()
    place = 0
    while place < len(pieces):
        piece = pieces[place]
        after = pieces[place + 1] if place + 1 < len(pieces) else _Piece(())
        if piece.is_or and clause and after.terms and not after.is_negative:
            clause += tuple(term for term in after.terms if term not in clause)
            place += 2
            continue
        if clause:
            yield clause, False
        clause = () if piece.is_negative else piece.terms
        if piece.is_negative:
            yield piece.terms, True
        place += 1
    if clause:
        yield clause, False


def _limit_words(
    clauses: Iterator[tuple[Clause, bool]],
) -> Iterator[tuple[Clause, bool]]:
    """Yield each distinct clause once, up to MAX_WORDS words in total."""
    remaining = MAX_WORDS
    seen: set[tuple[Clause, bool]] = set()
    for clause, is_negative in clauses:
        terms: list[Term] = []
        for term in clause if (clause, is_negative) not in seen else ():
            cut = term if len(term.words) <= remaining else Term(term.words[:remaining])
            remaining -= len(cut.words)
            terms += [cut] if cut.words else []
        seen.add((clause, is_negative))
        if terms:
            yield tuple(terms), is_negative


def _term(tokens: Sequence[Token], *, is_prefix: bool) -> Term | None:
    if not tokens:
        return None
    words = tuple(token.word for token in tokens)
    if not tokens[-1].is_last_character:
        return Term(words, is_prefix)
    if len(tokens) > 1 and tokens[-2].is_pair:
        return Term(words[:-1])  # the run may be longer in the text
    return Term(words, is_prefix=True)


def _alternatives(term: Term, content: str) -> Clause:
    """Return the term and, for one camelCase identifier, the phrase of its parts."""
    parts = parts_of(content) if len(term.words) == 1 else []
    if len(parts) != 1:
        return (term,)
    return (term, Term(tuple(parts[0]), term.is_prefix))


def _minus_form(term: Term) -> Term:
    is_prefix = term.is_prefix and len(term.words) == 1
    return Term((add_minus_mark(term.words[0]),), is_prefix)


def _without_minus_mark(term: Term) -> Term:
    return Term(tuple(map(remove_minus_mark, term.words)), term.is_prefix)
