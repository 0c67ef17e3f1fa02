import pytest
from sqlalchemy import func, select

from chatstore.db import db, run_write
from chatstore.errors import DatabaseUnavailable
from chatstore.models import ChatSession, Message
from chatstore.services.steps import run_and_log_error, run_step
from chatstore.store.deletions import Bounds, delete_batch, hide_sessions

FEW = Bounds(max_messages=3)


def test_each_step_is_committed_before_the_next(db_session, make_session):
    chat, last, left = make_session(messages=10), 0, []
    run_write(hide_sessions, ChatSession.id == chat.id)
    while last is not None:
        last = run_step(delete_batch, chat.id, after=last, bounds=FEW)
        with db.engine.connect() as other:
            left.append(other.scalar(select(func.count(Message.id))))
    assert left == [7, 4, 1, 0]


@pytest.mark.parametrize(
    ("error", "has_traceback"),
    [(DatabaseUnavailable("It is away."), False), (ValueError("It broke."), True)],
)
def test_an_error_is_logged_and_leaves_the_work(app, caplog, error, has_traceback):
    def fail():
        raise error

    assert not run_and_log_error(fail)
    assert "background work not finished" in caplog.text
    event = caplog.records[-1].msg
    assert event["cause"] == str(error)
    assert event.get("exc_info") is (error if has_traceback else None)


def test_work_that_ends_well_is_done(app, caplog):
    assert run_and_log_error(lambda: None)
    assert caplog.text == ""
