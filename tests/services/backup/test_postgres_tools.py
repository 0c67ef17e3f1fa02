from pathlib import Path

import pytest
from sqlalchemy import make_url

from chatstore.errors import BackupError
from chatstore.services.backup.postgres_tools import (
    PostgresTools,
    connection_environment,
    find_program,
)

# Versions that no machine has installed.
VERSIONS = (91, 93, 95)


@pytest.fixture(autouse=True)
def database_kind() -> str:
    return "sqlite"  # no test here uses a database


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[int, Path]:
    """One folder per version, with programs that record their arguments."""
    made = {}
    for version in VERSIONS:
        made[version] = tmp_path / str(version)
        made[version].mkdir()
        for name in ("pg_dump", "pg_restore"):
            write_program(made[version] / name, version)
    paths = ":".join(str(folder) for folder in made.values())
    monkeypatch.setenv("PATH", f"{paths}:/usr/bin:/bin")
    return made


def write_program(path: Path, version: int) -> None:
    path.write_text(
        "#!/bin/sh\n"
        f'[ "$1" = --version ] && echo "{path.name} (PostgreSQL) {version}.2" && exit\n'
        f'echo "$@" > {path}.arguments; echo "$PGPASSWORD@$PGHOST" > {path}.environ\n'
        '[ "$3" != broken ] || { echo "pg: error: no" >&2; exit 3; }\n'
    )
    path.chmod(0o755)


@pytest.mark.parametrize(("server", "chosen"), [(90, 91), (92, 93), (93, 93), (95, 95)])
def test_the_oldest_program_that_can_read_the_server_is_chosen(
    folders: dict[int, Path], server: int, chosen: int
) -> None:
    assert find_program("pg_dump", min_version=server) == folders[chosen] / "pg_dump"


def test_a_missing_program_is_named(folders: dict[int, Path]) -> None:
    with pytest.raises(
        BackupError, match="pg_dump of PostgreSQL 96 or newer"
    ) as raised:
        find_program("pg_dump", min_version=96)
    assert "91, 93, 95" in raised.value.detail
    with pytest.raises(BackupError, match="pg_nothing .* PATH has none"):
        find_program("pg_nothing", min_version=1)


def test_a_program_that_does_not_run_is_passed_over(folders: dict[int, Path]) -> None:
    (folders[91] / "pg_dump").write_text("no program")
    assert find_program("pg_dump", min_version=90) == folders[93] / "pg_dump"


@pytest.mark.parametrize(
    ("url", "environ"),
    [
        (
            "postgresql+psycopg://ann:s%2Fcret@db.example:5433/chats?sslmode=require",
            {
                "PGHOST": "db.example",
                "PGPORT": "5433",
                "PGUSER": "ann",
                "PGPASSWORD": "s/cret",
                "PGDATABASE": "chats",
                "PGSSLMODE": "require",
            },
        ),
        (
            "postgresql+psycopg:///chats?host=one:1&host=two:2&keepalives=1",
            {"PGHOST": "one,two", "PGPORT": "1,2", "PGDATABASE": "chats"},
        ),
    ],
)
def test_programs_connect_as_the_application_does(
    url: str, environ: dict[str, str]
) -> None:
    assert connection_environment(make_url(url)) == environ


def test_no_password_is_on_a_command_line(folders: dict[int, Path]) -> None:
    url = make_url("postgresql+psycopg://ann:s3cret@db.example/chats")
    tools = PostgresTools(url, server_version=91)
    tools.dump(Path("file"), snapshot="1-1", lock_seconds=5, on_progress=lambda: None)
    tools.restore(Path("file"), on_progress=lambda: None)
    for name in ("pg_dump", "pg_restore"):
        arguments = (folders[91] / f"{name}.arguments").read_text()
        assert "file" in arguments
        assert "s3cret" not in arguments
        environ = (folders[91] / f"{name}.environ").read_text()
        assert environ == "s3cret@db.example\n"


def test_a_failure_is_told_in_the_programs_words(folders: dict[int, Path]) -> None:
    tools = PostgresTools(make_url("postgresql+psycopg:///chats"), server_version=91)
    with pytest.raises(BackupError, match="pg_restore failed: pg: error: no"):
        tools.check_dump(Path("broken"), on_progress=lambda: None)
