import re
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import select, update

from chatstore.db import db, run_write, transaction
from chatstore.errors import NotFound, PreconditionFailed
from chatstore.models import ChatSession, Message
from chatstore.store.messages import append_message
from chatstore.store.session_lists import list_sessions
from chatstore.store.sessions import (
    create_session,
    delete_session,
    get_session,
    update_session,
)
from tests.support import MISSING_ID, count
from tests.support.crowd import number_after
from tests.support.statements import (
    MOST_TO_PURGE,
    MOST_TO_READ,
    MOST_TO_WRITE,
    statements_of_read,
    statements_of_write,
)


def test_created_session_is_empty_and_dated(db_session, clock):
    chat = create_session(
        owner_id="alice",
        name="Plans",
        llm_model_name="m",
        rag_document_ids=("d1", "d2"),
        metadata_tags=["t"],
    )
    db_session.expire_all()
    assert get_session(chat.id, owner_id="alice") is chat
    assert (chat.name, chat.llm_model_name, chat.owner_id) == ("Plans", "m", "alice")
    assert (chat.rag_document_ids, chat.metadata_tags) == (["d1", "d2"], ["t"])
    assert chat.created_at == chat.last_updated_at == clock.now
    assert (chat.message_count, chat.last_seq, chat.revision) == (0, 0, 1)


def test_creating_leaves_the_commit_to_its_caller(db_session):
    create_session(owner_id="alice", llm_model_name="m")
    db_session.rollback()
    assert count(db_session, ChatSession) == 0


def test_a_number_that_another_process_took_first_is_not_insisted_on(db_session, clock):
    clock.step = timedelta(0)  # all sessions get the same microsecond
    theirs = run_write(create_session, owner_id="bob", llm_model_name="m")
    with transaction():
        follower = number_after(theirs.number)
        db_session.execute(update(ChatSession).values(number=follower))
    ours = run_write(create_session, owner_id="alice", llm_model_name="m")
    assert ours.number == number_after(follower)
    assert count(db_session, ChatSession) == 2


OTHERS = [
    lambda chat_id: get_session(chat_id, owner_id="bob"),
    lambda chat_id: update_session(chat_id, owner_id="bob", changes={"name": "x"}),
    lambda chat_id: update_session(chat_id, owner_id="bob", changes={}),
    lambda chat_id: delete_session(chat_id, owner_id="bob"),
    lambda chat_id: update_session(
        chat_id, owner_id="bob", changes={"name": "x"}, if_revisions={1}
    ),
    lambda chat_id: delete_session(chat_id, owner_id="bob", if_revisions={7}),
]


@pytest.mark.parametrize("reach", OTHERS)
def test_somebody_elses_session_is_like_a_missing_one(db_session, make_session, reach):
    chat = make_session(owner_id="alice", messages=1, name="hers")
    with pytest.raises(NotFound) as others:
        reach(chat.id)
    with pytest.raises(NotFound) as missing:
        reach(UUID(MISSING_ID))
    assert others.value.detail.replace(str(chat.id), MISSING_ID) == missing.value.detail
    assert get_session(chat.id, owner_id="alice").name == "hers"
    assert count(db_session, Message) == 1


def test_update_changes_what_it_is_given_and_counts_a_revision(
    db_session, make_session
):
    chat = make_session(owner_id="alice", name="old", metadata_tags=["t"])
    after = update_session(
        chat.id,
        owner_id="alice",
        changes={"name": "new", "rag_document_ids": ["d"], "llm_model_name": "other"},
    )
    db_session.refresh(after)
    assert (after.name, after.llm_model_name) == ("new", "other")
    assert (after.rag_document_ids, after.metadata_tags) == (["d"], ["t"])
    assert (after.revision, after.last_updated_at) == (2, chat.last_updated_at)


def test_update_returns_what_is_stored_and_not_what_was_read_before(
    db_session, make_session
):
    chat = make_session(owner_id="alice", name="one")
    seen = get_session(chat.id, owner_id="alice")
    run_write(update_session, chat.id, owner_id="alice", changes={"name": "two"})
    assert (seen.name, seen.revision) == ("two", 2)


def test_what_was_read_before_does_not_hide_what_others_changed(
    app, db_session, make_session
):
    chat = make_session(owner_id="alice", name="old")
    before = get_session(chat.id, owner_id="alice")  # stays in the identity map
    with app.app_context():
        run_write(append_message, chat.id, owner_id="alice", content="x")
    mine = run_write(update_session, chat.id, owner_id="alice", changes={"name": "new"})
    assert (mine.name, mine.message_count, mine.revision) == ("new", 1, 3)
    assert mine is before


