import re
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import uuid4

import pytest
from sqlalchemy import func, select

from chatstore.db import db, run_write, transaction
from chatstore.enums import Archived, BulkAction
from chatstore.errors import ValidationFailed
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.services.background_deletions import finish_deletions
from chatstore.store.bulk import (
    BOUNDS,
    Bounds,
    BulkChange,
    BulkOutcome,
    change_sessions,
)
from chatstore.store.deletions import Bounds as DeletionBounds
from chatstore.store.filters import SessionFilters
from chatstore.store.sessions import update_session
from chatstore.store.verify.checks import CHECKS
from tests.support import count, is_held_up, wait_until
from tests.support.crowd import fill_sessions
from tests.support.statements import (
    MOST_TO_PURGE,
    MOST_TO_WRITE,
    recorded_statements,
)

ALL = SessionFilters(archived=Archived.ANY)
# `tests/store/test_trash.py` has the tests of restoring.
ACTIONS = [each for each in BulkAction if each is not BulkAction.RESTORE]


def change(
    action,
    selected=ALL,
    *,
    owner_id="alice",
    max_sessions=10_000,
    bounds=BOUNDS,
    **others,
):
    dry = others.pop("is_dry_run", False)
    return run_write(
        change_sessions,
        BulkChange(BulkAction(action), **others),
        owner_id=owner_id,
        selected=selected,
        max_sessions=max_sessions,
        is_dry_run=dry,
        bounds=bounds,
    )


def stored(column):
    """Read a column of every session afresh, by name."""
    db.session.remove()
    query = select(ChatSession.name, getattr(ChatSession, column))
    return dict(db.session.execute(query).all())


@pytest.fixture
def chats(db_session, make_session):
    make_session(owner_id="bob", name="bob's", metadata_tags=["t"])
    return [
        make_session(owner_id="alice", name=name, metadata_tags=["t"], messages=1)
        for name in "abc"
    ]


@pytest.mark.parametrize(
    ("action", "back", "column"),
    [("archive", "unarchive", "archived"), ("pin", "unpin", "pinned")],
)
def test_a_change_is_made_once_and_can_be_taken_back(chats, action, back, column):
    ids = [chat.id for chat in chats[:2]]
    before = stored("last_updated_at")
    assert change(action, ids) == BulkOutcome(2, tuple(sorted(ids)))
    assert change(action) == BulkOutcome(3, (chats[2].id,))
    assert change(action) == BulkOutcome(3, ())
    source = "archived_at" if column == "archived" else "pinned"
    assert {name for name, value in stored(source).items() if value} == set("abc")
    assert change(back, ids[:1]) == BulkOutcome(1, (ids[0],))
    assert {name for name, value in stored(source).items() if value} == set("bc")
    assert stored("last_updated_at") == before
    assert stored("revision") == {"a": 4, "b": 3, "c": 3, "bob's": 1}


def test_tags_are_added_and_removed(chats):
    assert change("add_tags", tags=("new", "t")).changed == 3
    assert stored("metadata_tags")["a"] == ["t", "new"]
    assert change("add_tags", tags=("t",)).changed == 0
    assert change("remove_tags", tags=("t", "other")).changed == 3
    assert stored("metadata_tags") == {x: ["new"] for x in "abc"} | {"bob's": ["t"]}
    assert change("remove_tags", SessionFilters(tag=("t",)), tags=("t",)).matched == 0
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


def test_equal_tags_are_added_once_and_removed_in_any_spelling(chats):
    assert change("add_tags", tags=("T", "New", "NEW")).changed == 3
    assert stored("metadata_tags")["a"] == ["t", "New"]
    assert change("add_tags", tags=("new", "T")).changed == 0
    assert change("remove_tags", tags=("nEw",)).changed == 3
    assert stored("metadata_tags")["a"] == ["t"]
    assert change("archive", SessionFilters(tag=("T",))).changed == 3
    assert [list(check.find()) for check in CHECKS if check.name == "facets"] == [[]]


def test_more_tags_than_a_session_may_have_change_none(chats):
    change("add_tags", [chats[1].id], tags=("one", "two"))
    with pytest.raises(ValidationFailed, match="/tags"):
        change("add_tags", tags=("three",), max_tags=3)
    assert stored("metadata_tags")["a"] == ["t"]


