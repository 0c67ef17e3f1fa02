from uuid import UUID

import pytest
from sqlalchemy import update

from chatstore.db import db, run_write, transaction
from chatstore.enums import Archived
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.facets import FacetCount
from chatstore.store.filters import SessionFilters
from chatstore.store.sessions import delete_session, update_session
from chatstore.store.tags import (
    ChangeBounds,
    TagChange,
    change_batch,
    find_batches,
    list_tags,
)
from chatstore.store.verify.lists import find_wrong_facets
from tests.support.crowd import fill_sessions
from tests.support.statements import (
    MOST_TO_READ,
    MOST_TO_WRITE,
    plan_of,
    statements_of_read,
    statements_of_write,
)


def listed(**wanted):
    found = list_tags(owner_id="alice", limit=10, **wanted).items
    return [(each.value, each.sessions) for each in found]


@pytest.fixture
def chats(db_session, make_session):
    tags = {
        "a": ["Support", "zoo"],
        "b": ["zoo", "support", "sup"],
        "c": ["SUPPORT", "É"],
        "d": ["e\u0301"],
    }
    make_session(owner_id="bob", metadata_tags=["support", "Theirs"])
    return {
        name: make_session(owner_id="alice", name=name, metadata_tags=each)
        for name, each in tags.items()
    }


def test_tags_are_counted_the_most_common_first(db_session, make_session):
    make_session(owner_id="alice", metadata_tags=["b", "a"])
    make_session(owner_id="alice", metadata_tags=["b", "c"], rag_document_ids=["a"])
    make_session(owner_id="bob", metadata_tags=["a", "theirs"])
    expected = [FacetCount("b", 2), FacetCount("a", 1), FacetCount("c", 1)]
    assert list_tags(owner_id="alice", limit=10).items == expected
    assert list_tags(owner_id="alice", limit=2).items == expected[:2]
    assert list_tags(owner_id="nobody", limit=10).items == []


def test_equal_tags_are_one_in_the_spelling_of_the_oldest_session(chats):
    assert listed()[0] == ("Support", 3)
    assert sorted(listed()[1:3]) == [("zoo", 2), ("É", 2)]
    assert listed()[3:] == [("sup", 1)]
    run_write(delete_session, chats["a"].id, owner_id="alice")
    assert ("support", 2) in listed()
    change = {"metadata_tags": []}
    run_write(update_session, chats["b"].id, owner_id="alice", changes=change)
    assert ("SUPPORT", 1) in listed()


def test_a_spelling_of_an_older_version_counts_if_there_is_no_other(chats):
    # A server of an earlier version writes neither label nor number.
    with transaction():
        db.session.execute(update(SessionFacet).values(number=None, label=None))
    assert ("support", 3) in listed()
    chat = chats["c"]
    changes = {"metadata_tags": ["SupporT"]}
    run_write(update_session, chat.id, owner_id="alice", changes=changes)
    assert ("SupporT", 3) in listed()


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("su", ["Support", "sup"]),
        ("SUP", ["Support", "sup"]),
        (" supp", ["Support"]),
        ("support", ["Support"]),
        ("supports", []),
        ("sup%", []),
        ("s_p", []),
        ("e", []),
        ("E\u0301", ["É"]),
        ("z", ["zoo"]),
        ("\U0010ffff", []),
        ("su\ud7ff", []),
    ],
)
def test_a_prefix_is_compared_in_any_case(chats, prefix, expected):
    assert sorted(tag for tag, _ in listed(prefix=prefix)) == sorted(expected)


def test_prefixes_end_where_other_texts_begin(db_session, make_session):
    tags = ["a", "a\U0010ffff", "a\ud7ff", "a\ue000", "b", "\U0010ffff", "\U0010ffffz"]
    make_session(owner_id="alice", metadata_tags=tags)
    for prefix in tags:
        expected = {tag for tag in tags if tag.startswith(prefix)}
        assert {tag for tag, _ in listed(prefix=prefix)} == expected


def test_tags_are_those_of_the_sessions_that_match(chats):
    changes = {"archived": True, "llm_model_name": "old"}
    run_write(update_session, chats["a"].id, owner_id="alice", changes=changes)
    active = SessionFilters()
    assert ("Support", 2) in listed(filters=active)
    assert listed(filters=SessionFilters(archived=Archived.YES)) == [
        ("Support", 1),
        ("zoo", 1),
    ]
    everyone = Archived.ANY
    wanted = SessionFilters(tag=("ZOO",), archived=everyone)
    assert listed(filters=wanted, prefix="sup") == [("Support", 2), ("sup", 1)]
    assert listed(filters=SessionFilters(model="old")) == []
    wanted = SessionFilters(model="old", archived=everyone)
    assert listed(filters=wanted, prefix="z") == [("zoo", 1)]


