"""How a text stands in a search index: as FTS5 and as a tsvector take it.

Opens no database. Beside its words an entry has scopes: who owns it, in which session
it is and who speaks, so that the index itself passes over what is not asked for.
"""

import hashlib
import re
from collections.abc import Sequence
from uuid import UUID

from chatstore.analyzer import NO_PLACE, Layout, lay_out, words_of
from chatstore.queries import Query, Term

# Words that no text has: of private use, and with an underscore.
_GAP, _NOTHING = "\ue000", "\ue001"
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


def fts5_query(query: Query, scopes: Sequence[Sequence[str]]) -> str:
    """Return `query` in the language of MATCH: one scope of each list must hold."""
    wanted = " AND ".join(map(_fts5_term, query.wanted))
    # FTS5 looks for the next entry of each part of an AND in turn. The NOT, of nothing
    # if need be, makes one part of all the words: a scope with a million entries is
    # looked into where all of them are, up to seven times as fast.
    unwanted = " OR ".join([_quoted(_NOTHING), *map(_fts5_term, query.unwanted)])
    within = [f"scope : ({' OR '.join(map(_quoted, each))})" for each in scopes]
    return " AND ".join([f"words : (({wanted}) NOT ({unwanted}))", *within])


def tsquery(query: Query, scopes: Sequence[Sequence[str]]) -> str:
    """Return `query` as a tsquery literal: one scope of each list must hold."""
    within = [
        "(" + " | ".join(f"'{_SCOPE_PREFIX}{scope}'" for scope in each) + ")"
        for each in scopes
    ]
    unwanted = [f"!{_tsquery_term(term)}" for term in query.unwanted]
    return " & ".join([*map(_tsquery_term, query.wanted), *unwanted, *within])


def _places(layout: Layout) -> dict[str, list[str]]:
    places: dict[str, list[str]] = {}
    place = 0
    for stretch in layout.stretches:
        for word in stretch:
            place += 1
            places.setdefault(word, []).append(str(place))
        place += 1
    return places


def _fts5_term(term: Term) -> str:
    return _quoted(" ".join(term.words)) + (" *" if term.is_prefix else "")


def _tsquery_term(term: Term) -> str:
    words = [f"'{word}'" for word in term.words]
    if term.is_prefix:
        words[-1] += ":*"
    return f"({' <-> '.join(words)})"


def _quoted(words: str) -> str:
    return f'"{words}"'


def any_tsquery(query):
    return " | ".join(f"'{w}'" + (":*" if t.is_prefix and w == t.words[-1] else "") for t in query.wanted for w in t.words)
