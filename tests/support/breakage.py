"""Ways to break a database under a running application, for both kinds of database."""

from contextlib import closing, contextmanager, suppress
from pathlib import Path

from sqlalchemy import text

from chatstore.db import db, sqlite, write_connection
from tests.support.databases import make_settings

_REFUSE_TOOLS = {
    "sqlite": "CREATE TRIGGER refuse BEFORE INSERT ON chat_messages"
    " WHEN NEW.role = 'tool' BEGIN SELECT RAISE(ABORT, 'refused by a trigger'); END",
    "postgresql": "ALTER TABLE chat_messages ADD CONSTRAINT refuse"
    " CHECK (role <> 'tool')",
}


def refuse_tools(app):
    """Add a constraint or trigger that refuses every message of role tool."""
    with app.app_context():
        db.session.execute(text(_REFUSE_TOOLS[db.engine.dialect.name]))
        db.session.commit()


@contextmanager
def taken_away(app, request):
    """Make the database of `app` unreachable; `request` is the test's fixture."""
    with app.app_context():
        engine = db.engine
    url = engine.url
    if url.get_backend_name() == "sqlite":
        path = Path(url.database)
        # SQLite creates a missing file, but cannot open a directory. A thread of the
        # app may create the file between the two steps.
        while not path.is_dir():
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            with suppress(FileExistsError):
                path.mkdir()
        engine.dispose()
        yield
        return
    server = request.getfixturevalue("postgres")
    server.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS false")
    # Last, because a thread of the app may have connected before that statement.
    engine.dispose()
    yield
    server.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS true")


def be_refused_for_now():
    """Make the database demand a retry: serialization failure or locked table."""
    connection = write_connection()
    if connection.dialect.name == "postgresql":
        connection.execute(text("DO $$ BEGIN RAISE SQLSTATE '40001'; END $$"))
    with closing(connection.exec_driver_sql("SELECT * FROM sqlite_schema")):
        connection.exec_driver_sql("DROP TABLE chat_messages")


def damage_rows(database_url, *statements):
    """Run the statements without foreign keys and checks."""
    path = make_settings(database_url).sqlite_path
    if path is not None:
        connection = sqlite.driver().connect(path)
        connection.execute("PRAGMA ignore_check_constraints = ON")
    else:
        import psycopg

        connection = psycopg.connect(database_url)
        connection.execute("SET session_replication_role = replica")
        for table, name in connection.execute(
            "SELECT conrelid::regclass::text, conname FROM pg_constraint"
            " WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        ).fetchall():
            connection.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    with closing(connection):
        for statement in statements:
            assert connection.execute(statement).rowcount
        connection.commit()
