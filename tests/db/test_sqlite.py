import sqlite3
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from threading import Event, Timer

import pytest
from alembic import command
from sqlalchemy import event, text
from sqlalchemy.exc import OperationalError

from chatstore import clock
from chatstore.app import create_app
from chatstore.clock import Deadline
from chatstore.db import (
    core_transaction,
    database_state,
    db,
    new_deadline,
    run_write,
    transaction,
    write_connection,
)
from chatstore.db.revisions import alembic_config, migrate
from chatstore.db.sqlite import WriterLock, driver, network_file_system
from chatstore.errors import DatabaseUnavailable
from chatstore.models import ChatSession
from chatstore.store.sessions import get_session, update_session
from tests.support import (
    SESSIONS,
    assert_problem,
    count,
    make_settings,
    messages_url,
    on_sqlite,
)
from tests.support.breakage import be_refused_for_now
from tests.support.workers import run_workers, start_worker, wait_for

COUNT_FOR_EVER = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
    " SELECT count(*) FROM n"
)
RENAME_FOR_EVER = f"UPDATE sessions SET name = 'x' WHERE ({COUNT_FOR_EVER})"
# A query that ends when the SQL function `lasts` returns false.
COUNT_FOR_A_WHILE = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE lasts())"
    " SELECT count(*) FROM n"
)


@contextmanager
def another_connection(database_url):
    """Yield a connection outside the application that never waits for a lock."""
    path = make_settings(database_url).sqlite_path
    with closing(driver().connect(path, timeout=0, isolation_level=None)) as other:
        yield other


@contextmanager
def holding(lock):
    """Hold the lock in another thread while the block runs."""
    is_held, may_go = Event(), Event()

    def hold():
        with lock.held():
            is_held.set()
            may_go.wait(30)

    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(hold)
        assert is_held.wait(30)
        try:
            yield
        finally:
            may_go.set()
        held.result()


# Connections


@on_sqlite
def test_every_connection_has_the_pragmas(make_app):
    with make_app(threads=3, lock_timeout_seconds=7).app_context(), ExitStack() as all:
        connections = [all.enter_context(db.engine.connect()) for _ in range(3)]
        for connection in connections:
            pragmas = {
                name: connection.scalar(text(f"PRAGMA {name}"))
                for name in (
                    "journal_mode",
                    "synchronous",
                    "foreign_keys",
                    "busy_timeout",
                )
            }
            assert pragmas == {
                "journal_mode": "wal",
                "synchronous": 2,
                "foreign_keys": 1,
                "busy_timeout": 7000,  # or less, late in a deadline
            }


def test_the_driver_is_the_one_with_the_newest_sqlite():
    assert driver().sqlite_version_info >= sqlite3.sqlite_version_info


def test_without_pysqlite3_the_driver_is_pythons_own(monkeypatch):
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    assert driver() is sqlite3


@on_sqlite
def test_the_engine_uses_that_driver(app):
    with app.app_context():
        assert db.engine.dialect.dbapi is driver()


@on_sqlite
def test_pythons_own_sqlite_lists_messages_of_any_length(
    monkeypatch, empty_database_url
):
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        migrate()
    client = app.test_client()
    url = f"{SESSIONS}{client.post(SESSIONS, json={}).json['id']}/messages"
    contents = ["é" * 300_000, "x", "é" * 300_000, *map(str, range(30))]
    for content in contents:
        assert client.post(url, json={"content": content}).status_code == 201
    listed = client.get(url).json["messages"]
    assert [each["content"] for each in listed] == contents
    page = client.get(f"{url}?limit=25").json
    assert [each["content"] for each in page["messages"]] == contents[:25]
    assert page["has_more"]
    with app.app_context():
        db.engine.dispose()


@on_sqlite
def test_the_application_connects_to_a_new_file_from_many_threads(
    tmp_path, empty_database_url
):
    run_workers(2, "append", empty_database_url, "0" * 32, "nobody", 4, 0)
    with another_connection(empty_database_url) as other:
        assert other.execute("PRAGMA integrity_check").fetchone() == ("ok",)


# Transactions


@on_sqlite
def test_a_transaction_holds_the_write_lock_from_its_beginning(app, database_url):
    with app.app_context(), another_connection(database_url) as other:
        with (
            transaction(),
            pytest.raises(driver().OperationalError, match="database is locked"),
        ):
            other.execute("BEGIN IMMEDIATE")
        other.execute("BEGIN IMMEDIATE")


@on_sqlite
def test_reading_neither_takes_nor_needs_the_write_lock(
    db_session, make_session, database_url
):
    make_session()
    with another_connection(database_url) as other:
        assert count(db_session, ChatSession) == 1
        other.execute("BEGIN IMMEDIATE")
        db_session.rollback()
        assert count(db_session, ChatSession) == 1


@on_sqlite
def test_read_then_write_of_many_processes_loses_and_refuses_none(
    db_session, make_session, database_url
):
    chat = make_session(owner_id="alice")
    run_workers(2, "count_up", database_url, chat.id, "alice", 4, 15)
    after = get_session(chat.id, owner_id="alice")
    assert (after.name, after.revision) == ("120", 121)