def test_sessions_are_deleted_with_what_is_in_them(chats, db_session):
    assert change("delete", [chat.id for chat in chats[:2]]).changed == 2
    assert set(stored("id")) == {"c", "bob's"}
    assert count(db_session, Message) == 1
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


def test_sessions_of_too_many_messages_are_hidden_all_or_none(chats, db_session):
    bounds = Bounds(deletion=DeletionBounds(max_messages=2))
    with pytest.raises(ZeroDivisionError), transaction():
        change("delete", bounds=bounds)
        raise ZeroDivisionError
    assert set(stored("owner_id").values()) == {"alice", "bob"}
    outcome = change("delete", bounds=bounds)
    ids = tuple(sorted(chat.id for chat in chats))
    assert outcome == BulkOutcome(3, ids, has_hidden=True)
    finish_deletions()
    assert set(stored("id")) == {"bob's"}
    assert count(db_session, Message) == 0
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


@pytest.mark.parametrize("action", ACTIONS)
def test_a_dry_run_counts_and_changes_nothing(chats, action):
    tags = ("new",) if action is BulkAction.ADD_TAGS else ()
    before = stored("revision")
    outcome = change(action, tags=tags, is_dry_run=True)
    assert outcome.matched == 3
    assert outcome.changed == (
        0 if action in ("unarchive", "unpin", "remove_tags") else 3
    )
    assert stored("revision") == before


@pytest.mark.parametrize("action", list(BulkAction))
def test_another_owners_sessions_are_passed_over(chats, action):
    before = stored("revision")
    ids = [*(chat.id for chat in chats), uuid4()]
    tags = ("x", "t")
    outcome = change(action, ids, owner_id="carol", tags=tags)
    assert outcome == BulkOutcome(0, ())
    assert stored("revision") == before


def test_an_id_that_comes_twice_is_one_session(chats):
    assert change("pin", [chats[0].id] * 3) == BulkOutcome(1, (chats[0].id,))


def test_a_filter_that_matches_too_many_changes_none(chats):
    with pytest.raises(ValidationFailed, match="/filter"):
        change("delete", max_sessions=2)
    assert change("delete", max_sessions=3).changed == 3


def test_many_more_than_one_statement_takes_are_changed(db_session):
    rows = fill_sessions(1300)
    ids = [row["id"] for row in rows]
    outcome = change("add_tags", ids, tags=("new",))
    assert (outcome.matched, set(outcome.changed_ids)) == (1300, set(ids))
    assert change("archive").changed == sum(not row["archived_at"] for row in rows)
    assert change("delete", SessionFilters(archived=Archived.YES)).changed == 1300
    assert count(db_session, ChatSession) == 0


@pytest.mark.parametrize("action", ACTIONS)
def test_a_change_costs_few_statements_however_many_sessions(db_session, action):
    fill_sessions(400)
    with recorded_statements() as statements:
        assert change(action, tags=("often", "new")).changed > 0
    most = MOST_TO_PURGE if action in ("delete", "purge") else MOST_TO_WRITE
    assert len(statements) <= most, statements


@pytest.mark.parametrize(
    ("wanted", "changes"),
    [
        ({"tag": ("t",)}, {"metadata_tags": ["kept"]}),
        ({"tag_any": ("t", "u")}, {"metadata_tags": []}),
        ({"document": "d"}, {"rag_document_ids": []}),
        ({"metadata": ("k:v",)}, {"metadata": {}}),
        ({"external_id": "e"}, {"external_id": None}),
        ({"pinned": True}, {"pinned": False}),
    ],
)
def test_what_stops_matching_while_a_change_waits_is_left_alone(
    app, chats, wanted, changes
):
    mine = {"owner_id": "alice"}
    all_of_them = {"pinned": True, "rag_document_ids": ["d"]}
    all_of_them |= {"metadata": {"k": "v"}, "external_id": "e"}
    run_write(update_session, chats[0].id, changes=all_of_them, **mine)

    def delete():
        with app.app_context():
            return change("delete", SessionFilters(**wanted))

    with ThreadPoolExecutor(1) as other:
        with transaction():
            update_session(chats[0].id, changes=changes, **mine)
            deleting = other.submit(delete)
            wait_until(partial(is_held_up, deleting))
        deleting.result()
    assert "a" in stored("metadata_tags")


