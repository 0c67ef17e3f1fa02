from uuid import UUID

import pytest
from sqlalchemy import select, update

from chatstore.db import run_write, transaction
from chatstore.enums import BulkAction
from chatstore.errors import NotFound, PreconditionFailed
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.models.sessions import DELETED_OWNER
from chatstore.services.background_deletions import finish_deletions
from chatstore.store import bulk, deletions, facets, messages, sessions, stats, tags
from chatstore.store.deletions import Bounds
from chatstore.store.search import rebuild
from chatstore.store.session_lists import list_sessions
from chatstore.store.verify.checks import CHECKS
from tests.support import count, parsed
from tests.support.searches import hits
from tests.support.statements import statements_of_write

MANY = 10
BATCH = 3
FEW = Bounds(max_messages=BATCH)
FEW_BYTES = Bounds(max_messages=BATCH, max_bytes=100)


@pytest.fixture
def chat(db_session, make_session):
    """A session with too many messages for one transaction."""
    return make_session(
        owner_id="alice",
        name="Large",
        metadata_tags=["t"],
        rag_document_ids=["d"],
        messages=MANY,
    )


@pytest.fixture
def other(db_session, make_session):
    return make_session(owner_id="alice", name="Other", messages=BATCH)


def delete(chat, *, bounds=FEW, **conditions):
    return run_write(
        sessions.delete_session, chat.id, owner_id="alice", bounds=bounds, **conditions
    )


def delete_all(chats, *, bounds=FEW):
    run_write(
        bulk.change_sessions,
        bulk.BulkChange(BulkAction.DELETE),
        owner_id="alice",
        selected=[chat.id for chat in chats],
        max_sessions=100,
        bounds=bulk.Bounds(deletion=bounds),
    )


def delete_batch(chat, *, after=0, bounds=FEW):
    return run_write(deletions.delete_batch, chat.id, after=after, bounds=bounds)


REACH = {
    "get": lambda chat: sessions.get_session(chat.id, owner_id="alice"),
    "get as sent": lambda chat: sessions.get_session_json(chat.id, owner_id="alice"),
    "change": lambda chat: run_write(
        sessions.update_session, chat.id, owner_id="alice", changes={"name": "x"}
    ),
    "list": lambda chat: messages.list_messages(
        chat.id, owner_id="alice", wanted=messages.MessageRange()
    ),
    "append": lambda chat: run_write(
        messages.append_message, chat.id, owner_id="alice", content="x"
    ),
    "delete": delete,
}


def test_its_metadata_and_external_id_are_gone_at_once(chat, db_session):
    change = {"metadata": {"k": "v"}, "external_id": "e"}
    run_write(sessions.update_session, chat.id, owner_id="alice", changes=change)
    assert delete(chat)
    row = db_session.get(ChatSession, chat.id, populate_existing=True)
    assert (row.metadata_, row.external_id) == ({}, None)
    assert count(db_session, SessionFacet) == 0


def test_the_previous_version_may_hide_sessions_with_one_external_id(
    make_session, db_session
):
    chats = [make_session(owner_id=each, external_id="e") for each in ("al", "bo")]
    hiding = update(ChatSession).values(
        owner_id=DELETED_OWNER, former_owner_id=ChatSession.owner_id
    )
    with transaction():
        db_session.execute(hiding)
    assert deletions.count_hidden() == len(chats)


@pytest.mark.parametrize("reach", REACH.values(), ids=REACH)
def test_it_is_gone_for_its_owner_at_once(chat, db_session, reach):
    assert delete(chat)
    assert count(db_session, Message) == MANY
    with pytest.raises(NotFound):
        reach(chat)


def test_its_messages_are_gone_one_by_one(chat, db_session):
    ids = list(db_session.scalars(select(Message.id).order_by(Message.seq)))
    delete(chat)
    for each in (ids[0], ids[-1]):
        with pytest.raises(NotFound):
            messages.get_message(chat.id, each, owner_id="alice")


def test_no_list_and_no_search_has_it(chat, other):
    assert len(hits("m*")) == MANY + BATCH
    delete(chat)
    page = list_sessions(owner_id="alice", limit=10)
    assert [each.name for each in parsed(page.items)] == ["Other"]
    assert {hit.session_id for hit in hits("m*")} == {other.id}
    assert hits("large") == []
    assert tags.list_tags(owner_id="alice", limit=10).items == []
    counted = facets.list_models(owner_id="alice", limit=10).items
    assert [each.sessions for each in counted] == [1]
    assert stats.count_sessions() == 1


def test_a_batch_takes_so_many_and_the_last_one_the_session(chat, other, db_session):
    delete(chat)
    left, last = [], 0
    while last is not None:
        last = delete_batch(chat, after=last)
        left.append(count(db_session, Message) - BATCH)
        assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]
    assert left == [7, 4, 1, 0]
    assert set(db_session.scalars(select(ChatSession.id))) == {other.id}
    assert count(db_session, SessionFacet) == 0


