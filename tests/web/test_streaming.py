import json
import tracemalloc
from contextlib import closing
from http.client import HTTPConnection, IncompleteRead

import pytest
from sqlalchemy import insert, update

from chatstore.db import db
from chatstore.errors import NotFound
from chatstore.models import ChatSession, Message
from chatstore.store.messages import CHUNK_MESSAGES
from tests.support import SESSIONS, assert_problem, messages_url, session_url

MEGABYTE = 1024 * 1024
# For a list of 60 MB, a chunk, its JSON and the rows read ahead take about 8 MB.
MOST_MEMORY = 16 * MEGABYTE


@pytest.fixture
def fill(app, make_session):
    """Insert a session of `number` messages of `size` characters, without appending."""

    def make(number, size):
        chat = make_session()
        same = {"session_id": chat.id, "timestamp": chat.created_at, "role": "user"}
        with app.app_context():
            for seq in range(1, number + 1):
                row = same | {"seq": seq, "content": f"{seq} ".ljust(size, "x")}
                db.session.execute(insert(Message), row)
            ends = {"last_seq": number, "message_count": number}
            db.session.execute(update(ChatSession).values(ends))
            db.session.commit()
        return chat

    return make


def checked_out(app):
    with app.app_context():
        return db.engine.pool.checkedout()


def whole(parts):
    return json.loads(b"".join(parts))


def test_a_listing_holds_no_connection_between_its_chunks(make_app, fill):
    chat = fill(3 * CHUNK_MESSAGES + 1, 100)
    app = make_app(threads=1, pool_timeout_seconds=1)
    client, other = app.test_client(), app.test_client()
    parts = []
    for part in client.get(messages_url(chat)).iter_encoded():
        parts.append(part)
        assert checked_out(app) == 0
        assert other.get(session_url(chat)).status_code == 200
        assert other.post(messages_url(chat), json={"content": "y"}).json["seq"]
    assert len(parts) > 4
    listed = whole(parts)
    assert [each["seq"] for each in listed["messages"]] == [
        *range(1, 3 * CHUNK_MESSAGES + 2)
    ]
    assert listed["has_more"] is False


def test_a_listing_that_nobody_reads_to_its_end_holds_no_connection(make_app, fill):
    chat = fill(CHUNK_MESSAGES + 1, 10)
    app = make_app(threads=1, pool_timeout_seconds=1)
    response = app.test_client().get(messages_url(chat))
    next(response.iter_encoded())
    response.close()
    assert checked_out(app) == 0
    assert app.test_client().get(messages_url(chat)).status_code == 200


def peak_memory(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_long_listing_needs_no_more_memory_than_a_few_chunks(app, fill):
    chat = fill(300, 200_000)
    sent = []

    def read_in_parts():
        response = app.test_client().get(messages_url(chat))
        sent.extend(len(part) for part in response.iter_encoded())

    def read_in_one_piece():
        with app.app_context():
            assert len(db.session.get(ChatSession, chat.id).messages) == 300

    read_in_parts()  # warm up caches before measuring
    assert sum(sent) > 300 * 200_000
    assert peak_memory(read_in_parts) < MOST_MEMORY
    assert peak_memory(read_in_one_piece) > 3 * MOST_MEMORY


def test_a_listing_whose_session_is_deleted_is_cut_off(app, fill):
    chat = fill(2 * CHUNK_MESSAGES + 1, 10)
    parts = app.test_client().get(messages_url(chat)).iter_encoded()
    begun = [next(parts), next(parts)]
    assert app.test_client().delete(session_url(chat)).status_code == 204
    with pytest.raises(NotFound):
        begun.extend(parts)
    with pytest.raises(json.JSONDecodeError):
        whole(begun)


def test_a_client_can_tell_a_listing_that_was_cut_off(serve, database_url, app, fill):
    chat = fill(400, 100_000)  # far more than the socket buffers hold
    server = serve(database_url=database_url, workers="1")
    connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
    with closing(connection):
        connection.request("GET", messages_url(chat))
        response = connection.getresponse()
        assert response.status == 200
        assert response.read(1000).startswith(b'{"messages":[{')
        assert server.request("DELETE", session_url(chat)).status_code == 204
        with pytest.raises(IncompleteRead):
            response.read()
    assert server.request("GET", SESSIONS).json["sessions"] == []
    lines = {each["event"]: each["level"] for each in server.log_lines()}
    assert lines["listing cut off"] == "warning"
    assert set(lines.values()) == {"info", "warning"}
    assert not [each for each in server.log_lines() if "exception" in each]


def test_slow_readers_leave_threads_for_others(make_app, fill):
    chat = fill(CHUNK_MESSAGES + 1, 10)
    client = make_app(max_streams=2).test_client()
    url = messages_url(chat)
    first, second = client.get(url), client.get(url)
    refusal = assert_problem(client.get(url), 503, detail="CHATSTORE_MAX_STREAMS")
    assert refusal["type"].endswith(":too-many-streams")
    assert client.get(f"{url}?limit=10").status_code == 200
    first.close()
    assert len(client.get(url).json["messages"]) == CHUNK_MESSAGES + 1
    assert len(second.json["messages"]) == CHUNK_MESSAGES + 1
