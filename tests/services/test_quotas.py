from uuid import UUID

import pytest
from sqlalchemy import func, select, update

from chatstore import clock as clock_module
from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.store.json_rows import stored_bytes
from tests.support import SESSIONS, assert_problem, messages_url, on_sqlite, session_url
from tests.support.statements import recorded_statements

HELLO = {"role": "user", "content": "hi"}
TWO = {"messages": [HELLO, HELLO]}


@pytest.fixture
def app(make_app):
    return make_app(max_sessions_per_owner=2, max_messages_per_owner=3)


@pytest.fixture
def later(monkeypatch):
    """Move the monotonic clock on by some seconds."""

    def move(seconds):
        then = clock_module.monotonic_source() + seconds
        monkeypatch.setattr(clock_module, "monotonic_source", lambda: then)

    move(0)  # it stands still
    return move


def test_the_third_session_does_not_fit(alice):
    for _ in range(2):
        assert alice.post(SESSIONS, json={}).status_code == 201
    refused = alice.post(SESSIONS, json={})
    assert_problem(refused, 403)
    assert refused.json["type"] == "urn:chatstore:problem:quota-exceeded"
    assert (refused.json["limit"], refused.json["used"]) == (2, 2)


def fill(alice):
    """Create a session with 2 of the 3 messages, and return it."""
    return alice.post(SESSIONS, json=TWO).json


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "{messages}/batch", TWO),
        ("POST", SESSIONS, TWO),
        ("PUT", f"{SESSIONS}by-external-id/x", TWO),
        ("POST", "{session}/fork", {}),
    ],
)
@on_sqlite
def test_what_does_not_fit_is_refused_whole(alice, method, path, body):
    chat = fill(alice)
    places = {"messages": messages_url(chat), "session": session_url(chat)}
    refused = alice.open(path.format(**places), method=method, json=body)
    assert_problem(refused, 403)
    assert refused.json["used"] == 2
    assert [each["id"] for each in alice.get(SESSIONS).json["sessions"]] == [chat["id"]]
    assert alice.post(places["messages"], json=HELLO).status_code == 201
    assert_problem(alice.post(places["messages"], json=HELLO), 403)


@on_sqlite
def test_a_retry_over_the_quota_gets_its_first_answer(alice):
    url, key = messages_url(fill(alice)), {"Idempotency-Key": "k"}
    first = alice.post(url, json=HELLO, headers=key)
    again = alice.post(url, json=HELLO, headers=key)
    assert (first.status_code, again.status_code) == (201, 201)
    assert again.data == first.data


@on_sqlite
def test_a_session_that_exists_is_returned_over_the_quota(alice):
    url = f"{SESSIONS}by-external-id/x"
    assert alice.put(url, json={}).status_code == 201
    assert alice.post(SESSIONS, json={}).status_code == 201
    assert alice.put(url, json={}).status_code == 200


@on_sqlite
def test_a_deletion_for_good_makes_room_after_some_seconds(alice, later):
    chats = [alice.post(SESSIONS, json={}).json for _ in range(2)]
    assert alice.delete(session_url(chats[0])).status_code == 204
    later(6)
    assert alice.post(SESSIONS, json={}).status_code == 403  # the trash counts
    assert alice.delete(f"{session_url(chats[0])}?purge=true").status_code == 204
    later(6)
    assert alice.post(SESSIONS, json={}).status_code == 201


@on_sqlite
def test_what_other_processes_wrote_counts_after_some_seconds(make_app, later):
    first, second = (make_app(max_sessions_per_owner=1).test_client() for _ in "ab")
    fits = second.delete(f"{SESSIONS}00000000-0000-4000-8000-000000000000")
    assert fits.status_code == 404
    assert first.post(SESSIONS, json={}).status_code == 201
    later(6)
    assert second.post(SESSIONS, json={}).status_code == 403


@on_sqlite
def test_most_appends_count_nothing(app, alice):
    url = messages_url(fill(alice))
    with app.app_context(), recorded_statements() as statements:
        assert alice.post(url, json=HELLO).status_code == 201
    assert not any("sum(" in each for each in statements)


def bytes_of(app, chat):
    with app.app_context():
        query = select(ChatSession.content_bytes).where(
            ChatSession.id == UUID(chat["id"])
        )
        return db.session.scalar(query)


RICH = {
    "role": "assistant",
    "content": [{"type": "text", "text": "ü"}],
    "metadata": {"a": "é"},
    "usage": {"input_tokens": 5},
}


