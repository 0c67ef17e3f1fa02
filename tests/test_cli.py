import json
import re
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import Pool, event, select, text

from chatstore import __version__
from chatstore.cli import main
from chatstore.db import db, run_write
from chatstore.db.revisions import head_revision
from chatstore.models import ChatSession
from chatstore.store.sessions import update_session
from chatstore.store.trash import trash_session
from chatstore.store.verify import checks
from tests.support import API, free_port, on_postgresql, on_sqlite
from tests.support.breakage import damage_rows

COMMANDS = sorted(main.commands)
ARGUMENTS = {
    "backup": ["file"],
    "restore": ["file"],
    "purge": ["idempotency"],
    "keys": ["list"],
    "owners": ["list"],
    "row-security": ["status"],
    "static": ["folder"],
}


@pytest.fixture
def run(run_command):
    return run_command


@pytest.fixture
def still_open():
    """A list of the connections opened from now on and not yet closed."""
    connections = []

    def opened(connection, record):
        connections.append(connection)

    def closed(connection, record):
        connections.remove(connection)

    event.listen(Pool, "connect", opened)
    event.listen(Pool, "close", closed)
    yield connections
    event.remove(Pool, "connect", opened)
    event.remove(Pool, "close", closed)


@pytest.fixture
def execute(app):
    """Execute SQL statements directly, past the store."""

    def execute(*statements):
        with app.app_context():
            for statement in statements:
                db.session.execute(text(statement))
            db.session.commit()

    return execute


def assert_refused(result, pattern):
    """Assert that stderr is one sentence and the exit code is 1."""
    assert result.exit_code == 1, result.output
    assert isinstance(result.exception, SystemExit), repr(result.exception)
    assert re.fullmatch(f"Error: .*{pattern}.*\n", result.stderr), result.stderr


