"""The wheel, in an environment and a folder that hold nothing else of chatstore."""

import http.client
import json
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from tempfile import TemporaryDirectory

import pytest

from tests.support import ROOT, SESSIONS, clean_environ, free_port, need
from tests.test_server import serving

JSON = {"Content-Type": "application/json"}


def run(*command, folder, check=True):
    done = subprocess.run(
        ["env", "-u", "PYTHONPATH", *map(str, command)],
        cwd=folder,
        env=clean_environ(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 or not check, done.stdout + done.stderr
    return done


def copy_checkout(folder):
    """Copy what git tracks or would track: all that a fresh clone will have."""
    need("git", shutil.which("git") is not None and (ROOT / ".git").exists())
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in run(*listing, folder=ROOT).stdout.split("\0"):
        if name and (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


@cache
def has_package_index():
    """Whether pip finds an index, by the build backend that it needs itself."""
    command = [sys.executable, "-m", "pip", "download", "--no-input", "--no-deps"]
    with TemporaryDirectory() as folder:
        done = run(*command, "-d", folder, "setuptools>=77", folder=folder, check=False)
    return done.returncode == 0


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    need("a package index", has_package_index())
    checkout = copy_checkout(tmp_path_factory.mktemp("checkout"))
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", ".", "--no-deps", "--no-input"]
    run(*build, "-w", folder, folder=checkout)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """The folder of commands of an environment that holds the wheel."""
    environment = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", environment, folder=environment)
    commands = environment / "bin"
    run(commands / "pip", "install", "--no-input", wheel, folder=environment)
    return commands


@pytest.fixture(scope="module")
def empty_folder(tmp_path_factory):
    return tmp_path_factory.mktemp("empty")


def test_the_wheel_holds_all_that_is_needed(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    migrations = {
        f"chatstore/{path.relative_to(ROOT)}"
        for path in (ROOT / "migrations").rglob("*")
        if path.suffix in (".py", ".ini", ".mako")
    }
    package = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "chatstore").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert "chatstore/migrations/env.py" in migrations
    assert {"chatstore/py.typed", "chatstore/templates/docs.html"} <= package
    assert migrations | package <= names
    others = {name.split("/")[0] for name in names} - {"chatstore"}
    assert [name.endswith(".dist-info") for name in others] == [True]


def test_the_command_comes_from_the_wheel(installed, empty_folder):
    code = "import chatstore; print(chatstore.__file__)"
    origin = run(installed / "python", "-c", code, folder=empty_folder).stdout
    assert origin.startswith(str(installed.parent))
    shown = run(installed / "chatstore", "--help", folder=empty_folder).stdout
    assert "Start the server; a database without sessions is migrated first." in shown


def test_it_serves_from_an_empty_folder(installed, empty_folder):
    port = free_port()
    command = ["env", "-u", "PYTHONPATH", installed / "chatstore", "serve"]
    with serving(empty_folder, command, bind=f"127.0.0.1:{port}") as greeting:
        assert greeting[0].startswith("migrated up to 0001")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        connection.request("POST", SESSIONS, b'{"name": "first"}', JSON)
        created = connection.getresponse()
        assert (created.status, json.load(created)["name"]) == (201, "first")
        for path in ("/readyz", "/docs", "/static/docs.js", "/openapi.json"):
            connection.request("GET", path)
            answer = connection.getresponse()
            assert (answer.status, bool(answer.read())) == (200, True)
        connection.close()
    assert (empty_folder / "instance" / "chatstore.db").exists()


def test_its_other_commands_find_the_same_database(installed, empty_folder):
    chatstore = installed / "chatstore"
    migrated = run(chatstore, "migrate", folder=empty_folder)
    assert migrated.stdout == "nothing to migrate\n"
    verified = run(chatstore, "verify", folder=empty_folder)
    assert verified.stdout.startswith("ok: 1 session, 0 messages")
