"""While a new version migrates the database, no request of old servers fails."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import text

from chatstore.app import create_app
from chatstore.db import db
from chatstore.db.revisions import current_revision, head_revision, migrate
from chatstore.store.verify.checks import CHECKS
from tests.support import clean_environ, make_settings, wait_until
from tests.support.first_revision import fill
from tests.support.history import extract_before

# The longest wait of an old client; a longer one is an error and fails the test. A
# step that indexed all messages under one lock would take several times as long.
BOUND_SECONDS = 3
MESSAGES, SESSIONS = 50_000, 500
# An old server's constant load, through its routes.
CLIENT = """
import json, sys, threading
from pathlib import Path
from dataclasses import replace
from chatstore.app import create_app
from chatstore.settings import Settings

folder = Path(sys.argv[1])
app = create_app(Settings.from_env())
counts, errors = {"read": 0, "written": 0}, []
lock = threading.Lock()

def go_on(name, ask):
    client = app.test_client()
    while not (folder / "stop").exists() and not errors:
        for answer in ask(client):
            if answer.status_code >= 400:
                errors.append([name, answer.status_code, answer.get_data(as_text=True)])
        with lock:
            counts[name] += 1
        (folder / "started").touch()

def write(client):
    tags = {"name": "new", "metadata_tags": ["t"]}
    made = client.post("/api/v1/sessions/", json=tags)
    yield made
    url = f"/api/v1/sessions/{made.json['id']}"
    yield client.post(f"{url}/messages", json={"content": "written meanwhile"})
    yield client.patch(url, json={"llm_model_name": "m2"})

def read(client):
    listed = client.get("/api/v1/sessions/?limit=20")
    yield listed
    url = f"/api/v1/sessions/{listed.json['sessions'][-1]['id']}"
    yield client.get(f"{url}/messages?limit=20")

threads = [threading.Thread(target=go_on, args=each)
           for each in (("read", read), ("written", write), ("written", write))]
for each in threads: each.start()
for each in threads: each.join()
print(json.dumps({"counts": counts, "errors": errors}))
"""


@pytest.fixture(params=["0002", "0006"])
def old_code(request, tmp_path):
    """A folder with the code of the previous revision."""
    folder = tmp_path / "old"
    extract_before(request.param, folder)
    return folder


def environ(url, folder, code):
    # A lock wait longer than the test allows must be refused, so the setting equals the
    # test's bound.
    return clean_environ(
        CHATSTORE_DATABASE_URL=url,
        CHATSTORE_SECRET_KEY="a secret of the tests",
        CHATSTORE_LOCK_TIMEOUT_SECONDS=str(BOUND_SECONDS),
        PYTHONPATH=str(code),
    )


def test_old_servers_go_on_while_a_new_one_migrates(
    old_code, empty_database_url, tmp_path
):
    url = empty_database_url
    env = environ(url, tmp_path, old_code)
    # The old version creates its own schema.
    subprocess.run(
        [sys.executable, "-m", "chatstore", "migrate"],
        cwd=old_code,
        env=env,
        check=True,
    )
    fill(url, sessions=SESSIONS, messages=MESSAGES)
    with (
        (tmp_path / "errors").open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", CLIENT, tmp_path],
            cwd=old_code,
            env=env,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as old,
    ):
        wait_for(tmp_path / "started", old)
        app = create_app(make_settings(url))
        with app.app_context():
            assert migrate()
        (tmp_path / "stop").touch()
        said = json.loads(old.communicate(timeout=60)[0])
    assert said["errors"] == []
    assert min(said["counts"].values()) > 10
    with app.app_context():
        assert current_revision() == head_revision()
        assert migrate() == []
        assert counts() >= (MESSAGES, SESSIONS)
        db.session.rollback()
        unknown = {"search", "facets", "names"}  # old code does not write these
        assert [
            line
            for check in CHECKS
            if check.name not in unknown
            for line in check.find()
        ] == []
        db.session.remove()
        db.engine.dispose()


def counts():
    query = "SELECT (SELECT count(*) FROM message_index), count(*) FROM sessions"
    return tuple(db.session.execute(text(query)).one())


def wait_for(path: Path, process):
    def has_come():
        assert process.poll() is None, os.fspath(path.with_name("errors"))
        return path.exists()

    wait_until(has_come)