def test_help_shows_each_command_with_one_whole_line(run):
    result = run("--help")
    lines = result.stdout.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in lines] == COMMANDS
    for line in lines:
        name, sentence = line.split(maxsplit=1)
        assert sentence == main.commands[name].help.partition("\n\n")[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_help_of_its_own(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert main.commands[command].help.partition("\n")[0] in result.stdout


def test_version_is_that_of_the_package(run):
    assert run("--version").stdout == f"chatstore, version {__version__}\n"


def test_migrate_says_what_it_did(run, empty_database_url):
    first = run("migrate", database_url=empty_database_url)
    second = run("migrate", database_url=empty_database_url)
    lines = first.stdout.splitlines()
    assert lines[0] == "migrated up to 0001: create sessions and messages"
    assert lines[-1].startswith(f"migrated up to {head_revision()}")
    assert second.stdout == "nothing to migrate\n"
    assert (first.exit_code, second.exit_code) == (0, 0)


@pytest.mark.parametrize(
    "command",
    [
        ["migrate"],
        ["verify"],
        ["stats"],
        ["purge", "idempotency"],
        ["purge", "sessions", "--where", "tag=t"],
    ],
)
@pytest.mark.parametrize(("revision", "code"), [(head_revision(), 0), ("9999", 1)])
def test_a_command_closes_its_connections(
    run, execute, app, database_url, still_open, command, revision, code
):
    execute(f"UPDATE alembic_version SET version_num = '{revision}'")
    with app.app_context():
        db.engine.dispose()
    assert still_open == []
    assert run(*command, database_url=database_url).exit_code == code
    assert still_open == []


@pytest.mark.parametrize("command", ["migrate", "verify", "stats"])
def test_a_newer_database_is_one_sentence(run, execute, database_url, command):
    execute("UPDATE alembic_version SET version_num = '9999'")
    result = run(command, database_url=database_url)
    assert_refused(result, "9999, newer than this version of chatstore.*newer version")


@pytest.mark.parametrize("command", ["verify", "stats", "serve"])
def test_an_older_database_is_one_sentence(run, execute, database_url, command):
    execute("UPDATE alembic_version SET version_num = '0000'")
    result = run(command, database_url=database_url)
    assert_refused(result, "at revision 0000.*Run: chatstore migrate")


@pytest.mark.parametrize("command", ["verify", "stats"])
def test_an_empty_database_is_one_sentence(run, empty_database_url, command):
    if empty_database_url.startswith("sqlite"):
        Path(empty_database_url.removeprefix("sqlite:///")).touch()
    result = run(command, database_url=empty_database_url)
    assert_refused(result, "no tables yet. Run: chatstore migrate")


@pytest.mark.parametrize("database_kind", ["sqlite"])
def test_a_server_without_logins_does_not_listen_to_other_machines(run, database_url):
    result = run("serve", database_url=database_url, bind="0.0.0.0:8000")
    assert_refused(result, "everybody who reaches 0.0.0.0:8000 .*CHATSTORE_AUTH")


# `static` makes files and needs no database. `demo` may be the first command.
MAKES = {"serve", "migrate", "restore", "static", "demo"}


def tree(folder):
    """Return every file and folder below, with its bytes."""
    return {
        str(path): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@pytest.mark.parametrize("name", ["chats.db", "no/such/folder/chats.db"])
@pytest.mark.parametrize("command", [each for each in COMMANDS if each not in MAKES])
def test_a_command_makes_nothing_where_there_is_no_database(
    run, tmp_path, monkeypatch, command, name
):
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/{name}"
    arguments = ARGUMENTS.get(command, [])
    result = run(command, *arguments, database_url=url, secret_key="")
    assert result.exit_code == 1
    assert f"There is no database at {tmp_path}/{name}" in result.output
    assert "chatstore migrate" in result.output
    assert "Traceback" not in result.output
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("content", [b"", b"Dear diary, " * 1000])
@pytest.mark.parametrize("command", ["doctor", "stats", "verify"])
def test_a_file_that_is_no_database_stays_as_it_is(run, tmp_path, command, content):
    (tmp_path / "chats.db").write_bytes(content)
    before = tree(tmp_path)
    url = f"sqlite:///{tmp_path}/chats.db"
    assert run(command, database_url=url, secret_key="").exit_code == 1
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["doctor", "stats", "verify"])
def test_a_database_of_something_else_stays_as_it_is(run, tmp_path, command):
    database = sqlite3.connect(tmp_path / "chats.db")
    database.execute("CREATE TABLE bookmarks (url TEXT)")
    database.close()
    before = tree(tmp_path)
    url = f"sqlite:///{tmp_path}/chats.db"
    assert run(command, database_url=url, secret_key="").exit_code == 1
    assert tree(tmp_path) == before


@on_sqlite
@pytest.mark.parametrize("command", ["doctor", "stats", "verify"])
def test_looking_at_a_database_leaves_no_file_behind(
    run, tmp_path, database_url, command
):
    before = tree(tmp_path)
    result = run(command, database_url=database_url, secret_key="")
    assert result.exit_code == 0, result.output
    assert tree(tmp_path) == before


@pytest.mark.parametrize("command", ["doctor", "stats", "verify"])
def test_a_missing_database_of_postgresql_is_one_sentence(
    run, postgres, tmp_path, monkeypatch, command
):
    monkeypatch.chdir(tmp_path)
    result = run(command, database_url=postgres.url("no_such_chats"), secret_key="")
    assert result.exit_code == 1
    assert '"no_such_chats" does not exist' in result.output
    assert "Traceback" not in result.output
    assert tree(tmp_path) == {}


def test_verify_finds_nothing_in_sound_data(run, make_session, database_url):
    make_session(messages=3)
    make_session()
    result = run("verify", database_url=database_url)
    count = len(checks.CHECKS)
    assert result.stdout == f"ok: 2 sessions, 3 messages, {count} checks\n"
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    ("damage", "checks"),
    [
        ("DELETE FROM chat_messages WHERE seq = 2", ["seq", "count"]),
        ("UPDATE sessions SET message_count = 9", ["count"]),
        ("UPDATE sessions SET last_message_preview = 'x'", ["last message"]),
        ("UPDATE chat_messages SET role = 'king' WHERE seq = 1", ["role"]),
    ],
)
def test_verify_lists_what_is_broken(run, make_session, database_url, damage, checks):
    chat = make_session(messages=3)
    damage_rows(database_url, damage)
    result = run("verify", database_url=database_url)
    every = result.stdout.splitlines()
    lines = [line for line in every if not line.startswith("search: ")]
    assert [line.partition(": ")[0] for line in lines] == checks
    assert all(str(chat.id) in line or "role" in line for line in lines)
    assert_refused(result, f"{len(every)} violations? in 1 session, [23] messages")


@on_sqlite
def test_verify_lists_a_damaged_file(run, app, make_session, database_url):
    make_session(messages=3)
    with app.app_context():
        db.engine.dispose()
    path = database_url.removeprefix("sqlite:///")
    database = sqlite3.connect(path)
    (page,) = database.execute(
        "SELECT rootpage FROM sqlite_schema WHERE name = 'chat_messages'"
    ).fetchone()
    (size,) = database.execute("PRAGMA page_size").fetchone()
    database.close()
    with open(path, "r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xff" * size)
    result = run("verify", database_url=database_url)
    assert result.stdout.startswith("file: ")
    assert_refused(result, "")


def test_usage_is_a_table(run, alice, make_session, database_url, clock):
    chat = make_session()
    turn = {"content": "hé", "usage": {"input_tokens": 1100, "output_tokens": 7}}
    for role in ("user", "assistant"):
        alice.post(f"{API}/sessions/{chat.id}/messages", json=turn | {"role": role})
    dates = ["--from", "2026-01-02", "--to", "2026-01-04"]
    result = run("usage", *dates, "--split", "role", database_url=database_url)
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines() == [
        "day          messages  sessions  bytes  input tokens  output tokens",
        "2026-01-02          2         1      6         2,200             14",
        "2026-01-03          0         0      0             0              0",
        "total               2         1      6         2,200             14",
        "  assistant         1         0      3         1,100              7",
        "  user              1         0      3         1,100              7",
    ]
    assert result.stderr == ""
    as_json = run("usage", *dates, "--json", database_url=database_url)
    answer = alice.get(f"{API}/usage?from=2026-01-02&to=2026-01-04")
    assert json.loads(as_json.stdout) == answer.json
    theirs = run("usage", *dates, "--owner", "bob", database_url=database_url)
    assert theirs.stdout.splitlines()[-1].split() == ["total", *"00000"]


@pytest.mark.parametrize(
    ("option", "value"),
    [("from", "yesterday"), ("to", "1960-01-01"), ("by", "year"), ("tz", "Mars")],
)
def test_a_bad_option_of_usage_is_one_sentence(run, database_url, option, value):
    result = run("usage", f"--{option}", value, database_url=database_url)
    assert result.exit_code == 2
    assert f"Invalid value for --{option}: " in result.stderr


def test_stats_count_what_is_there(run, make_session, database_url):
    make_session(messages=3)
    make_session(messages=1, owner_id="bob", llm_model_name="other")
    result = run("stats", database_url=database_url)
    stats = dict(line.rsplit(maxsplit=1) for line in result.stdout.splitlines())
    assert int(stats.pop("bytes on disk")) > 0
    assert stats.pop("newest activity").endswith("Z")
    assert stats == {
        "sessions": "2",
        "messages": "4",
        "owners": "2",
        "messages by user": "4",
        "sessions with other": "1",
        "sessions in the trash": "0",
        "sessions being deleted": "0",
        "sessions with test-model": "1",
    }


@on_sqlite
def test_doctor_finds_a_new_database_sound(run, database_url):
    result = run("doctor", database_url=database_url)
    assert re.search("ok +journal_mode +wal\n", result.stdout)
    assert re.search(f"ok +revision +{head_revision()}\n", result.stdout)
    assert "FAIL" not in result.stdout
    assert result.exit_code == 0


@on_postgresql
def test_doctor_fails_a_server_that_does_not_flush(run, database_url):
    result = run("doctor", database_url=database_url)
    assert re.search("FAIL +fsync +off\n", result.stdout)
    assert re.search("ok +synchronous_commit +on\n", result.stdout)
    assert result.exit_code == 1


def test_doctor_fails_a_database_of_another_revision(run, execute, database_url):
    execute("UPDATE alembic_version SET version_num = '0000'")
    result = run("doctor", database_url=database_url)
    assert re.search("FAIL +revision .*Run: chatstore migrate\n", result.stdout)
    assert result.exit_code == 1


def test_doctor_fails_a_database_that_is_away(run):
    url = f"postgresql://me:geheim@127.0.0.1:{free_port()}/chats"
    result = run("doctor", database_url=url)
    assert re.fullmatch("FAIL +connection .*refused.*\n", result.stdout)
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_setting_stops_every_command(run, command):
    result = run(command, *ARGUMENTS.get(command, []), databse_url="x")
    assert_refused(
        result, "CHATSTORE_DATABSE_URL is not.*Did you mean CHATSTORE_DATABASE_URL?"
    )


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("workers", "many", "CHATSTORE_WORKERS is 'many'. .*whole number"),
        ("threads", "0", "CHATSTORE_THREADS is '0'"),
        ("bind", "nonsense", "CHATSTORE_BIND is 'nonsense'. Give host:port"),
        ("log_level", "loud", "CHATSTORE_LOG_LEVEL is 'loud'. Give one of debug"),
        (
            "database_url",
            "mysql://h/x",
            "CHATSTORE_DATABASE_URL .*'mysql'. Give sqlite",
        ),
        ("database_url", "sqlite://", "CHATSTORE_DATABASE_URL must name a .*file"),
        ("database_url", "postgresql://[::1/x", "CHATSTORE_DATABASE_URL cannot be"),
        (
            "database_url",
            "postgresql://127.0.0.1:1/x?no=1",
            "invalid connection option .no.",
        ),
    ],
)
def test_a_bad_setting_is_one_sentence(run, name, value, sentence):
    assert_refused(run("stats", **{name: value}), sentence)


