"""Databases in the state that the first release left them in."""

from sqlalchemy import create_engine, text

from chatstore.db import sqlite

NUMBERS = {
    "sqlite": "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n"
    " WHERE i < {count})",
    "postgresql": "WITH n (i) AS (SELECT generate_series(1, {count}))",
}


def connected(url):
    """Return an engine for the test, with the SQLite library that chatstore uses.

    Two SQLite libraries in one process would release each other's locks on a file.
    """
    if url.startswith("sqlite"):
        return create_engine(url, module=sqlite.driver())
    return create_engine(url.replace("postgresql:", "postgresql+psycopg:"))


def fill(url, *, sessions, messages):
    """Insert sessions and messages in the first release's schema, with SQL alone."""
    engine = connected(url)
    kind = engine.dialect.name
    numbers = NUMBERS[kind]
    new_id = (
        "printf('%08x00004000a000%012x', i, i)"
        if kind == "sqlite"
        else "CAST(lpad(to_hex(i), 8, '0') || '00004000a000' ||"
        " lpad(to_hex(i), 12, '0') AS uuid)"
    )
    each = messages // sessions
    pinned = "0" if kind == "sqlite" else "false"
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO sessions (id, owner_id, name, created_at, last_updated_at,"
                " llm_model_name, rag_document_ids, metadata_tags, message_count,"
                " last_message_preview, last_seq, pinned, revision)"
                f" {numbers.format(count=sessions)}"
                f" SELECT {new_id}, 'local', 'Café ' || i,"
                " '2026-01-01T00:00:00.000000Z', '2026-01-01T00:01:40.000000Z', 'm',"
                f" '[]', '[\"old\"]', {each}, 'word {each}', {each}, {pinned}, 1 FROM n"
            )
            if kind == "sqlite"
            else text(
                f"{numbers.format(count=sessions)} INSERT INTO sessions (id, owner_id,"
                " name, created_at, last_updated_at, llm_model_name,"
                " rag_document_ids, metadata_tags, message_count, last_message_preview,"
                " last_seq, pinned,"
                f" revision) SELECT {new_id}, 'local', 'Café ' || i,"
                " '2026-01-01T00:00:00Z', '2026-01-01T00:01:40Z', 'm', '[]',"
                f" '[\"old\"]', {each}, 'word {each}', {each}, {pinned}, 1 FROM n"
            )
        )
        instant = (
            "printf('2026-01-01T00:%02d:%02d.000000Z', i / 60, i % 60)"
            if kind == "sqlite"
            else "TIMESTAMPTZ '2026-01-01T00:00:00Z' + i * interval '1 second'"
        )
        insert = "INSERT INTO chat_messages (session_id, seq, timestamp, role, content)"
        chosen = (
            f"SELECT sessions.id, i, {instant}, 'user', 'word ' || i"
            " FROM n CROSS JOIN sessions"
        )
        statement = (
            f"{insert} {numbers} {chosen}"
            if kind == "sqlite"
            else f"{numbers} {insert} {chosen}"
        )
        connection.execute(text(statement.format(count=each)))
    engine.dispose()
