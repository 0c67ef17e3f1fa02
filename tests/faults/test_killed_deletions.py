from contextlib import suppress
from http.client import HTTPException

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.store.deletions import BOUNDS
from chatstore.store.verify.checks import CHECKS
from tests.support import SESSIONS, count, messages_url, session_url, wait_until
from tests.support.servers import kill_workers

BATCHES, KILLS = 12, 4


def read(server, path):
    """Return the answer to a GET; retry while workers die."""
    while True:
        with suppress(HTTPException, OSError):
            return server.request("GET", path)


def test_a_deletion_outlives_those_who_make_it(serve, database_url, app):
    server = serve(database_url=database_url, workers="2")
    gone, kept = [
        server.request("POST", SESSIONS, {"name": name}).json
        for name in ("gone", "kept")
    ]
    turns = {"messages": [{"content": "said"}] * BOUNDS.max_messages}
    for _ in range(BATCHES):
        assert server.request("POST", f"{messages_url(gone)}/batch", turns).json
    server.request("POST", messages_url(kept), {"content": "said"})

    assert (
        server.request("DELETE", f"{session_url(gone)}?purge=true").status_code == 204
    )
    for _ in range(KILLS):
        kill_workers(server)
        assert read(server, session_url(gone)).status_code == 404
        listed = read(server, SESSIONS).json["sessions"]
        assert [each["name"] for each in listed] == ["kept"]
        hits = read(server, "/api/v1/search?q=said").json["hits"]
        assert [each["session_id"] for each in hits] == [kept["id"]]

    with app.app_context():

        def rows():
            db.session.remove()
            return count(db.session, ChatSession), count(db.session, Message)

        wait_until(lambda: rows() == (1, 1))
        assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]
    assert read(server, messages_url(kept)).json["messages"][0]["content"] == "said"