@pytest.mark.parametrize("command", ["serve", "migrate", "verify", "stats"])
def test_a_database_that_is_away_is_one_sentence(run, command):
    url = f"postgresql://me@127.0.0.1:{free_port()}/chats"
    assert_refused(run(command, database_url=url), "database .*refused")


def test_a_folder_is_no_database(run, tmp_path):
    result = run("stats", database_url=f"sqlite:///{tmp_path}")
    assert_refused(result, "unable to open database file")


@pytest.mark.parametrize("command", ["migrate", "stats", "verify", "serve"])
def test_another_file_is_no_database(run, tmp_path, command):
    (tmp_path / "chats.db").write_text("Dear diary, " * 1000)
    result = run(command, database_url=f"sqlite:///{tmp_path}/chats.db")
    assert_refused(result, "not a database")


@pytest.mark.parametrize("command", ["stats", "doctor"])
@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:geheim@127.0.0.1:1/x",
        "postgresql://me:ge@heim@127.0.0.1:1/x",
        "postgresql://me:geheim@127.0.0.1:port/x",
        "postgresql://me:geheim@[127.0.0.1/x",
        "postgresql://me:geheim@127.0.0.1:1/x?no=1",
        "postgresql://me@127.0.0.1:1/x?password=geheim&no=1",
        "postgres:me:geheim@127.0.0.1:1/x",
        "me:geheim@127.0.0.1:1/x",
        "mysql://me:geheim@127.0.0.1:1/x",
    ],
)
def test_the_password_is_never_shown(run, url, command):
    result = run(command, database_url=url)
    assert "heim" not in result.output
    assert isinstance(result.exception, SystemExit)
    assert result.exit_code == 1