@pytest.fixture
def laden(db_session, make_session):
    """Three sessions with two tags, three documents and a metadata pair each."""
    return [
        make_session(
            owner_id="alice",
            name=name,
            metadata_tags=["t", "u"],
            rag_document_ids=[f"{each}{'x' * 50}" for each in range(3)],
            metadata={"k": "v"},
        )
        for name in "abc"
    ]


@pytest.mark.parametrize("action", ["add_tags", "remove_tags", "delete"])
@pytest.mark.parametrize("is_dry_run", [False, True])
def test_too_many_facets_at_once_change_none(laden, action, is_dry_run):
    before = stored("revision")
    tags = ("t", "u") if action == "remove_tags" else ("x", "y")
    rows = 18 if action == "delete" else 6
    bound = "max_changed_facets" if action == "delete" else "max_changed_tags"
    wanted = {"action": action, "tags": tags, "is_dry_run": is_dry_run}
    with pytest.raises(ValidationFailed):
        change(**wanted, bounds=Bounds(**{bound: rows - 1}))
    assert stored("revision") == before
    assert change(**wanted, bounds=Bounds(**{bound: rows})).changed == 3
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


@pytest.mark.parametrize("action", ["pin", "archive", "add_tags", "delete"])
def test_too_many_bytes_at_once_change_none_but_one_alone(laden, action):
    before = stored("revision")
    bounds = Bounds(max_changed_bytes=100)
    with pytest.raises(ValidationFailed):
        change(action, tags=("x",), bounds=bounds)
    assert stored("revision") == before
    assert change(action, [laden[0].id], tags=("x",), bounds=bounds).changed == 1
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


@pytest.mark.parametrize("action", list(BulkAction))
def test_no_document_ids_are_read_and_tags_only_to_change_them(laden, action):
    with recorded_statements() as statements:
        change(action, SessionFilters(tag=("t",), document=None), tags=("x",))
    # Sizes of the lists may be read, but not the lists themselves.
    size = r"(octet_length|pg_column_size)\([^()]*\)"
    rest = [re.sub(size, "", each) for each in statements]
    assert not any("rag_document_ids" in each for each in rest), rest
    reads_tags = any(re.search("SELECT.*metadata_tags", each, re.S) for each in rest)
    assert reads_tags is (action in (BulkAction.ADD_TAGS, BulkAction.REMOVE_TAGS))


def test_only_the_tags_that_change_are_written(laden, db_session):
    query = select(func.count()).select_from(SessionFacet)
    assert db_session.scalar(query) == 18
    with recorded_statements() as statements:
        change("add_tags", tags=("x", "t"))
    assert not any("DELETE FROM session_facets" in each for each in statements)
    assert db.session.scalar(query) == 21
    change("remove_tags", tags=("x", "t"))
    assert db.session.scalar(query) == 15


def test_tags_are_read_some_bytes_at_a_time(laden):
    bounds = Bounds(chunk_bytes=1)
    with recorded_statements() as statements:
        assert change("add_tags", tags=("x",), bounds=bounds).changed == 3
    reads = [
        each
        for each in statements
        if re.match("SELECT.*metadata_tags", each, re.DOTALL)
    ]
    assert len(reads) == 4, reads  # the one that locks, and one per session
    assert stored("metadata_tags") == {x: ["t", "u", "x"] for x in "abc"}


def test_a_facet_left_over_is_no_error_when_its_tag_is_added(db_session, make_session):
    chat = make_session(owner_id="alice", name="a")
    with transaction():
        left = {"session_id": chat.id, "kind": "tag", "value": "t", "owner_id": "alice"}
        db.session.execute(SessionFacet.__table__.insert(), left)
    assert change("add_tags", tags=("t",)) == BulkOutcome(1, (chat.id,))
    assert stored("metadata_tags") == {"a": ["t"]}
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]