def test_a_session_knows_the_bytes_of_its_messages(app, alice):
    # The text, and the JSON of metadata and of all other fields, as they are stored.
    first = {"role": "user", "content": "hé", "metadata": {"a": 1}}
    chat = alice.post(SESSIONS, json={"messages": [first]}).json
    assert bytes_of(app, chat) == 3 + len('{"a":1}')
    alice.post(messages_url(chat), json=RICH)
    with app.app_context():
        stored = db.session.scalar(
            select(
                func.sum(
                    stored_bytes(Message.content, Message.metadata_, Message.extra)
                )
            )
        )
    assert bytes_of(app, chat) == stored
    fork = alice.post(f"{session_url(chat)}/fork", json={"at_seq": 1})
    assert bytes_of(app, fork.json) == 10


def test_edits_add_bytes_and_deletions_give_them_back(app, alice):
    chat = alice.post(SESSIONS, json={"messages": [HELLO, HELLO]}).json
    (first, second) = alice.get(messages_url(chat)).json["messages"]
    url = f"{messages_url(chat)}/{first['id']}"
    assert alice.patch(url, json={"content": "hello"}).status_code == 200
    assert bytes_of(app, chat) == 4 + 5  # what it said before is kept
    assert alice.patch(url, json={"content": "hello"}).status_code == 200
    assert bytes_of(app, chat) == 4 + 5
    assert alice.delete(url).status_code == 204
    assert bytes_of(app, chat) == 2
    assert alice.post(f"{session_url(chat)}/clear").status_code == 200
    assert bytes_of(app, chat) == 0


def test_a_deletion_of_messages_that_were_not_counted_leaves_no_debt(app, alice):
    chat = alice.post(SESSIONS, json={"messages": [HELLO, HELLO]}).json
    with app.app_context():
        db.session.execute(update(ChatSession).values(content_bytes=1))
        db.session.commit()
    assert alice.post(f"{session_url(chat)}/clear").status_code == 200
    assert bytes_of(app, chat) == 0


@pytest.fixture
def small(make_app):
    """Return a client of alice whose messages may have 10 bytes."""
    app = make_app(max_bytes_per_owner=10)
    return app.test_client()


def test_bytes_that_do_not_fit_are_refused(small):
    chat = small.post(SESSIONS, json={"messages": [HELLO]}).json
    url = messages_url(chat)
    refused = small.post(url, json={"content": "x" * 9})
    assert_problem(refused, 403, detail="CHATSTORE_MAX_BYTES_PER_OWNER")
    assert refused.json["type"] == "urn:chatstore:problem:quota-exceeded"
    assert (refused.json["limit"], refused.json["used"]) == (10, 2)
    assert small.post(url, json={"content": "x" * 8}).status_code == 201
    assert_problem(small.post(url, json=HELLO), 403)


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "{messages}", {"content": "é" * 3}),
        ("POST", "{messages}", {"content": "", "metadata": {"a": 1}}),
        ("POST", "{messages}/batch", TWO | {"messages": [HELLO] * 3}),
        ("POST", SESSIONS, {"messages": [HELLO] * 3}),
        ("PUT", f"{SESSIONS}by-external-id/x", {"messages": [HELLO] * 3}),
        ("POST", "{session}/fork", {}),
        ("PATCH", "{message}", {"content": "x" * 6}),
        ("PATCH", "{message}", {"metadata": {"a": 1}}),
    ],
)
@on_sqlite
def test_what_has_too_many_bytes_is_refused_whole(small, method, path, body):
    chat = small.post(SESSIONS, json={"messages": [{**HELLO, "content": "hello"}]}).json
    (message,) = small.get(messages_url(chat)).json["messages"]
    places = {
        "messages": messages_url(chat),
        "message": f"{messages_url(chat)}/{message['id']}",
        "session": session_url(chat),
    }
    if path.endswith("fork"):
        small.post(places["messages"], json={"content": "x"})
    refused = small.open(path.format(**places), method=method, json=body)
    assert_problem(refused, 403)
    assert small.get(places["message"]).json == message
    assert len(small.get(SESSIONS).json["sessions"]) == 1


@on_sqlite
def test_deleted_text_makes_room_after_some_seconds(small, later):
    url = messages_url(small.post(SESSIONS, json={}).json)
    message = small.post(url, json={"content": "x" * 10}).json
    assert small.delete(f"{url}/{message['id']}").status_code == 204
    later(6)
    assert small.post(url, json={"content": "x" * 10}).status_code == 201
