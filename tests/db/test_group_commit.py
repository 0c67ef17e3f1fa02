from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from uuid import UUID

import pytest
from sqlalchemy import event, text
from sqlalchemy.exc import IntegrityError, OperationalError

from chatstore.app_state import get_from_app
from chatstore.db import database_state, db, prepared, run_write, write_connection
from chatstore.db.group_commit import _MAX_BYTES, CommitGroup, copy_error, group_commit
from chatstore.errors import (
    DatabaseUnavailable,
    NotFound,
    OutcomeUnknown,
    SeqConflict,
)
from chatstore.models import Message
from chatstore.store.messages import append_message
from tests.support import MISSING_ID, count, messages_url, on_sqlite, wait_until

MANY = 6


@contextmanager
def counted_commits():
    commits = []

    def note(connection):
        commits.append(connection)

    event.listen(db.engine, "commit", note)
    try:
        yield commits
    finally:
        event.remove(db.engine, "commit", note)


def all_at_once(app, works):
    """Start all works while the writer lock is held; return results and errors."""

    def run(work):
        with app.app_context():
            try:
                return group_commit(work)
            except Exception as error:
                return error

    group = get_from_app(CommitGroup, app)
    with ThreadPoolExecutor(len(works)) as pool:
        with database_state(app).writer_lock.held():
            futures = [pool.submit(run, work) for work in works]
            wait_until(lambda: len(group._waiting) >= len(works))
        return [future.result() for future in futures]


def appending(chat, content="x", **others):
    return lambda: append_message(chat.id, owner_id="alice", content=content, **others)


def contents():
    query = text("SELECT content FROM chat_messages ORDER BY seq")
    return db.session.scalars(query).all()


@on_sqlite
def test_who_waits_to_write_is_committed_with_the_others(app, make_session):
    chat = make_session(owner_id="alice")
    with app.app_context(), counted_commits() as commits:
        written = all_at_once(app, [appending(chat, str(n)) for n in range(MANY)])
        assert sorted(each.seq for each in written) == list(range(1, MANY + 1))
        assert len(commits) == 1
        assert contents() == [each.content for each in sorted(written, key=by_seq)]


def by_seq(message):
    return message.seq


@on_sqlite
def test_a_refusal_is_only_that_of_its_own_request(app, make_session):
    chat = make_session(owner_id="alice")
    missing = type(chat)(id=UUID(MISSING_ID))
    with app.app_context(), counted_commits() as commits:
        one, refused, conflicting, two = all_at_once(
            app,
            [
                appending(chat),
                appending(missing),
                appending(chat, expected_seq=9),
                appending(chat),
            ],
        )
        assert isinstance(refused, NotFound) and isinstance(conflicting, SeqConflict)
        assert {one.seq, two.seq} == {1, 2}
        assert len(commits) == 1


@on_sqlite
def test_a_failure_is_only_that_of_its_own_request(app, make_session):
    chat = make_session(owner_id="alice")

    def fail():
        append_message(chat.id, owner_id="alice", content="never")
        raise ZeroDivisionError

    with app.app_context():
        first, failed, last = all_at_once(
            app, [appending(chat, "a"), fail, appending(chat, "b")]
        )
        assert isinstance(failed, ZeroDivisionError)
        assert {first.seq, last.seq} == {1, 2}
        assert sorted(contents()) == ["a", "b"]


@on_sqlite
def test_what_cannot_be_committed_fails_for_all_and_is_not_done_again(
    app, make_session
):
    chat = make_session(owner_id="alice")
    done = []

    def orphan():
        done.append("orphan")
        write_connection().execute(text("PRAGMA defer_foreign_keys = ON"))
        write_connection().execute(
            text(
                "INSERT INTO chat_messages (session_id, seq, timestamp, role, content)"
                " VALUES ('0', 1, '', 'user', 'x')"
            )
        )

    def append():
        done.append("append")
        return append_message(chat.id, owner_id="alice", content="x")

    with app.app_context():
        outcomes = all_at_once(app, [orphan, append])
        assert [type(each) for each in outcomes] == [IntegrityError] * 2
        first, second = outcomes
        assert first is not second
        assert first.__traceback__ is not second.__traceback__
        assert sorted(done) == ["append", "orphan"]
        assert count(db.session, Message) == 0
        assert group_commit(append).seq == 1


