import random
from datetime import timedelta

import pytest
from sqlalchemy import event, select, update

from chatstore.clock import utc_now
from chatstore.db import db, run_read, run_write
from chatstore.errors import DatabaseUnavailable, NotFound
from chatstore.models import ChatSession, Message, MessageFeedback, SessionFacet
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.background_indexing import finish_indexing
from chatstore.store import deletions, forks, stats
from chatstore.store.deletions import BOUNDS, Bounds
from chatstore.store.messages import append_message
from chatstore.store.session_lists import list_sessions
from chatstore.store.sessions import delete_session, get_session, update_session
from chatstore.store.verify.checks import CHECKS
from tests.support import count, parsed
from tests.support.searches import hits

BATCH, MANY = 3, 10
SMALL = forks.CopyBounds(messages=BATCH)


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


def plan(chat, **wanted):
    wanted = {"bounds": SMALL} | wanted
    return run_read(forks.plan_fork, chat.id, owner_id="alice", **wanted)


def begun(chat, **wanted):
    """Return a fork with one batch copied."""
    fork = plan(chat, **wanted)
    run_write(forks.begin_fork, fork)
    return run_write(forks.copy_batch, fork)


def finish(fork):
    while not fork.is_last_batch:
        fork = run_write(forks.copy_batch, fork)
    return run_write(forks.finish_fork, fork)


def contents(chat):
    query = select(Message.content).where(Message.session_id == chat.id)
    return list(db.session.scalars(query.order_by(Message.seq)))


def violations():
    db.session.remove()
    return {check.name: found for check in CHECKS if (found := list(check.find()))}


def test_a_large_fork_is_copied_in_batches_and_invisible_until_the_last(chat):
    fork, sizes = plan(chat), []
    run_write(forks.begin_fork, fork)
    while not fork.is_last_batch:
        fork = run_write(forks.copy_batch, fork)
        sizes.append(fork.copied)
        assert finish_indexing()
        assert violations() == {}
        with pytest.raises(NotFound):
            get_session(fork.id, owner_id="alice")
        page = list_sessions(owner_id="alice", limit=10)
        assert [each.id for each in parsed(page.items)] == [chat.id]
        assert {hit.session_id for hit in hits("m*")} == {chat.id}
        assert (stats.count_sessions(), stats.get_stats()["owners"]) == (1, 1)
    assert sizes == [3, 6, 9]
    new = run_write(forks.finish_fork, fork)
    assert finish_indexing()
    assert contents(new) == contents(chat)
    assert (new.owner_id, new.former_owner_id, new.last_seq) == ("alice", None, MANY)
    assert (new.forked_from_id, new.forked_from_seq) == (chat.id, MANY)
    assert {hit.session_id for hit in hits("m*")} == {chat.id, new.id}
    assert {hit.session_id for hit in hits("large")} == {chat.id, new.id}
    assert violations() == {}


def test_each_transaction_writes_a_bounded_number_of_messages(chat):
    written = []

    def note(session):
        written.append(count(session, Message))

    fork = plan(chat)
    event.listen(db.session, "before_commit", note)
    try:
        run_write(forks.begin_fork, fork)
        finish(fork)
    finally:
        event.remove(db.session, "before_commit", note)
    counts = [b - a for a, b in zip([MANY, *written], written, strict=False)]
    assert [each for each in counts if each] == [3, 3, 3, 1]


