import subprocess
import sys

import pytest

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.store.verify.checks import CHECKS
from tests.support import clean_environ, count, wait_until


@pytest.fixture
def start(database_url):
    """Start `chatstore demo` as a process."""
    command = (sys.executable, "-m", "chatstore", "demo")
    environ = clean_environ() | {"CHATSTORE_DATABASE_URL": database_url}
    return lambda *options: subprocess.Popen(
        [*command, *options],
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_killed_demo_can_be_finished_or_removed(app, start):
    with app.app_context():

        def sessions():
            db.session.rollback()
            return count(db.session, ChatSession)

        def violations():
            db.session.rollback()
            return [line for check in CHECKS for line in check.find()]

        def kill_in_the_middle(sessions_before):
            process = start()
            wait_until(lambda: sessions() > sessions_before)
            process.kill()
            process.communicate()

        kill_in_the_middle(0)
        assert violations() == []
        removing = start("--remove")
        assert b"of the demo" in removing.communicate()[0]
        assert (sessions(), count(db.session, Message)) == (0, 0)
        assert violations() == []

        kill_in_the_middle(0)
        finishing = start()
        assert finishing.communicate()[0].startswith(b"added ")
        assert start().communicate()[0].startswith(b"The demo is there already")
        assert violations() == []
