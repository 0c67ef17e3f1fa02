"""Fixtures of the tests of store/."""

from datetime import timedelta

import pytest
from sqlalchemy import insert, update

from chatstore.enums import Role
from chatstore.models import ChatSession, Message

MICROSECOND = timedelta(microseconds=1)


@pytest.fixture
def fill(db_session, make_session):
    """Insert a session with one message per content, without the append functions."""

    def make(contents, *, roles=(Role.USER,), owner_id="alice"):
        chat = make_session(owner_id=owner_id)
        rows = [
            {
                "session_id": chat.id,
                "seq": seq,
                "timestamp": chat.created_at + seq * MICROSECOND,
                "role": roles[seq % len(roles)],
                "content": content,
            }
            for seq, content in enumerate(contents, start=1)
        ]
        db_session.execute(insert(Message), rows)
        db_session.execute(
            update(ChatSession).values(last_seq=len(rows), message_count=len(rows))
        )
        db_session.commit()
        return chat

    return make
