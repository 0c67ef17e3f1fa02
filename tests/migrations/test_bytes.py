"""Step 0017 counts the bytes of messages that were stored before it."""

import sqlalchemy as sa
from alembic import command

from chatstore.db import db, prepared, run_write, transaction
from chatstore.db.revisions import alembic_config, migrate
from chatstore.models import ChatSession, Message
from chatstore.store.edits import edit_message
from chatstore.store.sessions import create_session

# More sessions than one batch has.
MANY = 201


def counted():
    db.session.rollback()
    return dict(
        db.session.execute(sa.select(ChatSession.id, ChatSession.content_bytes)).all()
    )


def test_existing_messages_and_earlier_revisions_are_counted(db_session, make_session):
    with transaction():
        for _ in range(MANY):
            create_session(owner_id="alice", llm_model_name="model")
    chats = [make_session(messages=count) for count in (3, 1)]
    first = db.session.scalars(sa.select(Message).where(Message.seq == 1)).first()
    keywords = {
        "owner_id": "local",
        "changes": {"content": "é", "metadata": {"a": "ü"}},
    }
    run_write(prepared(edit_message, first.session_id, first.id, **keywords))
    before = counted()
    assert before[chats[1].id] > 0
    db.session.remove()
    command.downgrade(alembic_config(), "0016")
    migrate()
    assert counted() == before
