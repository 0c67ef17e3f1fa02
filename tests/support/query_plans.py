"""A crowd of messages to search in, and the database's plans of a search."""

import random

from sqlalchemy import event, insert, text

from chatstore.db import db, run_write
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import Message
from chatstore.store.search import rebuild
from chatstore.store.search.criteria import BOUNDS
from chatstore.store.search.pages import Search, search
from tests.support.crowd import fill_sessions

MESSAGE_COUNT = 20_000


def fill_crowd():
    """Add and commit MESSAGE_COUNT messages in 2000 sessions, with their entries."""
    sessions = fill_sessions(2000)
    chance = random.Random(1)
    words = [f"word{number}" for number in range(500)]
    rows = [
        {
            "session_id": sessions[number % len(sessions)]["id"],
            "seq": number // len(sessions) + 1,
            "timestamp": sessions[0]["created_at"],
            "role": "user",
            "content": " ".join(
                (["often", "odd"] if number % 2 else ["even"])
                + ["ends"] * (number < 100 or number >= MESSAGE_COUNT - 50)
                + chance.choices(words, k=20)
                + [f"rare{number}"]
            ),
        }
        for number in range(MESSAGE_COUNT)
    ]
    db.session.execute(insert(Message), rows)
    db.session.commit()
    while run_write(rebuild.number_sessions):
        pass
    for index in (MESSAGES, NAMES):
        last = 0
        while batch := run_write(rebuild.reindex_batch, index, after=last):
            last = batch.last
    if db.engine.dialect.name == "postgresql":
        for index in (MESSAGES, NAMES):  # merge pending entries, as autovacuum does
            merge = f"SELECT gin_clean_pending_list('ix_{index}_words')"
            db.session.execute(text(merge))
        db.session.execute(text("ANALYZE"))
    db.session.commit()


def plans_of(
    *, is_free=False, is_run=False, bounds=BOUNDS, find=search, more=None, **where
):
    """Yield the plan of each SELECT of a search, as one text.

    If `is_run`, PostgreSQL runs each SELECT again, and the plan tells how many rows
    each node returned. `find` gets the keyword arguments `more`.
    """
    arguments = {"owner_id": "alice", "limit": 20, "bounds": bounds} | (more or {})
    found = []

    def explain(connection, cursor, statement, parameters, *_):
        if "message_index" in statement or "name_index" in statement:
            found.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        find(Search(**where), **arguments)
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)
    cursor = db.session.connection().connection.cursor()
    is_sqlite = db.engine.dialect.name == "sqlite"
    if not is_sqlite and not is_free:
        # The planner prefers to scan 20,000 rows, so forbid that.
        cursor.execute("SET LOCAL enable_seqscan = off")
    options = "QUERY PLAN" if is_sqlite else f"(ANALYZE {is_run})"
    for statement, parameters in found:
        cursor.execute(f"EXPLAIN {options} {statement}", parameters)
        rows = cursor.fetchall()
        yield "\n".join(str(row[3] if is_sqlite else row[0]) for row in rows)
