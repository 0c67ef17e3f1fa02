from concurrent.futures import ThreadPoolExecutor

from chatstore.db import db, run_write
from chatstore.models import ChatSession, Message
from chatstore.services.background_deletions import finish_deletions
from chatstore.store.deletions import (
    Bounds,
    count_hidden,
    find_hidden,
    hide_sessions,
)
from tests.support import count

FEW = Bounds(max_messages=3)


def test_two_at_once_share_the_work(app, make_session):
    chats = [make_session(messages=10) for _ in range(3)]

    def finish(_):
        with app.app_context():
            finish_deletions(bounds=FEW)

    with app.app_context():
        for chat in chats:
            run_write(hide_sessions, ChatSession.id == chat.id)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(finish, range(4)))
    with app.app_context():
        assert count(db.session, ChatSession) == 0
        assert count(db.session, Message) == 0


REFUSALS = {
    "sqlite": "CREATE TRIGGER stays BEFORE DELETE ON sessions WHEN"
    " old.id = '{id}' BEGIN SELECT RAISE(ABORT, 'it stays'); END",
    "postgresql": "CREATE FUNCTION stays() RETURNS trigger LANGUAGE plpgsql AS"
    " $$BEGIN RAISE 'it stays'; END$$;"
    "CREATE TRIGGER stays BEFORE DELETE ON sessions FOR EACH ROW"
    " WHEN (old.id = '{id}') EXECUTE FUNCTION stays()",
}


def test_a_session_that_stays_keeps_no_other(app, make_session):
    chats = [make_session(messages=1) for _ in range(5)]
    first = min(chat.id for chat in chats)
    with app.app_context():
        kind = db.engine.dialect.name
        name = first.hex if kind == "sqlite" else str(first)
        db.session.connection().exec_driver_sql(REFUSALS[kind].format(id=name))
        db.session.commit()
        for chat in chats:
            run_write(hide_sessions, ChatSession.id == chat.id)
        assert not finish_deletions()
        assert find_hidden() == first
        assert count_hidden() == 1
        drop = {
            "sqlite": "DROP TRIGGER stays",
            "postgresql": "DROP FUNCTION stays CASCADE",
        }
        db.session.connection().exec_driver_sql(drop[kind])
        db.session.commit()
        assert finish_deletions()
        assert count_hidden() == 0