def test_tags_are_counted_in_their_index(db_session, database_kind):
    fill_sessions(5000)
    for prefix in ("", "o"):
        plan = plan_of(database_kind, lambda prefix=prefix: listed(prefix=prefix))
        assert "ix_session_facets_values" in plan
        if database_kind == "sqlite":
            assert "COVERING INDEX ix_session_facets_values" in plan
            assert ("value>? AND value<?" in plan) is bool(prefix)
            assert "SCAN session_facets" not in plan
        elif prefix:
            assert "value ~>=~ 'o'" in plan and "Index" in plan
    assert len(statements_of_read(listed)) <= MOST_TO_READ


@pytest.mark.parametrize(
    ("old", "new", "before", "after"),
    [
        ("a", "b", ["x", "A", "y"], ["x", "b", "y"]),
        ("a", "B", ["a", "x", "b"], ["B", "x"]),
        ("a", "B", ["b", "x", "a"], ["B", "x"]),
        ("A", "a", ["a"], ["a"]),
        ("a", "A", ["x", "a"], ["x", "A"]),
        ("a", "b", ["b", "x"], ["b", "x"]),
        ("a", None, ["x", "A", "y"], ["x", "y"]),
        ("a", None, ["x"], ["x"]),
        ("a", "b", ["a", "A", "b"], ["b"]),
    ],
)
def test_a_change_of_a_tag_keeps_the_others_in_order(old, new, before, after):
    assert TagChange("alice", old, new).apply(before) == after


def test_a_batch_is_changed_and_found_by_the_new_tag(chats):
    before = {
        name: (chat.revision, chat.last_updated_at) for name, chat in chats.items()
    }
    change = TagChange("alice", "support", "Zoo")
    (batch,) = find_batches(change, after=None)
    assert sorted(batch) == sorted(chats[name].id for name in "abc")
    assert run_write(change_batch, change, batch) == 3
    assert run_write(change_batch, change, batch) == 0
    db.session.remove()
    found = {chat.name: chat for chat in db.session.query(ChatSession)}
    assert found["a"].metadata_tags == ["Zoo"]
    assert found["b"].metadata_tags == ["Zoo", "sup"]
    assert found["c"].metadata_tags == ["Zoo", "É"]
    for name, (revision, updated) in before.items():
        assert found[name].revision == revision + (name != "d")
        assert found[name].last_updated_at == updated
    assert ("Zoo", 3) in listed()
    assert list(find_wrong_facets()) == []
    theirs = list_tags(owner_id="bob", limit=10).items
    assert {each.value for each in theirs} == {"support", "Theirs"}


def test_another_owners_sessions_stay(chats):
    change = TagChange("bob", "support", None)
    ids = [chat.id for chat in chats.values()]
    assert run_write(change_batch, change, ids) == 0
    assert ("Support", 3) in listed()


def test_batches_are_bounded_in_sessions_and_bytes(db_session, make_session):
    documents = [[], [], ["d" * 300], [], []]
    chats = [
        make_session(owner_id="alice", metadata_tags=["T"], rag_document_ids=each)
        for each in documents
    ]
    change = TagChange("alice", "t", "u")

    def sizes(after=None, **bounds):
        batches = find_batches(change, after=after, bounds=ChangeBounds(**bounds))
        return [len(batch) for batch in batches]

    assert sizes() == [5]
    assert sizes(sessions=2) == [2, 2, 1]
    assert sizes(page=3, sessions=2) == [2, 1]
    assert max(sizes(bytes=250)) < 5
    last = max(chat.id for chat in chats)
    assert sizes(after=last) == []
    assert sizes(after=UUID(int=last.int - 1)) == [1]


def test_a_batch_costs_few_statements(db_session, make_session):
    for _ in range(5):
        make_session(owner_id="alice", metadata_tags=["t"])
    change = TagChange("alice", "t", "u")
    (batch,) = find_batches(change, after=None)
    statements = statements_of_write(change_batch, change, batch)
    # One more than others: a batch reads, updates, deletes and inserts.
    assert len(statements) <= MOST_TO_WRITE + 1, statements
