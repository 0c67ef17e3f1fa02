"""Ways to break a database under an application, the same on both kinds."""

from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import text

from chatstore.db import db

_REFUSE_TOOLS = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON chat_messages"
    " WHEN NEW.role = 'tool' BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END",
    "postgresql": "ALTER TABLE chat_messages ADD CONSTRAINT refuse"
    " CHECK (role <> 'tool')",
}


def refuse_tools(app):
    """Let the database refuse every message of role tool, for reasons of its own."""
    with app.app_context():
        db.session.execute(text(_REFUSE_TOOLS[db.engine.dialect.name]))
        db.session.commit()


@contextmanager
def taken_away(app, request):
    """Make the database of `app` unreachable; `request` is the test's fixture."""
    with app.app_context():
        url = db.engine.url
        db.engine.dispose()
    if url.get_backend_name() == "sqlite":
        path = Path(url.database)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        path.mkdir()  # SQLite would make a missing file
        yield
        return
    server = request.getfixturevalue("postgres")
    server.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
    yield
    server.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")
