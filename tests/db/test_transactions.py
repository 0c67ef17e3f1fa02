from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    OperationalError,
    PendingRollbackError,
)

from chatstore.db import (
    MAX_RETRIES,
    core_transaction,
    db,
    read_connection,
    run_core_write,
    run_read,
    run_write,
    transaction,
    write_connection,
)
from chatstore.db.errors import is_transient, is_unavailable
from chatstore.db.prepared import Prepared
from chatstore.db.sqlite import driver
from chatstore.errors import OutcomeUnknown
from chatstore.models import ChatSession, Message
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session, get_session, update_session
from tests.support import (
    assert_problem,
    count,
    make_settings,
    messages_url,
    on_postgresql,
    on_sqlite,
    session_url,
)
from tests.support.breakage import be_refused_for_now

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def new_session(**columns):
    defaults = {"owner_id": "alice", "llm_model_name": "m", "created_at": NOW}
    return ChatSession(**defaults | {"last_updated_at": NOW} | columns)


def add_session(**columns):
    chat = new_session(**columns)
    db.session.add(chat)
    db.session.flush()
    return chat


def count_elsewhere(model=ChatSession):
    """Return the number of committed rows, counted on another connection."""
    with db.engine.connect() as connection:
        return count(connection, model)


# Transactions


def test_a_transaction_commits_what_its_block_did(db_session):
    with transaction():
        add_session()
        assert count_elsewhere() == 0
    assert count_elsewhere() == 1


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_undoes_the_whole_transaction(db_session, error):
    with pytest.raises(error), transaction():
        add_session()
        raise error
    assert count(db_session, ChatSession) == 0
    with transaction():
        add_session()
    assert count_elsewhere() == 1


def test_the_outermost_transaction_alone_commits(db_session):
    with transaction():
        with transaction():
            add_session()
        assert count_elsewhere() == 0
        assert run_write(add_session).owner_id == "alice"
        assert count_elsewhere() == 0
    assert count_elsewhere() == 2


def test_an_exception_outside_undoes_what_an_inner_transaction_did(db_session):
    with pytest.raises(KeyError), transaction():
        run_write(add_session)
        raise KeyError
    assert count(db_session, ChatSession) == 0


def test_objects_outlive_their_transaction(db_session):
    chat = run_write(create_session, owner_id="alice", llm_model_name="m")
    db_session.remove()
    assert (chat.owner_id, chat.message_count) == ("alice", 0)


def test_a_transaction_reads_what_was_committed_before_it_began(
    db_session, make_session, app
):
    chat = make_session(owner_id="alice", name="old")
    before = get_session(chat.id, owner_id="alice")
    assert before.name == "old"
    with app.app_context():
        run_write(update_session, chat.id, owner_id="alice", changes={"name": "new"})
    with transaction():
        assert db_session.scalar(select(ChatSession.name)) == "new"
        assert get_session(chat.id, owner_id="alice").name == before.name == "new"


def flush_a_session():
    add_session()


def execute_a_statement():
    db.session.execute(text("UPDATE sessions SET name = 'pending'"))


def change_an_object():
    db.session.scalars(select(ChatSession)).one().name = "pending"


def add_an_object():
    db.session.add(new_session())


@pytest.mark.parametrize("opened", [transaction, core_transaction])
@pytest.mark.parametrize(
    "pend", [add_an_object, change_an_object, flush_a_session, execute_a_statement]
)
def test_what_was_pending_before_is_neither_committed_nor_dropped(
    db_session, make_session, opened, pend
):
    make_session(name="before")
    pend()
    with pytest.raises(RuntimeError, match="not committed"), opened():
        pytest.fail("began over changes that are not its own")
    assert count_elsewhere() == 1
    with db.engine.connect() as other:
        assert other.scalar(text("SELECT name FROM sessions")) == "before"
    db_session.commit()
    names = db_session.scalars(text("SELECT name FROM sessions")).all()
    assert len(names) == 2 or names == ["pending"]


def test_what_cannot_be_written_is_not_dropped_in_silence(db_session):
    db_session.add(new_session(owner_id=None))
    with pytest.raises(RuntimeError), transaction():
        pytest.fail("began as if there had been nothing to write")
    with pytest.raises(IntegrityError):
        db_session.commit()


# Retries


