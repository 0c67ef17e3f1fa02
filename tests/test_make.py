"""A newcomer's first minutes: a fresh copy of the project, and `make`."""

import re
import shutil
import subprocess
import sys

import pytest

from tests.support import ROOT, SESSIONS, LiveServer, clean_environ, free_port, need
from tests.support.checkouts import copy_checkout, has_package_index, run
from tests.support.servers import send_request

# make passes its own variables to the tests that it runs, so unset them.
WITHOUT_OURS = ["env", "-u", "MAKEFLAGS", "-u", "MAKELEVEL", "-u", "VENV"]
MAKE = [*WITHOUT_OURS, f"PYTHON={sys.executable}", "make"]

MAKEFILE, SETUP = ((ROOT / name).read_text() for name in ("Makefile", "setup.cfg"))


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    need("make", shutil.which("make") is not None)
    return copy_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture(scope="module")
def first_run(checkout):
    """The port and greeting of the first `make run`, and a session created in it."""
    need("a package index", has_package_index())
    port = free_port()
    with LiveServer(checkout, [*MAKE, "run"], bind=f"127.0.0.1:{port}") as server:
        chat = server.request("POST", SESSIONS, {"name": "first"}).json
        assert server.request("GET", "/readyz").json == {"status": "ok"}
    return port, server.greeting, chat


def make(*arguments, folder, **environ):
    return subprocess.run(
        [*WITHOUT_OURS, shutil.which("make"), *arguments],
        cwd=folder,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_make_run_installs_migrates_and_serves(first_run, checkout):
    port, greeting, _ = first_run
    address = f"http://127.0.0.1:{port}"
    assert any(line.startswith("migrated up to 0001") for line in greeting)
    assert greeting[-3:-1] == [
        f"chatstore listens on {address}\n",
        f"API docs:            {address}/docs\n",
    ]
    assert re.match(r"Stop it with Ctrl-C, or: kill \d+\n", greeting[-1])
    assert (checkout / "instance" / "chatstore.db").exists()
    assert (checkout / ".venv" / "bin" / "chatstore").exists()


def test_make_run_installs_the_releases_of_the_constraints(first_run, checkout):
    python = checkout / ".venv" / "bin" / "python"
    freeze = run(python, "-m", "pip", "freeze", "--exclude", "chatstore", folder=ROOT)
    installed = set(freeze.stdout.splitlines())
    assert any(each.startswith("Flask==") for each in installed)
    assert installed <= set((ROOT / "constraints.txt").read_text("utf-8").splitlines())


def test_make_run_stops_when_it_is_told_to(first_run):
    port, _, _ = first_run
    with pytest.raises(ConnectionRefusedError):
        send_request(port, "GET", "/healthz")


def test_a_second_make_run_keeps_what_the_first_one_stored(first_run, checkout):
    port, _, chat = first_run
    with LiveServer(checkout, [*MAKE, "run"], bind=f"127.0.0.1:{port}") as server:
        assert server.request("GET", "/healthz").json == {"status": "ok"}
        kept = server.request("GET", SESSIONS).json["sessions"]
    assert [session["id"] for session in kept] == [chat["id"]]
    assert server.greeting[0] == "nothing to migrate\n"


def test_make_alone_lists_the_targets(checkout):
    listing = make(folder=checkout)
    assert listing.returncode == 0, listing.stderr
    targets = re.findall(r"^ *make ([\w-]+) +\S.*", listing.stdout, re.MULTILINE)
    phony = re.search(r"^\.PHONY: (.*)", MAKEFILE, re.MULTILINE)
    assert sorted(targets) == sorted(phony[1].split())
    assert {"run", "test", "check"} <= set(targets)


def test_make_torture_takes_as_long_as_wanted_over_each_proof(checkout):
    plan = make("--dry-run", "torture", "SECONDS=7", folder=checkout).stdout
    for database in ("sqlite", "postgresql", "replicas"):
        assert f"-m tests.torture --database {database} --seconds 7\n" in plan
    machine = "-m pytest tests/contract/test_state_machine.py\n"
    assert re.search(f"^TORTURE_SECONDS=7 .*{re.escape(machine)}", plan, re.MULTILINE)


def test_the_pythons_that_make_tests_are_those_that_setup_cfg_names():
    (tested,) = re.findall(r"^PYTHONS \?= (.+)$", MAKEFILE, re.MULTILINE)
    named = re.findall(r"Python :: (3\.\d+)$", SETUP, re.MULTILINE)
    assert tested.split() == named


def test_make_runs_the_fast_tests_on_sqlite_alone(checkout):
    plan = make("--dry-run", "test-fast", folder=checkout).stdout
    (tests,) = re.findall(r'-k "not postgresql" (.+)$', plan, re.MULTILINE)
    assert [name for name in tests.split() if not (ROOT / name).exists()] == []


def test_a_python_that_is_not_installed_is_named_and_skipped(checkout):
    done = make("test-python", "PYTHONS=3.0", folder=checkout)
    assert done.stdout == "Python 3.0: not installed here, not tested\n"
    assert (done.returncode, done.stderr) == (0, "")


def test_the_constraints_are_resolved_with_the_oldest_python(checkout, tmp_path):
    newer = tmp_path / "venv" / "bin" / "python"
    newer.parent.mkdir(parents=True)
    newer.write_text("#!/bin/sh\nexit 1\n")
    newer.chmod(0o755)
    done = make("constraints", f"VENV={tmp_path / 'venv'}", folder=checkout)
    assert done.returncode == 2
    assert "Use the oldest Python: make constraints PYTHON=" in done.stdout


def test_make_lists_the_targets_with_nothing_but_the_basics(checkout, tmp_path):
    for name in ("awk", "cat", "cut", "env", "grep", "sed", "sh", "sort", "tr"):
        if shutil.which(name):
            (tmp_path / name).symlink_to(shutil.which(name))
    listing = make(folder=checkout, PATH=str(tmp_path))
    assert "make run" in listing.stdout, listing.stderr
    assert (listing.returncode, listing.stderr) == (0, "")


def test_a_python_that_is_too_old_is_one_sentence(checkout, tmp_path):
    old = tmp_path / "python"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    done = make("run", f"PYTHON={old}", f"VENV={tmp_path / 'venv'}", folder=checkout)
    assert done.returncode == 2
    assert "chatstore needs Python 3.11 or newer: make run PYTHON=" in done.stdout
    assert not (tmp_path / "venv").exists()
