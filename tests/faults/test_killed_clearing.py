import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from http.client import HTTPException

from chatstore.db import db
from chatstore.models import Message
from chatstore.store.deletions import BOUNDS
from chatstore.store.verify.checks import CHECKS
from tests.support import SESSIONS, messages_url, session_url, wait_until

BATCH = BOUNDS.max_messages
BATCHES = 6
KEY = {"Idempotency-Key": "k"}


def count_deleted():
    db.session.remove()
    return db.session.query(Message).filter(Message.content == "").count()


def test_a_retry_finishes_what_a_killed_worker_began(serve, database_url, app):
    server = serve(database_url=database_url, workers="1")
    chat = server.request("POST", SESSIONS, {"name": "long"}).json
    turns = {"messages": [{"content": "secret"}] * BATCH}
    for _ in range(BATCHES):
        assert server.request("POST", f"{messages_url(chat)}/batch", turns).json

    def clear():
        return server.request("POST", f"{session_url(chat)}/clear", headers=KEY)

    def is_up():
        with suppress(HTTPException, OSError):
            return server.request("GET", "/healthz").status_code == 200

    with app.app_context(), ThreadPoolExecutor(1) as pool:
        first = pool.submit(clear)
        wait_until(count_deleted)
        for worker in server.worker_ids:
            os.kill(worker, signal.SIGKILL)
        assert isinstance(first.exception(), HTTPException | OSError)
        assert 0 < count_deleted() < BATCHES * BATCH
        wait_until(is_up)
        later = server.request("POST", messages_url(chat), {"content": "later"}).json
        assert clear().json == {"cleared": BATCHES * BATCH}
        assert count_deleted() == BATCHES * BATCH
        assert db.session.get(Message, later["id"]).content == "later"
        assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]