@pytest.mark.parametrize("refusals", range(MAX_RETRIES + 1))
def test_what_the_database_asks_to_run_again_is_run_again(db_session, refusals):
    attempts = []

    def work(owner_id):
        attempts.append(owner_id)
        chat = add_session(owner_id=owner_id)
        if len(attempts) <= refusals:
            be_refused_for_now()
        return chat.owner_id

    assert run_write(work, owner_id="bob") == "bob"
    assert len(attempts) == refusals + 1
    assert count_elsewhere() == 1


def test_after_three_more_attempts_the_error_is_raised(db_session):
    attempts = []

    def work():
        attempts.append(add_session())
        be_refused_for_now()

    with pytest.raises(OperationalError) as caught:
        run_write(work)
    assert is_transient(caught.value)
    assert len(attempts) == 1 + MAX_RETRIES == 4
    assert count(db_session, ChatSession) == 0


@pytest.mark.parametrize("refusals", range(MAX_RETRIES + 2))
def test_a_transaction_without_the_orm_is_run_again_alike(
    db_session, make_session, refusals
):
    chat, attempts = make_session(owner_id="alice"), []

    def work():
        attempts.append(append_message(chat.id, owner_id="alice", content="x").seq)
        if len(attempts) <= refusals:
            be_refused_for_now()
        return attempts[-1]

    if refusals > MAX_RETRIES:
        with pytest.raises(OperationalError):
            run_core_write(work)
    else:
        assert run_core_write(work) == 1
    assert len(attempts) == min(refusals, MAX_RETRIES) + 1
    assert count(db_session, Message) == (refusals <= MAX_RETRIES)


@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt, GeneratorExit])
def test_an_exception_undoes_a_transaction_without_the_orm(
    db_session, make_session, error
):
    chat = make_session(owner_id="alice")

    def work():
        append_message(chat.id, owner_id="alice", content="x")
        raise error

    with pytest.raises(error):
        run_core_write(work)
    assert count(db_session, Message) == 0
    append = partial(append_message, chat.id, owner_id="alice", content="x")
    assert run_core_write(append).seq == 1
    assert count(db_session, Message) == 1


def test_work_for_the_orm_is_refused_where_there_is_none(db_session):
    db_session.remove()
    read = partial(db_session.scalar, text("SELECT 1"))
    with pytest.raises(RuntimeError, match="run_write"):
        run_core_write(read)
    assert run_write(read) == 1


def test_transactions_of_both_kinds_join_the_outer_one(db_session, make_session):
    chat = make_session(owner_id="alice")
    append = partial(append_message, chat.id, owner_id="alice", content="x")
    with transaction():
        assert run_core_write(append).seq == 1
        assert count_elsewhere(Message) == 0
    assert run_core_write(lambda: run_core_write(append)).seq == 2
    assert run_core_write(lambda: run_write(append)).seq == 3
    with core_transaction(), core_transaction(), transaction():
        assert append().seq == 4
        assert count_elsewhere(Message) == 3
    assert count_elsewhere(Message) == 4


def test_a_nested_transaction_is_not_run_again_by_itself(db_session):
    attempts = []

    def work():
        attempts.append(add_session())
        be_refused_for_now()

    with pytest.raises(OperationalError), transaction():
        run_write(work)
    assert len(attempts) == 1


def test_the_outermost_transaction_is_run_again_for_its_nested_ones(db_session):
    attempts = []

    def inner():
        attempts.append(add_session())
        if len(attempts) == 1:
            be_refused_for_now()

    run_write(lambda: run_write(inner))
    assert len(attempts) == 2
    assert count_elsewhere() == 1


def test_an_error_that_would_come_again_is_raised_at_once(db_session):
    attempts = []

    def work():
        attempts.append(add_session())
        db.session.execute(update(ChatSession).values(message_count=-1))

    with pytest.raises(IntegrityError) as caught:
        run_write(work)
    assert not is_transient(caught.value)
    assert not is_unavailable(caught.value)
    assert len(attempts) == 1


def test_each_attempt_begins_without_the_objects_of_the_last(db_session):
    attempts = []

    def work():
        assert not db.session.new and not db.session.dirty
        attempts.append(add_session())
        if len(attempts) == 1:
            be_refused_for_now()

    run_write(work)
    assert db_session.scalars(select(ChatSession)).all() == attempts[1:]


# Conflicts that PostgreSQL reports


def rename_all(app, rename, names):
    """Run `rename` once per name, concurrently, each in its own transaction."""

    def run(name):
        with app.app_context():
            run_write(rename, name)

    with ThreadPoolExecutor(len(names)) as threads:
        list(threads.map(run, names))


