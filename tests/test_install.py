"""The wheel, in an environment and a folder that contain nothing else of chatstore."""

import gzip
import sys
import zipfile

import pytest

from tests.support import ROOT, SESSIONS, LiveServer, need
from tests.support.checkouts import copy_checkout, has_package_index, run

JSON = {"Content-Type": "application/json"}


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
    """The bin folder of an environment in which the wheel is installed."""
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


def test_every_file_of_a_page_has_its_compressed_copy_beside_it(wheel):
    archive = zipfile.ZipFile(wheel)
    static = "chatstore/static/"
    names = {name for name in archive.namelist() if name.startswith(static)}
    plain = {name for name in names if not name.endswith(".gz")}
    assert {f"{static}ui/app.js", f"{static}vendor/preact/preact.mjs"} <= plain
    for name in plain:
        content = archive.read(name)
        if len(content) >= 256:
            assert gzip.decompress(archive.read(f"{name}.gz")) == content
    assert len(names - plain) > 20


def test_the_command_comes_from_the_wheel(installed, empty_folder):
    code = "import chatstore; print(chatstore.__file__)"
    origin = run(installed / "python", "-c", code, folder=empty_folder).stdout
    assert origin.startswith(str(installed.parent))
    shown = run(installed / "chatstore", "--help", folder=empty_folder).stdout
    assert "Start the server; first migrate a database without sessions." in shown


def test_it_serves_from_an_empty_folder(installed, empty_folder):
    command = ["env", "-u", "PYTHONPATH", installed / "chatstore", "serve"]
    with LiveServer(empty_folder, command) as server:
        assert server.greeting[0].startswith("migrated up to 0001")
        created = server.request("POST", SESSIONS, {"name": "first"})
        assert (created.status_code, created.json["name"]) == (201, "first")
        for path in ("/readyz", "/docs", "/static/docs.js", "/openapi.json"):
            answer = server.request("GET", path)
            assert (answer.status_code, bool(answer.data)) == (200, True)
    assert (empty_folder / "instance" / "chatstore.db").exists()


def test_its_other_commands_find_the_same_database(installed, empty_folder):
    chatstore = installed / "chatstore"
    migrated = run(chatstore, "migrate", folder=empty_folder)
    assert migrated.stdout == "nothing to migrate\n"
    verified = run(chatstore, "verify", folder=empty_folder)
    assert verified.stdout.startswith("ok: 1 session, 0 messages")
