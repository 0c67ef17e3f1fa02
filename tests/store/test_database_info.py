import psycopg
import pytest
from sqlalchemy import create_engine, text

from chatstore.store import database_info
from tests.support import on_postgresql, on_sqlite, wait_until


def test_a_migrated_database_has_no_rows(db_session):
    assert not database_info.has_rows()


def test_a_session_is_a_row(db_session, make_session):
    make_session()
    assert database_info.has_rows()


@on_sqlite
def test_a_pragma_is_read(db_session):
    assert database_info.get_sqlite_pragma("journal_mode") == "wal"


@on_postgresql
def test_a_setting_is_read_as_it_is_shown(db_session):
    assert database_info.get_postgresql_setting("server_encoding") == "UTF8"


@on_postgresql
def test_the_version_is_the_major_one(db_session):
    shown = database_info.get_postgresql_setting("server_version")
    assert shown.startswith(str(database_info.get_postgresql_version()))


@on_postgresql
def test_a_primary_is_no_standby(db_session):
    assert not database_info.is_standby()


@pytest.mark.alone
@on_postgresql
def test_other_connections_are_counted_as_they_come_and_leave(db_session, database_url):
    assert database_info.count_other_clients() == 0
    with psycopg.connect(database_url.replace("+psycopg", "")):
        assert database_info.count_other_clients() == 1
    # The server ends its process soon after the client has closed the connection.
    wait_until(lambda: database_info.count_other_clients() == 0)


@on_postgresql
def test_another_connection_imports_the_snapshot(
    db_session, make_session, database_url
):
    db_session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    snapshot = database_info.export_snapshot()
    make_session()
    other = create_engine(database_url, isolation_level="REPEATABLE READ")
    with other.begin() as connection:
        connection.exec_driver_sql(f"SET TRANSACTION SNAPSHOT '{snapshot}'")
        assert connection.scalar(text("SELECT count(*) FROM sessions")) == 0
    other.dispose()