@on_postgresql
def test_a_serialization_failure_is_run_again(app, make_session):
    chat = make_session(owner_id="alice", name="")
    attempts, both_have_read = [], Barrier(2, timeout=20)

    def add_to_name(letter):
        db.session.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        name = get_session(chat.id, owner_id="alice").name
        attempts.append(letter)
        if len(attempts) <= 2:
            both_have_read.wait()
        changes = {"name": name + letter}
        update_session(chat.id, owner_id="alice", changes=changes)

    rename_all(app, add_to_name, "ab")
    with app.app_context():
        assert set(get_session(chat.id, owner_id="alice").name) == {"a", "b"}
    assert len(attempts) == 3


@on_postgresql
def test_a_deadlock_is_run_again(app, make_session):
    chats = {name: make_session(owner_id="alice", name="") for name in "ab"}
    attempts, both_hold_one = [], Barrier(2, timeout=20)

    def rename_both(first):
        db.session.execute(text("SET LOCAL deadlock_timeout = '10ms'"))
        for name in sorted("ab", reverse=first == "b"):
            changes = {"name": first}
            update_session(chats[name].id, owner_id="alice", changes=changes)
            attempts.append(name)
            if len(attempts) <= 2:
                both_hold_one.wait()

    rename_all(app, rename_both, "ab")
    with app.app_context():
        names = db.session.scalars(select(ChatSession.name)).all()
        revisions = db.session.scalars(select(ChatSession.revision)).all()
    assert names in (["a", "a"], ["b", "b"])
    assert revisions == [3, 3]
    assert len(attempts) > 4  # PostgreSQL may abort both, and then both run again


# Lost connections


def lose_connection(postgres):
    """Terminate the server process of the session's connection."""
    pid = write_connection().scalar(text("SELECT pg_backend_pid()"))
    postgres.execute(f"SELECT pg_terminate_backend({pid}, 10000)")


@on_postgresql
@pytest.mark.parametrize("run", [run_write, run_core_write])
def test_a_connection_lost_before_the_commit_is_replaced(
    db_session, make_session, postgres, run
):
    chat = make_session(owner_id="alice")
    attempts = []

    def work():
        attempts.append(append_message(chat.id, owner_id="alice", content="x"))
        if len(attempts) == 1:
            lose_connection(postgres)
        write_connection().scalar(text("SELECT 1"))

    run(work)
    assert len(attempts) == 2
    assert db_session.scalars(select(Message.seq)).all() == [1]


@on_postgresql
@pytest.mark.parametrize("run", [run_write, run_core_write])
def test_a_connection_lost_while_committing_is_told_and_not_tried_again(
    db_session, make_session, postgres, run
):
    chat = make_session(owner_id="alice")
    attempts = []

    def work():
        attempts.append(append_message(chat.id, owner_id="alice", content="x"))
        lose_connection(postgres)

    with pytest.raises(OutcomeUnknown):
        run(work)
    assert len(attempts) == 1
    assert run_write(get_session, chat.id, owner_id="alice").last_seq == 0


@on_postgresql
@pytest.mark.parametrize("run", [run_write, run_core_write])
def test_a_connection_lost_since_the_last_read_is_replaced(
    db_session, make_session, postgres, run
):
    chat = make_session(owner_id="alice")
    get_session(chat.id, owner_id="alice")
    lose_connection(postgres)
    run(append_message, chat.id, owner_id="alice", content="x")
    assert count(db_session, Message) == 1


@on_postgresql
def test_what_waits_to_be_written_is_not_lost_with_its_connection(
    db_session, make_session, postgres
):
    get_session(make_session(owner_id="alice").id, owner_id="alice")
    lose_connection(postgres)
    db_session.add(new_session())
    with pytest.raises(RuntimeError), transaction():
        pytest.fail("began as if nothing had been lost")
    with pytest.raises((DBAPIError, PendingRollbackError)):
        db_session.commit()


@on_postgresql
def test_connections_lost_while_idle_are_replaced_unnoticed(
    app, alice, make_session, postgres
):
    chat = make_session()
    assert alice.get(session_url(chat)).status_code == 200
    with app.app_context():
        assert db.engine.pool.checkedin() > 0
    postgres.execute(
        "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
        " WHERE pid <> pg_backend_pid() AND datname LIKE 'test_%'"
    )
    assert alice.get(session_url(chat)).status_code == 200
    assert alice.post(messages_url(chat), json={"content": "x"}).status_code == 201


