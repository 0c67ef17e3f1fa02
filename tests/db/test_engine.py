from datetime import UTC, datetime
from uuid import UUID

import pytest
from sqlalchemy import inspect, text, update
from sqlalchemy.exc import (
    DBAPIError,
    IntegrityError,
)

from chatstore.app import create_app
from chatstore.db import (
    db,
)
from chatstore.errors import SettingsError
from chatstore.models import ChatSession, Message
from tests.support import (
    MISSING_ID,
    make_settings,
    on_postgresql,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def test_constraints_have_names_that_migrations_can_use(db_session):
    inspector = inspect(db.engine)
    assert inspector.get_pk_constraint("sessions")["name"] == "pk_sessions"
    (unique,) = inspector.get_unique_constraints("chat_messages")
    assert unique["name"] == "uq_chat_messages_session_id_seq"
    (foreign,) = inspector.get_foreign_keys("chat_messages")
    assert foreign["name"] == "fk_chat_messages_session_id_sessions"
    assert foreign["options"]["ondelete"] == "CASCADE"


@pytest.mark.parametrize(
    "flaw",
    [{"seq": 1}, {"session_id": UUID(MISSING_ID)}, {"timestamp": None}],
    ids=["unique", "foreign key", "not null"],
)
def test_an_error_of_the_database_does_not_tell_the_message(
    db_session, make_session, flaw
):
    chat = make_session(messages=1)
    columns = {"session_id": chat.id, "seq": 2, "timestamp": NOW, "content": "SECRET"}
    db_session.add(Message(**columns | {"metadata_": {"k": "SECRET"}} | flaw))
    with pytest.raises(IntegrityError) as caught:
        db_session.flush()
    assert "SECRET" not in str(caught.value)


def test_a_failed_statement_does_not_tell_its_values(db_session):
    query = update(ChatSession).values(name="SECRET").where(text("no_such_column"))
    with pytest.raises(DBAPIError) as caught:
        db_session.execute(query)
    assert "SECRET" not in str(caught.value)


@on_postgresql
def test_a_session_of_postgresql_is_set_up_as_the_settings_say(make_app):
    app = make_app(statement_timeout_seconds=7, lock_timeout_seconds=3)
    with app.app_context():
        shown = {
            name: db.session.scalar(text(f"SHOW {name}"))
            for name in ("timezone", "statement_timeout", "lock_timeout", "work_mem")
        }
    assert shown == {
        "timezone": "UTC",
        "statement_timeout": "7s",
        "lock_timeout": "1250ms",  # for one attempt; attempts repeat until 3 s are over
        "work_mem": "16MB",
    }


def test_the_pool_has_a_connection_for_each_thread(make_app):
    with make_app(threads=3, pool_timeout_seconds=7).app_context():
        pool = db.engine.pool
        assert (pool.size(), pool._max_overflow, pool._timeout) == (3, 0, 7)


def test_a_url_that_cannot_be_read_stops_the_start():
    with pytest.raises(SettingsError, match="CHATSTORE_DATABASE_URL"):
        create_app(make_settings("postgresql://host:port/x"))
