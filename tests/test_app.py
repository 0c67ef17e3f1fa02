import json
import re
import shutil
import stat
import subprocess
import sys

import pytest
from flask import request, session

from chatstore.app import create_app
from chatstore.errors import SettingsError
from chatstore.settings import Settings
from tests.support import clean_environ, make_settings, need

# Eight processes create the same application at the same moment.
RACE = """
import json, multiprocessing, sys
from chatstore.app import create_app
from chatstore.settings import Settings

def make(_):
    together.wait()
    settings = Settings(database_url=sys.argv[1])
    return create_app(settings).config["SECRET_KEY"]

context = multiprocessing.get_context("fork")
together = context.Barrier(8)
with context.Pool(8) as pool:
    sys.stdout.write(json.dumps(pool.map(make, range(8), chunksize=1)))
"""


def permissions(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_a_secret_is_kept_beside_the_database(tmp_path):
    settings = Settings(database_url=f"sqlite:///{tmp_path}/data/chats.db")
    secret = create_app(settings).config["SECRET_KEY"]
    kept = tmp_path / "data" / "secret_key"
    assert len(secret) >= 32
    assert kept.read_text() == secret
    assert create_app(settings).config["SECRET_KEY"] == secret


def test_nobody_else_may_read_the_secret_or_the_database(tmp_path):
    create_app(Settings(database_url=f"sqlite:///{tmp_path}/chats.db"))
    assert permissions(tmp_path / "secret_key") == 0o600
    assert permissions(tmp_path / "chats.db") == 0o600


def test_beside_postgresql_the_secret_is_kept_in_instance(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    app = create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none"))
    kept = tmp_path / "instance" / "secret_key"
    assert kept.read_text() == app.config["SECRET_KEY"]


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path):
    race = subprocess.run(
        [sys.executable, "-c", RACE, f"sqlite:///{tmp_path}/chats.db"],
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert race.returncode == 0, race.stderr
    kept = (tmp_path / "secret_key").read_text()
    assert json.loads(race.stdout) == [kept] * 8
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "chats.db",
        "secret_key",
    ]


def test_a_given_secret_is_not_written_down(tmp_path):
    url = f"sqlite:///{tmp_path}/chats.db"
    app = create_app(Settings(database_url=url, secret_key="given"))
    assert app.config["SECRET_KEY"] == "given"
    assert not (tmp_path / "secret_key").exists()


@pytest.mark.parametrize("secret_key", ["", "given"])
def test_a_folder_that_cannot_be_made_is_a_settings_error(tmp_path, secret_key):
    (tmp_path / "file").touch()
    url = f"sqlite:///{tmp_path}/file/below/chats.db"
    with pytest.raises(SettingsError) as caught:
        create_app(Settings(database_url=url, secret_key=secret_key))
    assert str(tmp_path / "file" / "below") in caught.value.detail
    assert "CHATSTORE_DATABASE_URL" in caught.value.detail


def test_a_secret_that_cannot_be_kept_is_a_settings_error(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "instance").touch()
    with pytest.raises(SettingsError, match="CHATSTORE_SECRET_KEY"):
        create_app(Settings(database_url="postgresql://nobody@127.0.0.1:1/none"))


def test_a_secret_that_cannot_be_read_is_a_settings_error(tmp_path):
    (tmp_path / "secret_key").mkdir()
    with pytest.raises(SettingsError, match="secret_key.*Set CHATSTORE_SECRET_KEY"):
        create_app(Settings(database_url=f"sqlite:///{tmp_path}/chats.db"))


WHOLE = "k" * 43


@pytest.mark.parametrize(
    "content",
    [b"", b"\n", b" " * 50, b"\0" * 43, WHOLE[:20].encode(), WHOLE[:-1].encode()]
    + [WHOLE[:20].encode() + b"\0" * 23, b"\xff" * 43],
)
def test_a_secret_that_is_not_whole_is_never_accepted(tmp_path, content):
    (tmp_path / "secret_key").write_bytes(content)
    with pytest.raises(SettingsError, match="Remove the file.*CHATSTORE_SECRET_KEY"):
        create_app(Settings(database_url=f"sqlite:///{tmp_path}/chats.db"))
    assert (tmp_path / "secret_key").read_bytes() == content


def test_a_secret_may_end_with_a_line_break(tmp_path):
    (tmp_path / "secret_key").write_text(f"{WHOLE}\n")
    app = create_app(Settings(database_url=f"sqlite:///{tmp_path}/chats.db"))
    assert app.config["SECRET_KEY"] == WHOLE


def test_a_secret_is_flushed_before_it_gets_its_name(tmp_path):
    strace = shutil.which("strace")
    need("strace", strace is not None)
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,link,linkat"
    folder = tmp_path / "data"
    make = (
        "from chatstore.app import create_app; from chatstore.settings import Settings;"
        f"create_app(Settings(database_url='sqlite:///{folder}/chats.db'))"
    )
    subprocess.run(
        [strace, "-f", "-y", "-e", calls, "-o", trace, sys.executable, "-c", make],
        env=clean_environ(),
        check=True,
    )
    lines = [each for each in trace.read_text().splitlines() if str(folder) in each]
    names = [re.search(r"(fsync|link)(?=at|\()", each)[0] for each in lines]
    assert names == ["fsync", "link", "fsync"]
    assert "secret_key." in lines[0]
    assert f"<{folder}>)" in lines[2]


def test_an_application_that_makes_no_files_makes_none(tmp_path):
    settings = Settings(database_url=f"sqlite:///{tmp_path}/data/chats.db")
    assert create_app(settings, creates_files=False).config["SECRET_KEY"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("hops", "seen"),
    [
        (0, ["127.0.0.1", "http", "localhost"]),
        (1, ["10.0.0.2", "https", "chat.example"]),
        (2, ["192.0.2.1", "http", "first.example"]),
    ],
)
def test_as_many_proxies_are_believed_as_are_set(tmp_path, hops, seen):
    url = f"sqlite:///{tmp_path}/chats.db"
    settings = Settings(database_url=url, proxy_hops=hops, allowed_hosts=".example")
    app = create_app(settings)

    @app.get("/seen")
    def show_seen():
        return [request.remote_addr, request.scheme, request.host]

    headers = {
        "X-Forwarded-For": "192.0.2.1, 10.0.0.2",
        "X-Forwarded-Proto": "http, https",
        "X-Forwarded-Host": "first.example, chat.example",
    }
    assert app.test_client().get("/seen", headers=headers).json == seen


def test_flask_keeps_no_session_in_a_cookie(tmp_path):
    app = create_app(make_settings(f"sqlite:///{tmp_path}/unused.db"))
    with app.test_request_context(), pytest.raises(RuntimeError, match="unavailable"):
        session["user"] = "alice"
