"""The chat store as a first design: FastAPI, `databases`, SQLAlchemy Core.

It has the routes and shapes of chatstore. It is async throughout, with one
transaction per request and SQLite in WAL mode; it reads the next seq, then writes
it. DATABASE_URL names the database.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

import sqlalchemy as sa
from databases import Database
from fastapi import FastAPI, HTTPException, Query
from pydantic import BaseModel, Field

database = Database(os.environ["DATABASE_URL"])
metadata = sa.MetaData()
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("name", sa.String(255)),
    sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column(
        "last_updated_at", sa.DateTime(timezone=True), nullable=False, index=True
    ),
    sa.Column("llm_model_name", sa.String(255), nullable=False),
    sa.Column("rag_document_ids", sa.JSON, nullable=False),
    sa.Column("metadata_tags", sa.JSON, nullable=False),
    sa.Column("message_count", sa.Integer, nullable=False),
    sa.Column("last_message_preview", sa.String(200)),
    sa.Column("pinned", sa.Boolean, nullable=False),
    sa.Column("archived_at", sa.DateTime(timezone=True)),
)
messages = sa.Table(
    "chat_messages",
    metadata,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column(
        "session_id", sa.ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False
    ),
    sa.Column("seq", sa.Integer, nullable=False),
    sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
    sa.Column("role", sa.String(16), nullable=False),
    sa.Column("content", sa.Text, nullable=False),
    sa.Column("metadata", sa.JSON),
    sa.UniqueConstraint("session_id", "seq"),
)


class SessionCreate(BaseModel):
    name: str | None = Field(None, max_length=255)
    llm_model_name: str = "gpt-4o-mini"
    rag_document_ids: list[str] = []
    metadata_tags: list[str] = []


class Session(SessionCreate):
    id: UUID
    created_at: datetime
    last_updated_at: datetime
    message_count: int
    last_message_preview: str | None
    pinned: bool
    archived: bool
    archived_at: datetime | None


class SessionPage(BaseModel):
    sessions: list[Session]
    next_cursor: str | None = None


class MessageCreate(BaseModel):
    content: str
    role: str = Field("user", pattern="^(user|assistant|system|tool)$")
    metadata: dict[str, Any] | None = None


class Message(MessageCreate):
    id: int
    session_id: UUID
    seq: int
    timestamp: datetime


class MessagePage(BaseModel):
    messages: list[Message]
    has_more: bool = False


class Batch(BaseModel):
    messages: list[MessageCreate] = Field(min_length=1, max_length=1000)


class BatchAnswer(BaseModel):
    messages: list[Message]


@asynccontextmanager
async def connected(app: FastAPI) -> AsyncIterator[None]:
    """Keep the database connected while the process serves."""
    await database.connect()
    yield
    await database.disconnect()


app = FastAPI(lifespan=connected)
API = "/api/v1/sessions"


async def find(session_id: UUID) -> dict[str, Any]:
    """Return the session's row; raise 404 if there is none."""
    query = sessions.select().where(sessions.c.id == str(session_id))
    row = await database.fetch_one(query)
    if row is None:
        raise HTTPException(404, "no such session")
    return shown(row)


def plain(row: Any, table: sa.Table) -> dict[str, Any]:
    """Return a row's values; on PostgreSQL, `row._mapping` would leave JSON as text."""
    return {column.name: row[column.name] for column in table.columns}


def shown(row: Any) -> dict[str, Any]:
    """Return a session in the shape of the API."""
    chat = plain(row, sessions)
    return chat | {"archived": chat["archived_at"] is not None}


@app.post(API + "/", status_code=201, response_model=Session)
async def create_session(body: SessionCreate) -> dict[str, Any]:
    now = datetime.now(UTC)
    chat = body.model_dump() | {
        "id": str(uuid4()),
        "created_at": now,
        "last_updated_at": now,
        "message_count": 0,
        "last_message_preview": None,
        "pinned": False,
        "archived_at": None,
    }
    await database.execute(sessions.insert().values(chat))
    return chat | {"archived": False}


@app.get(API + "/", response_model=SessionPage)
async def list_sessions(
    limit: Annotated[int, Query(ge=1, le=1000)] = 50,
    offset: Annotated[int, Query(ge=0)] = 0,
) -> dict[str, Any]:
    order = (sessions.c.last_updated_at.desc(), sessions.c.id.desc())
    query = sessions.select().order_by(*order).limit(limit).offset(offset)
    return {"sessions": [shown(row) for row in await database.fetch_all(query)]}


@app.get(API + "/{session_id}", response_model=Session)
async def get_session(session_id: UUID) -> dict[str, Any]:
    return await find(session_id)


@app.delete(API + "/{session_id}", status_code=204)
async def delete_session(session_id: UUID) -> None:
    async with database.transaction():
        await find(session_id)
        of_it = messages.c.session_id == str(session_id)
        await database.execute(messages.delete().where(of_it))
        await database.execute(
            sessions.delete().where(sessions.c.id == str(session_id))
        )


@app.post(API + "/{session_id}/messages", status_code=201, response_model=Message)
async def append(session_id: UUID, body: MessageCreate) -> dict[str, Any]:
    async with database.transaction():
        (message,) = await store(session_id, [body])
    return message


@app.post(
    API + "/{session_id}/messages/batch", status_code=201, response_model=BatchAnswer
)
async def append_batch(session_id: UUID, body: Batch) -> dict[str, Any]:
    async with database.transaction():
        return {"messages": await store(session_id, body.messages)}


async def store(session_id: UUID, turns: list[MessageCreate]) -> list[dict[str, Any]]:
    """Insert the turns after the session's last message; update the session."""
    chat = await find(session_id)
    last = chat["message_count"]
    stored = []
    for seq, turn in enumerate(turns, start=last + 1):
        values = turn.model_dump() | {
            "session_id": str(session_id),
            "seq": seq,
            "timestamp": datetime.now(UTC),
        }
        stored.append(values | {"id": await database.execute(insert_one(values))})
    await database.execute(
        sessions.update()
        .where(sessions.c.id == str(session_id))
        .values(
            message_count=last + len(turns),
            last_updated_at=stored[-1]["timestamp"],
            last_message_preview=turns[-1].content[:200],
        )
    )
    return stored


def insert_one(values: dict[str, Any]) -> sa.Insert:
    """Return the statement that inserts one message."""
    return messages.insert().values(values)


@app.get(API + "/{session_id}/messages", response_model=MessagePage)
async def list_messages(
    session_id: UUID,
    limit: Annotated[int | None, Query(ge=1, le=1000)] = None,
    after: int = 0,
) -> dict[str, Any]:
    await find(session_id)
    query = (
        messages.select()
        .where(messages.c.session_id == str(session_id), messages.c.seq > after)
        .order_by(messages.c.seq)
    )
    if limit is not None:
        query = query.limit(limit + 1)
    rows = [plain(row, messages) for row in await database.fetch_all(query)]
    has_more = limit is not None and len(rows) > limit
    return {"messages": rows[:limit], "has_more": has_more}


def make_tables(url: str) -> None:
    """Create the tables with a synchronous engine, on SQLite in WAL mode."""
    driver = url.replace("postgresql://", "postgresql+psycopg://")
    engine = sa.create_engine(driver)
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    metadata.create_all(engine)
    engine.dispose()


if __name__ == "__main__":
    make_tables(os.environ["DATABASE_URL"])