OLD = "updated_before=2999-01-01T00:00:00Z"


@pytest.fixture
def purgeable(make_session):
    """Sessions of two owners: plain, pinned and archived."""
    chats = {
        name: make_session(owner_id=owner_id, name=name, messages=1)
        for name, owner_id in (("a", "alice"), ("pin", "alice"), ("box", "bob"))
    }
    for name, changes in (("pin", {"pinned": True}), ("box", {"archived": True})):
        chat = chats[name]
        run_write(update_session, chat.id, owner_id=chat.owner_id, changes=changes)
    make_session(owner_id="bob", name="b", metadata_tags=["t", "u"])
    return chats


def names_left(app):
    with app.app_context():
        db.session.remove()
        return "".join(sorted(db.session.scalars(select(ChatSession.name))))


@pytest.mark.parametrize(
    ("arguments", "purged", "left"),
    [
        ([OLD], 2, "boxpin"),
        ([OLD, "archived=any"], 3, "pin"),
        ([OLD, "archived=true"], 1, "abpin"),
        (["tag=t", "tag=u"], 1, "aboxpin"),
        (["name=a"], 1, "bboxpin"),
        (["pinned=false"], 2, "boxpin"),
        (["tag=none"], 0, "abboxpin"),
    ],
)
def test_purge_sessions_deletes_what_the_filters_match(
    run, app, db_session, purgeable, database_url, arguments, purged, left
):
    where = [each for name in arguments for each in ("--where", name)]
    command = ["purge", "sessions", *where]
    tried = run(*command, "--dry-run", database_url=database_url)
    assert tried.stdout.splitlines()[-1].startswith(f"would purge {purged} session")
    assert len(tried.stdout.splitlines()) == purged + 1
    assert names_left(app) == "abboxpin"
    result = run(*command, database_url=database_url)
    assert result.stdout.startswith(f"purged {purged} session")
    assert names_left(app) == left
    audited = run("audit", database_url=database_url).stdout
    # Each owner whose sessions were purged has an entry.
    counts = re.findall("change=purge  count=([0-9]+)\n", audited)
    assert sum(map(int, counts)) == purged