@contextmanager
def recorded_begins():
    """Yield a list that collects the BEGIN statements sent in the block."""
    begins = []

    def record(connection, cursor, statement, *_):
        if statement.startswith("BEGIN"):
            begins.append(statement)

    event.listen(db.engine, "before_cursor_execute", record)
    yield begins
    event.remove(db.engine, "before_cursor_execute", record)


@on_sqlite
def test_begin_is_immediate_for_writers_only(db_session):
    with recorded_begins() as begins:
        count(db_session, ChatSession)
        run_write(count, db_session, ChatSession)
    assert begins == ["BEGIN DEFERRED", "BEGIN IMMEDIATE"]


@on_sqlite
def test_migrating_takes_the_lock_to_write_and_not_to_look(db_session):
    count(db_session, ChatSession)
    with recorded_begins() as begins:
        migrate()
    assert begins == ["BEGIN DEFERRED"]
    db_session.rollback()
    command.downgrade(alembic_config(), "-1")
    with recorded_begins() as begins:
        migrate()
    assert begins[0] == "BEGIN DEFERRED"
    assert "BEGIN IMMEDIATE" in begins


@on_sqlite
def test_a_writer_waits_for_the_writers_lock_and_a_reader_does_not(
    make_app, make_session
):
    chat = make_session(messages=1)
    app = make_app(lock_timeout_seconds=1)
    client = app.test_client()
    with holding(database_state(app).writer_lock):
        assert_problem(client.post(messages_url(chat), json={"content": "x"}), 503)
        assert len(client.get(messages_url(chat)).json["messages"]) == 1
    assert client.post(messages_url(chat), json={"content": "x"}).status_code == 201


@on_sqlite
def test_all_waits_of_a_write_end_by_one_deadline(make_app, monkeypatch, database_url):
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic_source", lambda: now[0])
    app, timeouts = make_app(lock_timeout_seconds=30, threads=1), []

    def note():
        timeouts.append(write_connection().scalar(text("PRAGMA busy_timeout")))

    with app.app_context():
        for run in (transaction, core_transaction):
            deadline = new_deadline()
            now[0] += 29  # earlier waits took 29 of the 30 s
            with run(deadline=deadline):
                note()
            with run():
                note()
    assert timeouts == [1000, 30_000] * 2


@on_sqlite
def test_after_the_deadline_nothing_is_tried_again(app, monkeypatch):
    now, attempts = [0.0], []
    monkeypatch.setattr(clock, "monotonic_source", lambda: now[0])

    def work():
        attempts.append(now[0])
        now[0] += 20
        be_refused_for_now()

    with app.app_context(), pytest.raises(OperationalError):
        run_write(work)
    assert attempts == [0, 20]  # the limit is 30 s


def test_a_lock_is_not_waited_for_after_the_deadline(tmp_path):
    lock = WriterLock(tmp_path / "chatstore.db", timeout_seconds=600)
    with holding(lock), pytest.raises(DatabaseUnavailable), lock.held(Deadline(0)):
        pytest.fail("two hold the lock")


# Statement timeout


@on_sqlite
def test_a_long_statement_is_interrupted_and_its_connection_still_good(make_app):
    with make_app(threads=1, statement_timeout_seconds=1).app_context():
        with pytest.raises(OperationalError, match="interrupted"):
            db.session.execute(text(COUNT_FOR_EVER))
        db.session.rollback()
        assert db.session.scalar(text("SELECT 1")) == 1
        assert run_write(db.session.scalar, text("SELECT 2")) == 2


@on_sqlite
def test_a_long_write_is_undone_and_leaves_no_lock(make_app, make_session):
    chat = make_session(name="before")
    mine = {"owner_id": chat.owner_id}

    def work():
        update_session(chat.id, changes={"name": "half"}, **mine)
        db.session.execute(text(RENAME_FOR_EVER))

    with make_app(statement_timeout_seconds=1).app_context():
        with pytest.raises(OperationalError, match="interrupted"):
            run_write(work)
        assert get_session(chat.id, **mine).name == "before"
        changes = {"name": "after"}
        after = run_write(update_session, chat.id, changes=changes, **mine)
        assert after.name == "after"


def count_for_seconds(connection, seconds):
    """Run one statement for `seconds`."""
    end = time.monotonic() + seconds
    driver_connection = connection.connection.dbapi_connection
    driver_connection.create_function("lasts", 0, lambda: time.monotonic() < end)
    return connection.execute(text(COUNT_FOR_A_WHILE)).scalar_one()


@on_sqlite
@pytest.mark.parametrize(
    ("timeout_seconds", "options"), [(0, {}), (1, {"unbounded": True})]
)
def test_a_statement_without_a_bound_runs_on(make_app, timeout_seconds, options):
    app = make_app(statement_timeout_seconds=timeout_seconds)
    with app.app_context(), db.engine.connect() as connection:
        connection.execution_options(**options)
        assert count_for_seconds(connection, 1.3) > 0


