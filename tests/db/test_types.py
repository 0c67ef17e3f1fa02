from datetime import UTC, datetime, timedelta, timezone

import pytest
from sqlalchemy import literal, select, text
from sqlalchemy.exc import (
    StatementError,
)

from chatstore.clock import format_instant
from chatstore.db import (
    UtcDateTime,
    db,
    next_instant,
)
from chatstore.models import ChatSession
from tests.support import (
    on_sqlite,
)

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


INSTANTS = [
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    NOW,
    NOW + MICROSECOND,
    datetime(2026, 3, 29, 1, 30, tzinfo=UTC),
    datetime(2038, 1, 19, 3, 14, 8, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
]


@pytest.mark.parametrize("instant", INSTANTS, ids=str)
def test_an_instant_is_read_back_whole_and_in_utc(db_session, instant):
    chat = add_session(created_at=instant)
    db_session.expire_all()
    assert chat.created_at == instant
    assert chat.created_at.tzinfo is UTC


@pytest.mark.parametrize("hours", [-12, -3.5, 5.75, 14])
def test_an_instant_of_another_zone_is_the_same_instant(db_session, hours):
    chat = add_session(created_at=NOW.astimezone(timezone(timedelta(hours=hours))))
    db_session.expire_all()
    assert (chat.created_at, chat.created_at.utcoffset()) == (NOW, timedelta(0))


def test_an_instant_without_a_zone_is_refused(db_session):
    with pytest.raises(StatementError, match="no time zone"):
        add_session(created_at=NOW.replace(tzinfo=None))
    db_session.rollback()
    with pytest.raises(StatementError, match="no time zone"):
        db_session.scalar(
            select(ChatSession).where(ChatSession.created_at < datetime(2026, 1, 1))
        )


def test_no_instant_stays_none(db_session):
    chat = add_session(archived_at=None)
    db_session.expire_all()
    assert chat.archived_at is None


def test_instants_sort_by_time(db_session):
    for instant in INSTANTS[::2] + INSTANTS[1::2]:
        add_session(created_at=instant)
    query = select(ChatSession.created_at).order_by(ChatSession.created_at)
    assert db_session.scalars(query).all() == INSTANTS


@pytest.mark.parametrize("hours", [0, 9])
def test_an_instant_is_compared_by_time(db_session, hours):
    add_session(created_at=NOW)
    instant = NOW.astimezone(timezone(timedelta(hours=hours)))
    for condition, found in [
        (ChatSession.created_at == instant, 1),
        (ChatSession.created_at <= instant, 1),
        (ChatSession.created_at < instant, 0),
        (ChatSession.created_at > instant - MICROSECOND, 1),
    ]:
        chats = db_session.scalars(select(ChatSession).where(condition)).all()
        assert len(chats) == found


@on_sqlite
def test_sqlite_keeps_an_instant_as_the_api_sends_it(db_session):
    add_session(created_at=NOW)
    stored = db_session.scalar(text("SELECT created_at FROM sessions"))
    assert stored == format_instant(NOW) == "2026-01-02T03:04:05.678901Z"


@pytest.mark.parametrize(
    ("last", "expected"),
    [
        (NOW - timedelta(days=400), NOW),
        (NOW - MICROSECOND, NOW),
        (NOW, NOW + MICROSECOND),
        (NOW + MICROSECOND, NOW + 2 * MICROSECOND),
        (NOW + timedelta(days=400), NOW + timedelta(days=400) + MICROSECOND),
        (
            datetime(2027, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            datetime(2028, 1, 1, tzinfo=UTC),
        ),
    ],
)
def test_the_next_instant_is_now_but_later_than_the_last(db_session, last, expected):
    query = select(next_instant(literal(last, UtcDateTime()), NOW))
    assert db_session.scalar(query) == expected