def test_purge_sessions_takes_pinned_ones_and_one_owner_if_asked(
    run, app, db_session, purgeable, database_url
):
    command = ["purge", "sessions", "--owner", "alice", "--include-pinned", "--where"]
    tried = run(*command, "pinned=true", "--dry-run", database_url=database_url)
    (line, _) = tried.stdout.splitlines()
    assert str(purgeable["pin"].id) in line and "1 message" in line
    run(*command, OLD, database_url=database_url)
    assert names_left(app) == "bbox"


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "--where"),
        (["--where", "tag"], "FILTER=VALUE"),
        (["--where", "colour=red"], "colour"),
        (["--where", "name=a", "--where", "name=b"], "once"),
        (["--where", "pinned=yes"], "pinned"),
        (["--where", "pinned=true"], "--include-pinned"),
        (["--where", "updated_before=yesterday"], "updated_before"),
    ],
)
def test_purge_sessions_refuses_what_is_no_filter(
    run, app, db_session, purgeable, database_url, arguments, reason
):
    result = run("purge", "sessions", *arguments, database_url=database_url)
    assert result.exit_code == 2
    assert reason in result.stderr
    assert names_left(app) == "abboxpin"


def test_verify_counts_the_trash(run, app, make_session, database_url):
    chat = make_session(messages=3)
    with app.app_context():
        run_write(trash_session, chat.id, owner_id=chat.owner_id)
    result = run("verify", database_url=database_url)
    assert "0 sessions, 3 messages, 1 session in the trash," in result.stdout
