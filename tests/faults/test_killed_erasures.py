import subprocess
import sys

import pytest

from chatstore.db import db, run_write
from chatstore.models import Message
from chatstore.store import owners
from chatstore.store.deletions import BOUNDS
from chatstore.store.messages import append_messages
from chatstore.store.verify.checks import CHECKS
from tests.support import clean_environ, count, wait_until

BATCHES = 8


@pytest.fixture
def erase(database_url):
    """Start `chatstore owners erase alice` as a process."""
    command = (sys.executable, "-m", "chatstore", "owners", "erase", "alice", "--yes")
    environ = clean_environ() | {"CHATSTORE_DATABASE_URL": database_url}
    return lambda: subprocess.Popen(command, env=environ, stdout=subprocess.PIPE)


def test_an_erasure_goes_on_after_a_kill(app, make_session, erase):
    chat, other = make_session(owner_id="alice"), make_session(messages=1)
    turn = {"role": "user", "content": "said", "metadata": None}
    with app.app_context():
        for _ in range(BATCHES):
            turns = [turn] * BOUNDS.max_messages
            run_write(append_messages, chat.id, owner_id="alice", turns=turns)

        def left():
            db.session.rollback()
            return count(db.session, Message) - other.message_count

        for part in (1, 2):
            process = erase()
            wait_until(
                lambda part=part: left() <= (BATCHES - part) * BOUNDS.max_messages
            )
            process.kill()
            process.communicate()
        assert left()
        assert owners.find_left("alice")
        process = erase()
        assert b"erased alice" in process.communicate()[0]
        assert process.returncode == 0
        db.session.rollback()
        assert owners.find_traces("alice") == {}
        assert left() == 0
        assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]