@on_sqlite
def test_the_bound_is_of_a_statement_and_not_of_a_transaction(make_app):
    app = make_app(statement_timeout_seconds=1)
    with app.app_context(), db.engine.connect() as connection:
        for _ in range(3):
            assert count_for_seconds(connection, 0.4) > 0


# The writer's lock


def test_one_thread_holds_the_lock_at_a_time(tmp_path):
    lock = WriterLock(tmp_path / "chatstore.db", timeout_seconds=0.05)
    with holding(lock), pytest.raises(DatabaseUnavailable), lock.held():
        pytest.fail("two hold the lock")
    with lock.held():
        pass


def test_who_holds_the_lock_may_hold_it_again(tmp_path):
    lock = WriterLock(tmp_path / "chatstore.db", timeout_seconds=0.05)

    def is_refused():
        with pytest.raises(DatabaseUnavailable), lock.held():
            pytest.fail("two hold the lock")
        return True

    with lock.held(), ThreadPoolExecutor(1) as pool:
        with lock.held():
            assert pool.submit(is_refused).result()
        assert pool.submit(is_refused).result()


def test_an_error_gives_the_lock_back(tmp_path):
    lock = WriterLock(tmp_path / "chatstore.db", timeout_seconds=0.05)
    with pytest.raises(KeyError), lock.held():
        raise KeyError
    with holding(lock):
        pass


def test_processes_hold_the_lock_in_turn(tmp_path):
    counter = tmp_path / "counter"
    counter.write_text("0")
    run_workers(2, "count_in_file", tmp_path / "chatstore.db", counter, 200)
    assert counter.read_text() == "400"


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "chatstore.db"
    with start_worker("hold_lock", path) as worker:
        wait_for(worker, "ready")
        worker.kill()
        with WriterLock(path, timeout_seconds=20).held():
            pass
        assert worker.wait() == -9


def test_waiting_for_another_process_ends_in_time(tmp_path):
    path = tmp_path / "chatstore.db"
    with start_worker("hold_lock", path) as worker:
        wait_for(worker, "ready")
        rescue = Timer(5, worker.kill)  # ends the wait if it is unbounded
        rescue.start()
        with (
            pytest.raises(DatabaseUnavailable),
            WriterLock(path, timeout_seconds=0.1).held(),
        ):
            pytest.fail("the wait had no end of its own")
        rescue.cancel()
        worker.communicate("go\n")


def test_a_lock_that_cannot_be_made_is_a_database_that_is_away(tmp_path):
    lock = WriterLock(tmp_path / "missing" / "chatstore.db", timeout_seconds=1)
    with pytest.raises(DatabaseUnavailable, match="not writable"), lock.held():
        pytest.fail("held a lock that is nowhere")


def test_the_lock_is_nobody_elses_to_read(tmp_path):
    with WriterLock(tmp_path / "chatstore.db", timeout_seconds=1).held():
        (lock_file,) = tmp_path.iterdir()
        assert lock_file.stat().st_mode & 0o777 == 0o600


# Network file systems

MOUNTS = """\
/dev/vda / ext4 rw 0 0
proc /proc proc rw 0 0
server:/home /home nfs4 rw,vers=4.2 0 0
/dev/vdb /home/local ext4 rw 0 0
//server/x /mnt/with\\040space cifs rw 0 0
me@host: /mnt/ssh fuse.sshfs rw 0 0
host /mnt/9p 9p rw 0 0
tmpfs /mnt/over tmpfs rw 0 0
server:/y /mnt/over nfs rw 0 0
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/chatstore.db", None),
        ("/home/chatstore.db", "nfs4"),
        ("/home/me/instance/chatstore.db", "nfs4"),
        ("/home/local/chatstore.db", None),
        ("/home/localhost/chatstore.db", "nfs4"),
        ("/homely/chatstore.db", None),
        ("/mnt/with space/chatstore.db", "cifs"),
        ("/mnt/ssh/chatstore.db", "fuse.sshfs"),
        ("/mnt/9p/chatstore.db", "9p"),
        ("/mnt/over/chatstore.db", "nfs"),
    ],
)
def test_the_file_system_is_that_of_the_nearest_mount(path, kind):
    assert network_file_system(Path(path), mounts=MOUNTS) == kind


def test_a_path_through_a_link_lies_where_the_link_leads(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "far")
    mounts = f"/dev/vda / ext4 rw 0 0\nserver:/x {tmp_path / 'far'} nfs rw 0 0"
    found = network_file_system(tmp_path / "link" / "chatstore.db", mounts=mounts)
    assert found == "nfs"


def test_without_a_table_of_mounts_that_of_the_machine_is_read(tmp_path):
    given = Path("/proc/mounts")
    mounts = given.read_text() if given.exists() else ""
    assert network_file_system(tmp_path) == network_file_system(tmp_path, mounts=mounts)