def test_an_update_of_nothing_is_no_revision(db_session, make_session):
    chat = make_session(owner_id="alice", name="same")
    after = update_session(chat.id, owner_id="alice", changes={})
    assert (after.name, after.revision) == ("same", 1)


def test_update_touches_no_other_session(db_session, make_session):
    chat, other = make_session(owner_id="alice"), make_session(owner_id="alice")
    update_session(chat.id, owner_id="alice", changes={"name": "x"})
    db_session.expire_all()
    assert get_session(other.id, owner_id="alice").name is None
    assert get_session(other.id, owner_id="alice").revision == 1


@pytest.mark.parametrize("revisions", [{1}, {1, 8}, None])
def test_a_change_of_the_revision_asked_for_is_made(
    db_session, make_session, revisions
):
    chat = make_session(owner_id="alice")
    after = update_session(
        chat.id, owner_id="alice", changes={"name": "x"}, if_revisions=revisions
    )
    assert after.revision == 2
    delete_session(chat.id, owner_id="alice", if_revisions=revisions and {2})
    assert count(db_session, ChatSession) == 0


@pytest.mark.parametrize("revisions", [set(), {2}, {0, 3}])
@pytest.mark.parametrize("changes", [{"name": "x"}, {}])
def test_a_change_of_another_revision_is_refused(
    db_session, make_session, changes, revisions
):
    chat = make_session(owner_id="alice", name="old")
    with pytest.raises(PreconditionFailed):
        update_session(
            chat.id, owner_id="alice", changes=changes, if_revisions=revisions
        )
    with pytest.raises(PreconditionFailed):
        delete_session(chat.id, owner_id="alice", if_revisions=revisions)
    assert get_session(chat.id, owner_id="alice").name == "old"


def test_of_many_changes_of_one_revision_one_is_made(app, make_session):
    chat = make_session(owner_id="alice")

    def rename(number):
        with app.app_context():
            try:
                run_write(
                    update_session,
                    chat.id,
                    owner_id="alice",
                    changes={"name": f"n{number}"},
                    if_revisions={1},
                )
            except PreconditionFailed:
                return None
            return f"n{number}"

    with ThreadPoolExecutor(8) as threads:
        (winner,) = filter(None, threads.map(rename, range(16)))
    with app.app_context():
        after = get_session(chat.id, owner_id="alice")
        assert (after.name, after.revision) == (winner, 2)


def test_delete_takes_the_messages_along_and_no_others(db_session, make_session):
    gone = make_session(owner_id="alice", messages=3)
    kept = make_session(owner_id="alice", messages=2)
    delete_session(gone.id, owner_id="alice")
    assert db_session.scalars(select(ChatSession.id)).all() == [kept.id]
    assert set(db_session.scalars(select(Message.session_id))) == {kept.id}


def test_delete_leaves_the_commit_to_its_caller(db_session, make_session):
    chat = make_session(owner_id="alice", messages=3)
    delete_session(chat.id, owner_id="alice")
    db_session.rollback()
    assert (count(db_session, ChatSession), count(db_session, Message)) == (1, 3)


@pytest.mark.parametrize("messages", [0, 40])
def test_reading_sessions_costs_few_statements_and_no_message(
    db_session, make_session, messages
):
    chat = make_session(owner_id="alice", messages=messages)
    for read in (
        statements_of_read(get_session, chat.id, owner_id="alice"),
        statements_of_read(list_sessions, owner_id="alice", limit=50),
    ):
        assert len(read) <= MOST_TO_READ
        assert not [each for each in read if "chat_messages" in each]


@pytest.mark.parametrize("messages", [0, 40])
def test_writing_sessions_costs_few_statements_whatever_they_hold(
    db_session, make_session, messages
):
    chat = make_session(owner_id="alice", messages=messages)
    mine = {"owner_id": "alice"}
    for written in (
        statements_of_write(create_session, llm_model_name="m", **mine),
        statements_of_write(update_session, chat.id, changes={"name": "x"}, **mine),
    ):
        assert len(written) <= MOST_TO_WRITE
        rows = [each for each in written if "message_index" not in each]
        assert not [each for each in rows if "chat_messages" in each]
    deleted = statements_of_write(delete_session, chat.id, **mine)
    assert len(deleted) <= MOST_TO_PURGE
    # Message sizes decide whether to delete at once, so only the sizes are read.
    columns = r"chat_messages\.(?:content|metadata)"
    sizes = rf"octet_length\((?:CAST\()?{columns}"
    for each in deleted:
        if "message_index" not in each:
            assert len(re.findall(columns, each)) == len(re.findall(sizes, each))
    assert count(db.session, Message) == 0
