"""Writes texts and queries in the formats of the search index: FTS5 and tsvector.

Opens no database. An entry has words and scopes: its owner, its session and its role.
So the index itself skips entries outside the requested scopes.
"""

import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from uuid import UUID

from chatstore.fulltext.positions import NOTHING, UNPLACED, index_words, lay_out

if TYPE_CHECKING:
    from chatstore.fulltext.matching import Term
    from chatstore.fulltext.query import Clause, Exclusion, Query

# The index's tables. No ORM writes them, so they have no models. On SQLite each is an
# FTS5 table with its shadow tables, on PostgreSQL an ordinary table.
MESSAGES, NAMES = "message_index", "name_index"
# Ids of messages that have no entry yet, on SQLite only.
PENDING = "message_index_pending"
_SCOPE_PREFIX = "_"  # no word of a text has an underscore

# Matches entries in which some word has no place.
UNPLACED_TSQUERY = f"'{UNPLACED}'"


def is_index_table(name: str) -> bool:
    """Whether a table belongs to the search index."""
    return name.startswith((MESSAGES, NAMES))


def owner_scope(owner_id: str) -> str:
    """Return the scope word of all entries of this owner."""
    return "o" + hashlib.blake2b(owner_id.encode(), digest_size=8).hexdigest()


def session_scope(session_id: UUID) -> str:
    """Return the scope word of all entries in this session."""
    return "s" + session_id.hex


def session_lexeme(session_id: UUID) -> str:
    """Return the lexeme of the session's scope in a tsvector."""
    return _SCOPE_PREFIX + session_scope(session_id)


def role_scope(role: str) -> str:
    """Return the scope word of all messages with this role."""
    return "r" + re.sub("[^a-z]", "", role)


def scopes_of(owner_id: str, session_id: UUID, role: str = "") -> list[str]:
    """Return the scope words of a message, or of a session's name."""
    scopes = [owner_scope(owner_id), session_scope(session_id)]
    return [*scopes, role_scope(role)] if role else scopes


def fts5_words(text: str) -> str:
    """Return a string that FTS5's tokenizer `ascii` splits into the words of `text`."""
    return " ".join(index_words(text).in_a_row())


def tsvector_words(text: str, scopes: Sequence[str]) -> str:
    """Return the tsvector literal of `text` and `scopes`; no text parser reads it."""
    layout = lay_out(index_words(text))
    lexemes = [
        f"'{word}':{','.join(map(str, places))}" if places else f"'{word}'"
        for word, places in layout.places.items()
    ]
    if not layout.is_complete:
        lexemes.append(UNPLACED_TSQUERY)
    lexemes += [f"'{_SCOPE_PREFIX}{scope}'" for scope in scopes]
    return " ".join(lexemes)


def fts5_query(query: "Query", scopes: Sequence[Sequence[str]]) -> str:
    """Return `query` in FTS5's query syntax: one scope of each list must hold.

    If the query `has_repeats`, FTS5 also finds texts for which `Query.holds` is false.
    """
    wanted = " AND ".join(map(_fts5_clause, query.wanted))
    # FTS5 seeks the next entry of each operand of an AND in turn. The NOT, even of only
    # NOTHING, makes all words one operand. So FTS5 seeks in a scope of a million
    # entries only where all words match, which is up to seven times as fast.
    indexed_exclusions = [
        each for each in query.unwanted if each.term.index_term is each.term
    ]
    unwanted = " OR ".join(
        [_quoted(NOTHING), *map(_fts5_exclusion, indexed_exclusions)]
    )
    scope_conditions = [
        f"scope : ({' OR '.join(map(_quoted, each))})" for each in scopes
    ]
    return " AND ".join([f"words : (({wanted}) NOT ({unwanted}))", *scope_conditions])


def tsquery(query: "Query", scopes: Sequence[Sequence[str]]) -> str:
    """Return `query` as a tsquery literal: one scope of each list must hold.

    An entry in which some word has no place matches a phrase if its words are anywhere;
    `Query.holds` tells whether the text really matches.
    """
    scope_conditions = [
        "(" + " | ".join(f"'{_SCOPE_PREFIX}{scope}'" for scope in each) + ")"
        for each in scopes
    ]
    wanted = map(_tsquery_clause, query.wanted)
    return " & ".join(
        [*wanted, *map(_tsquery_exclusion, query.unwanted), *scope_conditions]
    )


def any_tsquery(query: "Query") -> str:
    """Return a tsquery literal that matches any wanted word, to rank entries by."""
    words = dict.fromkeys(
        word
        for clause in query.wanted
        for term in clause
        for word in _tsquery_words(term)
    )
    return " | ".join(words)


def owner_fts5_query(owner_id: str) -> str:
    """Return the query of all entries of this owner, in FTS5's syntax."""
    return f"scope : {_quoted(owner_scope(owner_id))}"


def owner_tsquery(owner_id: str) -> str:
    """Return the query of all entries of this owner, as a tsquery literal."""
    return f"'{_SCOPE_PREFIX}{owner_scope(owner_id)}'"


def _fts5_clause(clause: "Clause") -> str:
    terms = " OR ".join(map(_fts5_term, clause))
    return terms if len(clause) == 1 else f"({terms})"


def _fts5_exclusion(exclusion: "Exclusion") -> str:
    return f"({_fts5_term(exclusion.term)} NOT {_fts5_term(exclusion.minus_form)})"


def _fts5_term(term: "Term") -> str:
    term = term.index_term
    return _quoted(" ".join(term.words)) + (" *" if term.is_prefix else "")


def _tsquery_clause(clause: "Clause") -> str:
    terms = [_tsquery_term(term, is_strict=False) for term in clause]
    return terms[0] if len(terms) == 1 else f"({' | '.join(terms)})"


def _tsquery_exclusion(exclusion: "Exclusion") -> str:
    term = _tsquery_term(exclusion.term, is_strict=True)
    return f"!({term} & !{_tsquery_term(exclusion.minus_form, is_strict=True)})"


def _tsquery_term(term: "Term", *, is_strict: bool) -> str:
    words = _tsquery_words(term)
    phrase = f"({' <-> '.join(words)})"
    if is_strict or len(words) == 1:
        return phrase
    return f"({phrase} | ({' & '.join([*words, UNPLACED_TSQUERY])}))"


def _tsquery_words(term: "Term") -> list[str]:
    words = [f"'{word}'" for word in term.words]
    return [*words[:-1], words[-1] + ":*"] if term.is_prefix else words


def _quoted(words: str) -> str:
    return f'"{words}"'
