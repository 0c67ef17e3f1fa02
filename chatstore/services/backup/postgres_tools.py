"""Runs PostgreSQL's pg_dump and pg_restore; knows nothing of the data in a dump."""

import os
import re
import subprocess  # nosec B404
from collections.abc import Callable
from functools import cache
from pathlib import Path

from psycopg.conninfo import make_conninfo
from psycopg.pq import Conninfo
from sqlalchemy import URL

from chatstore.db.row_owner import ALL_OWNERS_OPTION
from chatstore.errors import BackupError

# Packages install each version in its own folder, and PATH has only one of them.
_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin")
_SECONDS_PER_PROGRESS = 0.2


class PostgresTools:
    """pg_dump and pg_restore for one database, of a version that fits its server."""

    def __init__(self, url: URL, *, server_version: int) -> None:
        self._version = server_version
        self._database = make_conninfo(dbname=url.database)
        self._environment = {**os.environ, **connection_environment(url)}
        options = self._environment.get("PGOPTIONS", "")
        # With row security, the policies show all rows to this setting only.
        self._environment["PGOPTIONS"] = f"{options} {ALL_OWNERS_OPTION}".strip()

    def dump(
        self,
        file: Path,
        *,
        snapshot: str,
        lock_seconds: int,
        on_progress: Callable[[], None],
    ) -> None:
        """Write the database as `snapshot` sees it to `file`."""
        self._run(
            "pg_dump",
            "--format=custom",
            "--enable-row-security",
            f"--snapshot={snapshot}",
            f"--lock-wait-timeout={lock_seconds}s",
            f"--file={file}",
            on_progress=on_progress,
        )

    def restore(self, file: Path, *, on_progress: Callable[[], None]) -> None:
        """Replace the contents of the database by `file`, in one transaction."""
        self._run(
            "pg_restore",
            "--single-transaction",
            "--clean",
            "--if-exists",
            "--no-owner",
            "--no-privileges",
            f"--dbname={self._database}",
            str(file),
            on_progress=on_progress,
        )

    def check_dump(self, file: Path, *, on_progress: Callable[[], None]) -> None:
        """Read all of a dump; raise BackupError if it is damaged or cut off."""
        self._run(
            "pg_restore", f"--file={os.devnull}", str(file), on_progress=on_progress
        )

    def read_table(self, file: Path, table: str) -> str:
        """Return the rows of a small table from a dump, as COPY writes them."""
        script = self._run(
            "pg_restore", "--data-only", f"--table={table}", "--file=-", str(file)
        )
        rows = re.search(r"^COPY .* FROM stdin;\n(.*?)^\\\.$", script, re.M | re.S)
        return rows[1] if rows else ""

    def _run(
        self, name: str, *arguments: str, on_progress: Callable[[], None] | None = None
    ) -> str:
        program = find_program(name, min_version=self._version)
        with subprocess.Popen(  # nosec B603
            [program, "--no-password", *arguments],
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",
        ) as process:
            try:
                output, errors = _communicate(process, on_progress)
            except BaseException:
                process.kill()
                raise
        if process.returncode:
            raise BackupError(f"{name} failed: {_first_error(errors)}")
        return output


def connection_environment(url: URL) -> dict[str, str]:
    """Return environment variables that connect libpq's programs to `url`.

    Every user of the machine can read a command line, so the password is not there.
    """
    variables = {
        option.keyword.decode(): option.envvar.decode()
        for option in Conninfo.get_defaults()
        if option.envvar
    }
    _, parameters = url.get_dialect()().create_connect_args(url)
    return {
        variables[name]: str(value)
        for name, value in parameters.items()
        if name in variables
    }


def find_program(name: str, *, min_version: int) -> Path:
    """Return the program of the lowest version that is at least `min_version`.

    A program newer than the server can dump it, but only a newer server may be able to
    restore the dump. So we take the lowest. Raises BackupError.
    """
    folders = [Path(each) for each in os.get_exec_path()]
    for pattern in _FOLDERS:
        folders += Path("/").glob(pattern.removeprefix("/"))
    found: dict[int, Path] = {}
    for program in (folder / name for folder in folders):
        if program.is_file() and os.access(program, os.X_OK):
            found.setdefault(_major_version(program), program)
    sufficient = [version for version in found if version >= min_version]
    if sufficient:
        return found[min(sufficient)]
    versions = ", ".join(str(version) for version in sorted(found) if version)
    there = f"has only {versions}" if versions else "has none"
    raise BackupError(
        f"{name} of PostgreSQL {min_version} or newer is needed, but PATH {there}."
        " Install PostgreSQL's client programs"
        f" (Debian: postgresql-client-{min_version})."
    )


@cache
def _major_version(program: Path) -> int:
    try:
        answer = subprocess.run(  # nosec B603
            [program, "--version"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0
    version = re.search(r"PostgreSQL\) ([0-9]+)", answer.stdout)
    return int(version[1]) if version else 0


def _communicate(
    process: "subprocess.Popen[str]", on_progress: Callable[[], None] | None
) -> tuple[str, str]:
    while True:
        try:
            return process.communicate(timeout=_SECONDS_PER_PROGRESS)
        except subprocess.TimeoutExpired:
            if on_progress is not None:
                on_progress()


def _first_error(output: str) -> str:
    lines = [line for line in output.splitlines() if "error:" in line]
    return lines[0] if lines else output.strip() or "it printed no reason"