def test_a_batch_is_no_larger_than_so_many_bytes(make_session, db_session):
    chat, ends, last = make_session(owner_id="alice"), [], 0
    for size in (50, 50, 101, 1):
        text = "ö" * (size // 2) + "x" * (size % 2)
        run_write(messages.append_message, chat.id, owner_id="alice", content=text)
    delete(chat, bounds=FEW_BYTES)
    while last is not None:
        last = delete_batch(chat, after=last, bounds=FEW_BYTES)
        ends.append(last)
    assert ends == [2, 3, None]


def test_a_session_that_happens_to_belong_to_nobody_stays(make_session, db_session):
    make_session(owner_id="", messages=2)
    assert deletions.find_hidden() is None
    assert finish_deletions()
    assert count(db_session, Message) == 2
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


def test_stats_tell_what_is_being_deleted(chat, other):
    delete(chat)
    found = stats.get_stats()
    assert (found["sessions"], found["owners"]) == (1, 1)
    assert found["sessions being deleted"] == 1
    finish_deletions(bounds=FEW)
    assert stats.get_stats()["sessions being deleted"] == 0


def test_to_hide_costs_the_same_however_many_messages(make_session, db_session):
    costs = [
        statements_of_write(
            sessions.delete_session,
            make_session(owner_id="alice", name="x", messages=messages).id,
            owner_id="alice",
            bounds=FEW,
        )
        for messages in (BATCH + 1, 5 * BATCH)
    ]
    assert costs[0] == costs[1]
    assert not [each for each in costs[0] if "DELETE FROM chat_messages" in each]


def test_nothing_of_it_stays_in_the_index(chat, other):
    delete(chat)
    finish_deletions(bounds=FEW)
    assert list(rebuild.find_strays(MESSAGES)) == list(rebuild.find_strays(NAMES)) == []
    assert len(hits("m*")) == BATCH


def test_it_goes_on_where_it_was_broken_off(chat, db_session):
    delete(chat)
    delete_batch(chat)
    finish_deletions(bounds=FEW)
    assert (count(db_session, ChatSession), count(db_session, Message)) == (0, 0)


def test_a_session_that_is_not_hidden_loses_nothing(chat, db_session):
    assert delete_batch(chat) is None
    finish_deletions(bounds=FEW)
    assert count(db_session, Message) == MANY


def test_one_that_changed_meanwhile_is_not_hidden(chat):
    with pytest.raises(PreconditionFailed):
        delete(chat, if_revisions={chat.revision - 1})
    assert deletions.find_hidden() is None


def test_one_of_few_messages_goes_at_once(other, db_session):
    assert not delete(other)
    assert deletions.find_hidden() is None
    assert (count(db_session, ChatSession), count(db_session, Message)) == (0, 0)


def test_it_is_known_whose_it_was(chat, db_session):
    delete(chat)
    row = db_session.execute(
        select(ChatSession.id, ChatSession.owner_id, ChatSession.former_owner_id)
    ).one()
    assert tuple(row) == (UUID(str(chat.id)), "", "alice")


@pytest.mark.parametrize("part", ["content", "metadata"])
def test_few_large_messages_are_hidden_too(make_session, db_session, part):
    chats = {}
    for size in (20, 200):
        chats[size] = make_session(owner_id="alice")
        large = "x" * size
        turn = {"content": large} if part == "content" else {"metadata": {"m": large}}
        run_write(
            messages.append_message,
            chats[size].id,
            owner_id="alice",
            **{"content": "x", **turn},
        )
    delete(chats[20], bounds=FEW_BYTES)
    assert deletions.find_hidden() is None
    delete(chats[200], bounds=FEW_BYTES)
    assert deletions.find_hidden() == chats[200].id
    finish_deletions(bounds=FEW_BYTES)


def test_a_batch_counts_metadata(make_session, db_session):
    chat, ends, last = make_session(owner_id="alice"), [], 0
    for _ in range(3):
        run_write(
            messages.append_message,
            chat.id,
            owner_id="alice",
            content="x",
            metadata={"m": "x" * 60},
        )
    delete(chat, bounds=FEW_BYTES)
    while last is not None:
        last = delete_batch(chat, after=last, bounds=FEW_BYTES)
        ends.append(last)
    assert ends == [1, 2, None]


def test_a_bulk_deletion_is_bounded_by_bytes(make_session, db_session):
    chats = [make_session(owner_id="alice") for _ in range(3)]
    for chat in chats:
        run_write(messages.append_message, chat.id, owner_id="alice", content="x" * 60)
    delete_all(chats, bounds=FEW_BYTES)
    assert (count(db_session, Message), deletions.count_hidden()) == (3, 3)
    finish_deletions(bounds=FEW_BYTES)
    assert count(db_session, ChatSession) == 0


def finished(bounds):
    left = []
    while deleted := run_write(deletions.delete_small_sessions, bounds=bounds):
        left.append(deleted)
    return left


def test_small_sessions_go_together(make_session, db_session):
    chats = [make_session(owner_id="alice", messages=1) for _ in range(3 * BATCH)]
    delete_all(chats)
    assert deletions.count_hidden() == 3 * BATCH
    assert finished(FEW) == [BATCH, BATCH, BATCH]
    assert (count(db_session, ChatSession), count(db_session, Message)) == (0, 0)
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


def test_small_sessions_that_go_together_are_bounded_in_bytes(chat, make_session):
    run_write(deletions.hide_sessions, ChatSession.id == chat.id)
    for size in (4, 4, 4, 11):
        few = make_session(owner_id="alice")
        run_write(messages.append_message, few.id, owner_id="alice", content="x" * size)
        run_write(deletions.hide_sessions, ChatSession.id == few.id)
    bounds = Bounds(max_messages=9, max_bytes=10)
    assert sorted(finished(bounds)) == [1, 2]
    assert deletions.count_hidden() == 2  # the long one, and the one of long text
    assert finish_deletions(bounds=bounds)
    assert deletions.count_hidden() == 0