def test_a_batch_is_bounded_in_bytes(db_session, make_session):
    chat, ends = make_session(owner_id="alice"), []
    for size, metadata in ((50, None), (25, {"m": "x" * 17}), (121, None), (1, None)):
        text = "ö" * (size // 2) + "x" * (size % 2)
        run_write(
            append_message, chat.id, owner_id="alice", content=text, metadata=metadata
        )
    fork = plan(chat, bounds=forks.CopyBounds(bytes=110))
    run_write(forks.begin_fork, fork)
    while not fork.is_last_batch:
        ends.append(fork.batch)
        fork = run_write(forks.copy_batch, fork)
    assert [*ends, fork.batch] == [[1, 2], [3], [4]]


def test_a_small_fork_takes_one_transaction(chat):
    fork = plan(chat, bounds=forks.CopyBounds(messages=MANY))
    assert fork.is_last_batch
    new = run_write(forks.finish_fork, fork)
    assert contents(new) == contents(chat)
    assert finish_indexing()
    assert violations() == {}


def test_the_batches_follow_a_random_branch(db_session, make_session):
    chance = random.Random(1)
    for _ in range(20):
        chat, parents = make_session(owner_id="alice"), {}
        for seq in range(1, 30):
            parent = chance.choice([None, None, chance.randrange(seq)])
            place = {} if parent is None else {"parent_seq": parent}
            run_write(
                append_message, chat.id, owner_id="alice", content=f"{seq}", **place
            )
            parents[seq] = seq - 1 if parent is None else parent
        seq, path = chance.randrange(1, 30), []
        at_seq = seq
        while seq:
            path, seq = [seq, *path], parents[seq]
        new = finish(begun(chat, at_seq=at_seq)) if len(path) > BATCH else None
        if new is not None:
            assert contents(new) == [f"{seq}" for seq in path]
            assert new.last_message_preview == f"{at_seq}"
    assert finish_indexing()
    assert violations() == {}


def test_a_copy_keeps_what_was_said_and_not_what_was_done_to_it(chat):
    edited = {"revision": 3, "edited_at": utc_now(), "feedback": {"rating": 1}}
    deleted = {"content": "", "deleted_at": utc_now()}
    for seq, columns in ((1, edited), (2, deleted)):
        run_write(
            lambda seq=seq, columns=columns: db.session.execute(
                update(Message).where(Message.seq == seq).values(**columns)
            )
        )
    new = finish(begun(chat))
    query = select(Message).where(Message.session_id == new.id).order_by(Message.seq)
    first, second, *_ = db.session.scalars(query)
    assert (first.content, first.revision) == ("m1", 1)
    assert (first.edited_at, first.feedback, first.deleted_at) == (None, None, None)
    assert (second.content, second.deleted_at) == ("", deleted["deleted_at"])
    assert count(db.session, MessageFeedback) == 0


def test_timestamps_are_kept_and_the_fork_is_new(chat, clock):
    clock.now = chat.last_updated_at + timedelta(days=1)
    new = finish(begun(chat))
    query = select(Message.timestamp).order_by(Message.seq)
    old, kept = (
        list(db.session.scalars(query.where(Message.session_id == each.id)))
        for each in (chat, new)
    )
    assert kept == old
    forked_at = new.last_updated_at
    assert new.created_at == forked_at > old[-1]
    later = run_write(append_message, new.id, owner_id="alice", content="x")
    assert later.timestamp > forked_at
    assert finish_indexing()
    assert violations() == {}


def test_a_fork_is_not_older_than_its_messages(chat, clock):
    clock.now = chat.created_at - timedelta(days=1)
    new = finish(begun(chat))
    assert new.created_at < new.last_updated_at == chat.last_updated_at
    assert finish_indexing()
    assert violations() == {}


def move_times(**columns):
    moving = update(ChatSession).where(ChatSession.forked_from_id.is_not(None))
    run_write(db.session.execute, moving.values(**columns))


def test_verify_finds_a_fork_that_is_older_than_its_messages(chat):
    finish(begun(chat))
    assert finish_indexing()
    move_times(created_at=chat.created_at, last_updated_at=chat.created_at)
    assert violations().keys() == {"last message"}


def test_verify_finds_a_fork_that_is_newer_than_its_own_message(chat):
    new = finish(begun(chat))
    run_write(append_message, new.id, owner_id="alice", content="m")
    assert finish_indexing()
    assert violations() == {}
    move_times(last_updated_at=chat.created_at + timedelta(days=1))
    assert violations().keys() == {"last message"}


def test_the_preview_is_the_last_readable_text(db_session, make_session):
    chat = make_session(owner_id="alice", messages=1)
    for content, role in (("\n x ", "assistant"), ("\n", "user"), ("{}", "tool")):
        run_write(append_message, chat.id, owner_id="alice", content=content, role=role)
    assert finish(begun(chat)).last_message_preview == "x"


@pytest.mark.parametrize("is_large", [False, True])
def test_a_session_that_is_deleted_meanwhile_has_no_fork(chat, db_session, is_large):
    bounds = Bounds(max_messages=BATCH) if is_large else BOUNDS
    fork = begun(chat)
    run_write(delete_session, chat.id, owner_id="alice", bounds=bounds)
    for step in (forks.copy_batch, forks.finish_fork):
        with pytest.raises(NotFound):
            run_write(step, fork)
    run_write(forks.hide_fork, fork.id)
    assert finish_deletions()
    assert (count(db_session, ChatSession), count(db_session, Message)) == (0, 0)
    assert count(db_session, SessionFacet) == 0


def test_messages_that_are_being_deleted_are_not_copied_in_part(chat, db_session):
    fork = begun(chat)
    run_write(
        lambda: db.session.execute(
            Message.__table__.delete().where(
                Message.session_id == chat.id, Message.seq == 5
            )
        )
    )
    with pytest.raises(NotFound):
        run_write(forks.copy_batch, fork)
    query = select(ChatSession.last_seq).where(ChatSession.id == fork.id)
    assert db_session.scalar(query) == BATCH


def test_a_deletion_leaves_a_fork_that_is_being_copied(chat, db_session):
    fork = begun(chat)
    assert not finish_deletions()  # so the background looks again
    assert deletions.find_hidden() is None
    assert contents(finish(fork)) == contents(chat)
    assert finish_deletions()


def test_a_fork_that_was_left_is_deleted_after_its_lease(chat, clock, db_session):
    fork = begun(chat)
    clock.now += forks.LEASE - timedelta(seconds=30)
    assert not finish_deletions()
    assert count(db_session, Message) == MANY + BATCH
    clock.now += timedelta(minutes=1)
    assert finish_deletions()
    assert count(db_session, Message) == MANY
    assert violations() == {}
    for step in (forks.copy_batch, forks.finish_fork):
        with pytest.raises(DatabaseUnavailable):
            run_write(step, fork)
    assert count(db_session, ChatSession) == 1


def test_a_fork_that_others_delete_gets_no_gap(chat, clock, db_session):
    fork = begun(chat)
    clock.now += 2 * forks.LEASE
    run_write(forks.hide_abandoned_forks)
    assert deletions.find_hidden() == fork.id
    for step in (forks.copy_batch, forks.finish_fork):
        with pytest.raises(DatabaseUnavailable, match="took too long"):
            run_write(step, fork)
    assert finish_deletions()


def test_each_batch_renews_the_lease(chat, clock):
    fork = begun(chat)
    while not fork.is_last_batch:
        clock.now += forks.LEASE - timedelta(seconds=30)
        run_write(forks.hide_abandoned_forks)
        fork = run_write(forks.copy_batch, fork)
    assert contents(finish(fork)) == contents(chat)


def test_what_is_finished_is_not_hidden(chat):
    fork = begun(chat)
    new = finish(fork)
    run_write(forks.hide_fork, fork.id)
    assert get_session(new.id, owner_id="alice").last_seq == MANY
    assert forks.count_unfinished() == 0


def test_a_batch_that_is_copied_twice_is_refused(chat, db_session):
    fork = begun(chat)
    run_write(forks.copy_batch, fork)
    with pytest.raises(DatabaseUnavailable):
        run_write(forks.copy_batch, fork)
    assert count(db_session, Message) == MANY + 2 * BATCH


def test_a_change_of_the_session_is_copied_whole(chat, db_session):
    fork = begun(chat)
    changes = {"metadata_tags": ["u", "v"], "llm_model_name": "new"}
    run_write(update_session, chat.id, owner_id="alice", changes=changes)
    new = finish(fork)
    assert (new.metadata_tags, new.llm_model_name) == (["u", "v"], "new")
    assert finish_indexing()
    assert violations() == {}


def test_the_entries_of_edited_copies_are_those_of_their_text(chat):
    new = finish(begun(chat))
    assert finish_indexing()
    for scope in ({"session_id": new.id}, {"session_id": chat.id}):
        assert len(hits("m*", **scope)) == MANY
        assert {hit.session_id for hit in hits("m*", **scope)} == set(scope.values())
