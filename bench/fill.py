"""Fills a database with chats, in SQL: `python -m bench.fill URL`.

Rows are written in the schema of revision 0002. Later migrations then derive the
columns and tables added since. The fill thus upgrades an old database, and this file
need not know newer columns.
"""

import argparse
import itertools
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import click
import sqlalchemy as sa
from sqlalchemy import Connection

from bench.texts import Texts, Turn, chat_lengths
from chatstore.app import create_app
from chatstore.db import db
from chatstore.db.revisions import migrate
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import PREVIEW_LENGTH
from chatstore.settings import Settings
from chatstore.web.auth import LOCAL_OWNER

_REVISION = "0002"
_BATCH = 2000
TAGS = ["work", "home", "travel", "code", "health", "school", "music", "law"]
RARE_TAG = "lighthouse"  # the tag of one session in a thousand
MODELS = ["gpt-4o-mini", "llama-3-70b", "mistral-large", "qwen-2-72b"]
_SESSION_COLUMNS = [
    *("id", "owner_id", "name", "created_at", "last_updated_at", "llm_model_name"),
    *("rag_document_ids", "metadata_tags", "message_count", "last_seq"),
    *("last_message_preview", "pinned", "archived_at", "revision"),
]
_MESSAGE_COLUMNS = ["session_id", "seq", "timestamp", "role", "content", "metadata"]
_START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Plan:
    """The data: realistic chats, then `long_sessions` of 240-byte messages."""

    sessions: int = 100_000
    messages: int = 1_000_000
    long_sessions: tuple[int, ...] = ()
    seed: int = 1


@dataclass(frozen=True)
class Chat:
    """One session to write."""

    id: UUID
    created_at: datetime
    length: int
    tags: list[str]
    model: str
    name: str

    def written_at(self, seq: int) -> datetime:
        """Return the timestamp of message `seq`; the session's creation for 0."""
        return self.created_at + timedelta(seconds=seq)


def fill(url: str, plan: Plan) -> dict[str, UUID]:
    """Create the tables at `url` and fill them; return long session ids by length."""
    app = create_app(Settings(database_url=url, secret_key="bench", log_level="error"))
    with app.app_context():
        migrate(_REVISION)
        chats = list(_plan_chats(plan))
        special = chats[len(chats) - len(plan.long_sessions) :]
        with db.engine.connect() as connection:
            fill_sessions(connection, chats)
            fill_messages(connection, chats, plan)
        migrate()
        _settle()
        db.session.remove()
        db.engine.dispose()
    return {str(chat.length): chat.id for chat in special}


def fill_sessions(connection: Connection, chats: list[Chat]) -> None:
    """Write one row per chat, without its last_message_preview."""
    rows = (_session_row(chat) for chat in chats)
    _write(connection, ChatSession, _SESSION_COLUMNS, rows, len(chats))


def fill_messages(connection: Connection, chats: list[Chat], plan: Plan) -> None:
    """Write the messages of all chats, by chat and seq, then the previews."""
    total = sum(chat.length for chat in chats)
    _write(connection, Message, _MESSAGE_COLUMNS, _message_rows(chats, plan), total)
    preview = (
        sa.select(sa.func.substr(Message.content, 1, PREVIEW_LENGTH))
        .where(
            Message.session_id == ChatSession.id, Message.seq == ChatSession.last_seq
        )
        .scalar_subquery()
    )
    connection.execute(
        sa.update(ChatSession.__table__).values(last_message_preview=preview)
    )
    connection.commit()


def _plan_chats(plan: Plan) -> Iterator[Chat]:
    chance = random.Random(plan.seed)
    lengths = chat_lengths(plan.sessions, max(plan.messages, plan.sessions), plan.seed)
    if not plan.messages:
        lengths = [0] * plan.sessions
    for number, length in enumerate([*lengths, *plan.long_sessions]):
        tags = chance.sample(TAGS, chance.choice([0, 0, 1, 1, 2, 3]))
        if number % 1000 == 999:
            tags.append(RARE_TAG)
        yield Chat(
            id=UUID(int=chance.getrandbits(128), version=4),
            created_at=_START + timedelta(seconds=number * 20, microseconds=number),
            length=length,
            tags=tags,
            model=chance.choices(MODELS, [80, 10, 8, 2])[0],
            name=f"Chat {number}",
        )


def _message_rows(chats: list[Chat], plan: Plan) -> Iterator[dict[str, Any]]:
    texts = Texts(plan.messages, plan.seed)
    usual = len(chats) - len(plan.long_sessions)
    for number, chat in enumerate(chats):
        for seq in range(1, chat.length + 1):
            turn = texts.turn(seq) if number < usual else Turn("user", "x" * 240)
            yield {
                "session_id": chat.id,
                "seq": seq,
                "timestamp": chat.written_at(seq),
                "role": turn.role,
                "content": turn.content,
                "metadata": None,
            }


def _session_row(chat: Chat) -> dict[str, Any]:
    return {
        "id": chat.id,
        "owner_id": LOCAL_OWNER,
        "name": chat.name,
        "created_at": chat.created_at,
        "last_updated_at": chat.written_at(chat.length),
        "llm_model_name": chat.model,
        "rag_document_ids": [],
        "metadata_tags": chat.tags,
        "message_count": chat.length,
        "last_seq": chat.length,
        "last_message_preview": None,
        "pinned": False,
        "archived_at": None,
        "revision": 1 + chat.length,
    }


def _write(
    connection: Connection,
    model: Any,
    names: Sequence[str],
    rows: Iterator[dict[str, Any]],
    total: int,
) -> None:
    # Later columns do not exist yet at this revision, so name the columns to insert.
    types = model.__table__.columns
    columns = [sa.column(name, types[name].type) for name in names]
    table = sa.table(model.__tablename__, *columns)
    label = f"filling {model.__tablename__}"
    bar = click.progressbar(
        length=total, label=label, file=sys.stderr, hidden=not sys.stderr.isatty()
    )
    insert = sa.insert(table).values({name: sa.bindparam(name) for name in names})
    with bar:
        while batch := list(itertools.islice(rows, _BATCH)):
            connection.execute(insert, batch)
            bar.update(len(batch))
    connection.commit()


def _settle() -> None:
    """Run VACUUM and ANALYZE on PostgreSQL, as autovacuum would later."""
    if db.engine.dialect.name != "postgresql":
        return
    engine = db.engine.execution_options(isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql("SET statement_timeout = 0")
        connection.exec_driver_sql("VACUUM (ANALYZE)")
        connection.exec_driver_sql("RESET statement_timeout")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("url", help="an empty database: sqlite:///path, postgresql://…")
    parser.add_argument("--sessions", type=int, default=Plan.sessions)
    parser.add_argument("--messages", type=int, default=Plan.messages)
    parser.add_argument("--seed", type=int, default=Plan.seed)
    options = parser.parse_args()
    plan = Plan(options.sessions, options.messages, seed=options.seed)
    print(f"{fill(options.url, plan) or 'filled'}")


if __name__ == "__main__":
    main()