@on_sqlite
def test_who_waits_too_long_is_told_so_and_writes_nothing(app, make_session):
    chat = make_session(owner_id="alice")
    group = CommitGroup(timeout_seconds=0.05)
    is_leading, may_go = Event(), Event()

    def lead():
        is_leading.set()
        may_go.wait(10)
        return append_message(chat.id, owner_id="alice", content="leader")

    def run():
        with app.app_context():
            return group.run(lead)

    with ThreadPoolExecutor(1) as pool, app.app_context():
        leader = pool.submit(run)
        assert is_leading.wait(10)
        with pytest.raises(DatabaseUnavailable):
            group.run(appending(chat, "late"))
        may_go.set()
        assert leader.result().seq == 1
        assert group.run(appending(chat, "next")).seq == 2
        assert contents() == ["leader", "next"]


@on_sqlite
def test_appends_with_a_key_are_committed_with_the_others(app, make_session):
    chat = make_session()
    url, group = messages_url(chat), get_from_app(CommitGroup, app)

    def post(number):
        key = {"Idempotency-Key": f"k{number // 2}"}
        return app.test_client().post(url, json={"content": "x"}, headers=key)

    with app.app_context(), counted_commits() as commits:
        with ThreadPoolExecutor(MANY) as pool:
            with database_state(app).writer_lock.held():
                futures = [pool.submit(post, number) for number in range(MANY)]
                wait_until(lambda: len(group._waiting) == MANY)
            answers = [future.result() for future in futures]
        assert [each.status_code for each in answers] == [201] * MANY
        # In a group, the second request with the same key replays the first response.
        replayed = [each for each in answers if "Idempotency-Replayed" in each.headers]
        assert len(replayed) == MANY // 2
        for first, second in zip(answers[::2], answers[1::2], strict=True):
            assert first.data == second.data
        assert len(commits) == 1
        assert count(db.session, Message) == MANY // 2


@on_sqlite
def test_a_refused_append_in_a_group_leaves_its_key_free(app, make_session):
    url, group = messages_url(make_session()), get_from_app(CommitGroup, app)
    bodies = [{"content": "a"}, {"content": "b", "expected_seq": 9}, {"content": "c"}]

    def post(number):
        key = {"Idempotency-Key": f"k{number}"}
        return app.test_client().post(url, json=bodies[number], headers=key).status_code

    with app.app_context(), ThreadPoolExecutor(3) as pool:
        with database_state(app).writer_lock.held():
            futures = [pool.submit(post, number) for number in range(3)]
            wait_until(lambda: len(group._waiting) == 3)
        assert [each.result() for each in futures] == [201, 409, 201]
        keys = db.session.scalars(text("SELECT key FROM idempotency_records")).all()
        assert sorted(keys) == ["k0", "k2"]


@on_sqlite
def test_a_leader_takes_no_more_bytes_than_a_bound(app, make_session):
    chat = make_session()
    url, group = messages_url(chat), get_from_app(CommitGroup, app)
    content = "x" * (_MAX_BYTES // 2)

    def post(_):
        return app.test_client().post(url, json={"content": content}).status_code

    with app.app_context(), counted_commits() as commits:
        with ThreadPoolExecutor(MANY) as pool:
            with database_state(app).writer_lock.held():
                futures = [pool.submit(post, number) for number in range(MANY)]
                wait_until(lambda: len(group._waiting) == MANY)
            assert [each.result() for each in futures] == [201] * MANY
        assert len(commits) == MANY // 2


@pytest.mark.parametrize(
    "error",
    [
        SeqConflict(7),
        OutcomeUnknown("gone"),
        OSError(28, "No space left on device"),
        OperationalError("SELECT 1", {}, ValueError("orig")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_twin_is_like_its_exception_and_caused_by_it(error):
    twin = copy_error(error)
    assert twin is not error and twin.__cause__ is error
    assert (type(twin), str(twin), vars(twin)) == (type(error), str(error), vars(error))


def test_within_a_transaction_it_is_part_of_that(app, db_session, make_session):
    chat = make_session(owner_id="alice")

    def append_and_fail():
        group_commit(prepared(append_message, chat.id, owner_id="alice", content="x"))
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_write(append_and_fail)
    assert count(db_session, Message) == 0


def test_alone_it_is_a_transaction(app, db_session, make_session):
    chat = make_session(owner_id="alice")
    assert (
        group_commit(
            prepared(append_message, chat.id, owner_id="alice", content="x")
        ).seq
        == 1
    )
    db_session.rollback()
    assert count(db_session, Message) == 1
