"""Writes the rows of an append: the session's, the messages', the index's; no commit.

Statements are made once: making them costs more than running them. Of the session's
row one statement decides, so that writers of one session wait for each other.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Integer, bindparam, insert, or_, select, update

from chatstore.clock import utc_now
from chatstore.db import UtcDateTime, next_instant, write_connection
from chatstore.driver import Prepared
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import PREVIEW_LENGTH
from chatstore.store import index
from chatstore.store.sent import AppendedMessage, as_instant
from chatstore.store.sessions import OWNED, whose

Turn = Mapping[str, Any]

_TURN = ("role", "content", "metadata")
_ROW = ("session_id", "seq", "timestamp", *_TURN)
_MOVE_ON = (
    update(ChatSession)
    .where(
        OWNED,
        or_(
            bindparam("expected", type_=Integer).is_(None),
            ChatSession.last_seq == bindparam("expected", type_=Integer),
        ),
    )
    .values(
        last_seq=ChatSession.last_seq + bindparam("count", type_=Integer),
        message_count=ChatSession.message_count + bindparam("count", type_=Integer),
        last_updated_at=next_instant(
            ChatSession.last_updated_at,
            bindparam("now", type_=UtcDateTime),
            bindparam("count", type_=Integer),
        ),
        last_message_preview=bindparam("preview"),
        revision=ChatSession.revision + 1,
    )
    .returning(ChatSession.last_seq, ChatSession.last_updated_at)
)
_INSERT = insert(Message.__table__).returning(Message.id, Message.seq)
_prepared_move_on = Prepared(_MOVE_ON)
_prepared_insert = Prepared(_INSERT.values({name: bindparam(name) for name in _ROW}))


def write_messages(
    session_id: UUID, *, owner_id: str, turns: Sequence[Turn], before: int | None
) -> list[AppendedMessage]:
    """Write one message a turn and return them.

    None at all where the owner has no such session, or its last seq is not `before`.
    """
    count = len(turns)
    named = {
        **whose(session_id, owner_id),
        "expected": before,
        "count": count,
        "now": utc_now() + timedelta(microseconds=count - 1),
        "preview": turns[-1]["content"][:PREVIEW_LENGTH],
    }
    if count == 1 and not index.is_fts5():
        return _write_at_once(turns[0], named)
    moved = _prepared_move_on.rows(write_connection(), named)
    if not moved:
        return []
    ((last_seq, moved_at),) = moved
    rows = _rows(session_id, turns, last_seq, as_instant(moved_at))
    messages = _insert(rows)
    index.add_messages(messages, owner_id=owner_id)
    return messages


def _rows(
    session_id: UUID, turns: Sequence[Turn], last_seq: int, last: Any
) -> list[dict[str, Any]]:
    return [
        {
            "session_id": session_id,
            "seq": last_seq - later,
            "timestamp": last - timedelta(microseconds=later),
            **{name: turn[name] for name in _TURN},
        }
        for turn, later in zip(turns, range(len(turns) - 1, -1, -1), strict=True)
    ]


def _insert(rows: list[dict[str, Any]]) -> list[AppendedMessage]:
    connection = write_connection()
    inserted: Sequence[Any]
    if len(rows) == 1:
        inserted = _prepared_insert.rows(connection, rows[0])
    else:
        inserted = connection.execute(_INSERT, rows).all()
    ids = {seq: id_ for id_, seq in inserted}
    return [AppendedMessage(ids[row["seq"]], *row.values()) for row in rows]


def _write_at_once(turn: Turn, named: Mapping[str, Any]) -> list[AppendedMessage]:
    """Write a message in one statement: on PostgreSQL each is a way there and back.

    That takes a quarter of the time off an append.
    """
    session_id = named["the_session"]
    given = {**named, **turn}
    given["words"] = index.words_of(
        turn["content"], named["the_owner"], session_id, turn["role"]
    )
    written = _prepare_at_once().rows(write_connection(), given)
    texts = [turn[name] for name in _TURN]
    return [
        AppendedMessage(id_, session_id, seq, as_instant(timestamp), *texts)
        for id_, seq, timestamp in written
    ]


@cache
def _prepare_at_once() -> Prepared:
    moved = _MOVE_ON.cte("moved")
    columns = Message.__table__.c
    row = select(
        bindparam("the_session", type_=ChatSession.id.type),
        moved.c.last_seq,
        moved.c.last_updated_at,
        *(bindparam(name, type_=columns[name].type) for name in _TURN),
    )
    added = (
        insert(Message.__table__)
        .from_select(_ROW, row)
        .returning(Message.id, Message.seq, Message.timestamp)
        .cte("added")
    )
    return Prepared(select(added).add_cte(index.adding(added.c.id)))
