"""Sessions to search in, searches, damage to the index, and the violations found."""

from functools import cache

from sqlalchemy import text

from chatstore.db import db, run_write, transaction
from chatstore.enums import Role
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.fulltext.positions import index_words
from chatstore.fulltext.query import parse_query
from chatstore.store.messages import append_messages
from chatstore.store.search import rebuild
from chatstore.store.search.criteria import BOUNDS
from chatstore.store.search.groups import search_groups
from chatstore.store.search.pages import Search, search
from chatstore.store.sessions import create_session
from chatstore.store.verify.checks import CHECKS

(SEARCH,) = [check for check in CHECKS if check.name == "search"]
LONG = " ".join(f"w{number}" for number in range(20_000))


def new_chat(name=None, *contents, owner_id="alice", **columns):
    columns = {"llm_model_name": "m"} | columns
    chat = run_write(create_session, owner_id=owner_id, name=name, **columns)
    if contents:
        say(chat, *contents)
    return chat


def say(chat, *contents, role=Role.USER):
    turns = [{"content": each, "role": role, "metadata": None} for each in contents]
    return run_write(append_messages, chat.id, owner_id=chat.owner_id, turns=turns)


def make_searchable():
    """Create two sessions with seven messages; return the one named `a plan`."""
    new_chat("other", "other", "数据库", LONG, "a " * 500, "😀", "...")
    return new_chat("a plan", "first plan", "second plan")


def pages(q, *, limit=1000, owner_id="alice", bounds=BOUNDS, **where):
    """Yield the hits of every page of a search."""
    place = None
    while True:
        wanted = Search(q=q, **where)
        page = search(
            wanted, owner_id=owner_id, limit=limit, place=place, bounds=bounds
        )
        db.session.rollback()
        yield page.hits
        place = page.next_place
        if place is None:
            return


def hits(q, **where):
    return [hit for page in pages(q, **where) for hit in page]


def found(q, **where):
    """Return the set of snippets found, in names and in messages."""
    return {hit.snippet for hit in hits(q, **where)}


def holds(q, content):
    """Whether Python finds the query in the words of the index."""
    query = parse_query(q)
    return query.can_match and query.holds_words(known_words(content))


def groups(q, *, limit=100, per_session=3, owner_id="alice", bounds=BOUNDS, **where):
    """Return the groups of every page of a search."""
    place, found = None, []
    while True:
        page = search_groups(
            Search(q=q, **where),
            owner_id=owner_id,
            limit=limit,
            per_session=per_session,
            place=place,
            bounds=bounds,
        )
        db.session.rollback()
        found += page.groups
        place = page.next_place
        if place is None:
            return found


def total(q, *, owner_id="alice", bounds=BOUNDS, **where):
    """Return the number of hits, and whether it is exact."""
    page = search(
        Search(q=q, **where), owner_id=owner_id, limit=1, counts=True, bounds=bounds
    )
    db.session.rollback()
    return tuple(page.total)


def assert_finds_what_python_finds(q, contents):
    query = parse_query(q)
    expected = {
        number
        for number, content in contents.items()
        if query.can_match and query.holds_words(known_words(content))
    }
    assert {hit.message_id for hit in hits(q)} == expected, q
    return len(expected)


TEXTS = ["a b c", "ab bc", "数据库", "b a", "é 🚀 a-b", "AB* c", "x " * 300 + "a b"]


def violations():
    found = list(SEARCH.find())
    db.session.rollback()
    return found


def damage(on_sqlite, on_postgresql, **values):
    is_sqlite = db.engine.dialect.name == "sqlite"
    with transaction():
        db.session.execute(text(on_sqlite if is_sqlite else on_postgresql), values)


def reindex(**bounds):
    with transaction():
        rebuild.delete_strays(MESSAGES)
        rebuild.delete_strays(NAMES)
    while run_write(rebuild.number_sessions):
        pass
    for index in (MESSAGES, NAMES):
        last = 0
        while batch := run_write(rebuild.reindex_batch, index, after=last, **bounds):
            last = batch.last


@cache  # the same texts are used for each query
def known_words(content):
    return index_words(content).in_a_row()