# Prepared statements that PostgreSQL can no longer run

RETYPE = "ALTER TABLE sessions ALTER COLUMN revision TYPE numeric"


def run_unnoticed(app, statement):
    """Return the first value, on the pool's one connection, unseen by psycopg."""
    with app.app_context(), closing(db.engine.raw_connection()) as connection:
        result = connection.driver_connection.pgconn.exec_(statement.encode())
        assert not result.error_message
        return result.get_value(0, 0)


@on_postgresql
@pytest.mark.parametrize("forget", ["DEALLOCATE ALL", "DISCARD ALL", RETYPE])
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "", None),
        ("GET", "/messages", None),
        ("POST", "/messages", {"content": "x"}),
        ("PATCH", "", {"name": "x"}),
    ],
)
def test_a_stale_statement_is_prepared_again(
    make_app, make_session, forget, method, path, body
):
    app = make_app(threads=1)
    url, client = session_url(make_session(messages=1)) + path, app.test_client()
    for _ in range(8):  # psycopg prepares a statement after five runs
        first = client.open(url, method=method, json=body)
    assert int(run_unnoticed(app, "SELECT count(*) FROM pg_prepared_statements")) > 0
    run_unnoticed(app, forget)
    for _ in range(8):
        again = client.open(url, method=method, json=body)
        assert again.status_code == first.status_code


@on_postgresql
def test_a_migration_makes_the_statements_of_all_connections_stale(
    app, make_app, make_session
):
    make_session()
    revision = Prepared(select(ChatSession.revision))

    def read():
        with read_connection() as connection:
            return revision.rows(connection, {})

    with make_app(threads=MAX_RETRIES + 2).app_context():
        with ExitStack() as all_connections:
            for _ in range(MAX_RETRIES + 2):
                connection = all_connections.enter_context(read_connection())
                for _ in range(8):
                    revision.rows(connection, {})
        with app.app_context(), db.engine.begin() as migration:
            migration.execute(text(RETYPE))
        assert run_read(read) == [(1,)]


@on_postgresql
def test_what_postgresql_does_not_know_is_raised_and_costs_no_connection(db_session):
    query = text("SELECT count(*) FROM sessions FOR UPDATE")
    with pytest.raises(NotSupportedError) as caught:
        db_session.execute(query)
    assert caught.value.orig.sqlstate == "0A000"
    assert not is_transient(caught.value)


# Waiting for another program's lock


@contextmanager
def somebody_holding(database_url):
    """Another program with an open transaction."""
    path = make_settings(database_url).sqlite_path
    if path is not None:
        other = driver().connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
    else:
        import psycopg

        other = psycopg.connect(database_url)
    with closing(other):
        other.execute("UPDATE sessions SET revision = revision + 1")
        yield
        other.rollback()


def test_a_write_that_waits_too_long_is_503_and_the_next_is_not(
    make_app, make_session, database_url
):
    client = make_app(lock_timeout_seconds=1).test_client()
    chat = make_session(messages=1)
    with somebody_holding(database_url):
        response = client.post(messages_url(chat), json={"content": "x"})
        assert_problem(response, 503, detail="database")
        assert client.get(messages_url(chat)).json["messages"][-1]["seq"] == 1
    response = client.post(messages_url(chat), json={"content": "y"})
    assert (response.status_code, response.json["seq"]) == (201, 2)


@on_sqlite
def test_a_locked_database_is_worth_another_try(make_app, make_session, database_url):
    make_session()
    app = make_app(lock_timeout_seconds=1)
    with (
        app.app_context(),
        somebody_holding(database_url),
        pytest.raises(OperationalError, match="database is locked") as caught,
        transaction(),
    ):
        pytest.fail("began while another program was writing")
    assert is_transient(caught.value)
    assert is_unavailable(caught.value)


@on_postgresql
def test_a_long_statement_is_cancelled_and_its_connection_still_good(make_app):
    with make_app(threads=1, statement_timeout_seconds=1).app_context():
        with pytest.raises(OperationalError, match="statement timeout") as caught:
            db.session.execute(text("SELECT pg_sleep(30)"))
        assert is_unavailable(caught.value)
        assert not is_transient(caught.value)
        db.session.rollback()
        assert db.session.scalar(text("SELECT 1")) == 1
