import threading
from contextlib import suppress
from http.client import HTTPException

from sqlalchemy import func, select

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.models.sessions import COPYING_OWNER
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.background_indexing import finish_indexing
from chatstore.store.forks import LEASE
from chatstore.store.verify.checks import CHECKS
from tests.support import SESSIONS, count, messages_url, session_url, wait_until
from tests.support.servers import kill_workers

BATCH, BATCHES = 1000, 8
KEY = {"Idempotency-Key": "k1"}


def violations():
    db.session.remove()
    return [line for check in CHECKS for line in check.find()]


def test_a_killed_fork_is_never_seen_and_can_be_repeated(
    serve, database_url, app, clock
):
    server = serve(database_url=database_url, workers="2")
    chat = server.request("POST", SESSIONS, {"name": "n"}).json
    turns = {"messages": [{"content": "said"}] * BATCH}
    for _ in range(BATCHES):
        assert server.request("POST", f"{messages_url(chat)}/batch", turns).json

    def copied():
        db.session.remove()
        query = select(ChatSession.last_seq)
        return db.session.scalar(query.where(ChatSession.owner_id == COPYING_OWNER))

    def post():
        with suppress(HTTPException, OSError):
            answers.append(server.request("POST", f"{session_url(chat)}/fork", {}, KEY))

    answers = []
    with app.app_context():
        posting = threading.Thread(target=post)
        posting.start()
        wait_until(lambda: copied(), "a batch of the fork")
        kill_workers(server)
        posting.join()
        assert answers == []
        wait_until(lambda: len(server.worker_ids) == 2)
        listed = server.request("GET", SESSIONS).json["sessions"]
        assert [each["id"] for each in listed] == [chat["id"]]
        assert finish_indexing()
        assert violations() == []
        assert 0 < copied() < BATCH * BATCHES

        post()
        (answer,) = answers
        assert answer.status_code == 201
        assert answer.json["message_count"] == BATCH * BATCHES
        assert copied()  # the rest of the killed fork

        latest = db.session.scalar(select(func.max(ChatSession.last_updated_at)))
        clock.now = latest + 2 * LEASE

        def is_deleted():
            # A worker of the server may be deleting the same fork.
            db.session.remove()
            return finish_deletions() and count(db.session, ChatSession) == 2

        wait_until(is_deleted, "the rest of the fork to be deleted")
        assert count(db.session, Message) == 2 * BATCH * BATCHES
        assert finish_indexing()
        assert violations() == []
