from datetime import timedelta

import pytest
from sqlalchemy import insert

from chatstore.db import db, transaction
from chatstore.errors import NotFound
from chatstore.models import ChatSession, Message
from chatstore.store.messages import append_message
from chatstore.web.auth import LOCAL_OWNER
from tests.support import (
    ANY_ID,
    API,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

WITH_AND_WITHOUT_SLASH = pytest.mark.parametrize("slash", ["", "/"])
MALFORMED_IDS = ("nope", MISSING_ID.replace("-", ""), f"{MISSING_ID}0", "%00", "%ff")


def fill(app, chat, contents):
    """Insert messages into the empty session directly, as appending would be slow."""
    instant = chat.last_updated_at
    rows = [
        {
            "session_id": chat.id,
            "seq": seq,
            "timestamp": instant + timedelta(microseconds=seq),
            "role": "user",
            "content": content,
        }
        for seq, content in enumerate(contents, 1)
    ]
    with app.app_context(), transaction():
        db.session.execute(insert(Message), rows)
        stored = db.session.get(ChatSession, chat.id)
        stored.last_seq = stored.message_count = len(rows)


def contents(response):
    return [each["content"] for each in response.json["messages"]]


@pytest.fixture
def talk(app, make_session):
    """A session of five messages: 1, 3 and 5 by the user, 2 and 4 by the assistant."""
    chat = make_session()
    with app.app_context(), transaction():
        for seq in range(1, 6):
            role = "user" if seq % 2 else "assistant"
            append_message(chat.id, owner_id=LOCAL_OWNER, content="x", role=role)
    return chat


# Append


def test_append_returns_the_stored_message(alice, make_session, clock):
    chat = make_session()
    response = alice.post(messages_url(chat), json={"role": "user", "content": "hi"})
    assert response.status_code == 201
    assert response.json == {
        "id": ANY_ID,
        "session_id": str(chat.id),
        "seq": 1,
        "timestamp": clock.iso,
        "role": "user",
        "content": "hi",
        "metadata": None,
    }


@WITH_AND_WITHOUT_SLASH
def test_append_stores_role_and_metadata(alice, make_session, clock, slash):
    chat = make_session(messages=1)
    metadata = {"tokens": 11, "tools": [{"name": "search", "ok": True}], "cost": 0.5}
    body = {"content": "Hello", "role": "assistant", "metadata": metadata}
    response = alice.post(messages_url(chat) + slash, json=body)
    assert response.status_code == 201
    assert response.json == {
        "id": ANY_ID,
        "session_id": str(chat.id),
        "seq": 2,
        "timestamp": clock.iso,
        "role": "assistant",
        "content": "Hello",
        "metadata": metadata,
    }


def test_append_says_where_the_message_is(alice, make_session):
    chat = make_session()
    response = alice.post(messages_url(chat), json={"content": "hi"})
    location = response.headers["Location"]
    assert location == f"{messages_url(chat)}/{response.json['id']}"
    assert alice.get(location).json == response.json


ACCEPTED = {
    "empty, with metadata": {"content": "", "metadata": {"a": None}},
    "without metadata": {"content": "x", "metadata": None},
    "with empty metadata": {"content": "x", "metadata": {}},
    "a space": {"content": " "},
    "odd characters": {"content": "\n\t\u2028\ufeff\ufffe 👩‍👩‍👧 e\u0301 \x7f\x01"},
    "largest content": {"content": "x" * 1024 * 1024},
    "largest, of wide characters": {"content": "€" * 349_525},
    "empty keys": {"content": "x", "metadata": {"": {"": [[], {}, ""]}}},
    "largest metadata": {
        "content": "x",
        "metadata": {"k": "x" * (65_536 - len('{"k":""}'))},
    },
}


@pytest.mark.parametrize("body", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_append_keeps_what_it_is_given(alice, make_session, body):
    response = alice.post(messages_url(make_session()), json=body)
    assert response.status_code == 201
    message = alice.get(response.headers["Location"]).json
    assert message == response.json
    assert message["content"] == body["content"]
    assert message["metadata"] == body.get("metadata")


@pytest.mark.parametrize("role", ["user", "assistant", "system", "tool"])
def test_append_knows_four_roles(alice, make_session, role):
    body = {"content": "x", "role": role}
    response = alice.post(messages_url(make_session()), json=body)
    assert response.json["role"] == role


@pytest.mark.parametrize(
    ("content", "preview"),
    [
        ("hi", "hi"),
        ("x" * 201, "x" * 200),
        ("𝒳" * 201, "𝒳" * 200),
        ("line\nline", "line\nline"),
    ],
)
def test_append_brings_the_session_up_to_date(
    alice, make_session, clock, content, preview
):
    chat = make_session(messages=1)
    before = alice.get(session_url(chat)).json
    message = alice.post(messages_url(chat), json={"content": content}).json
    after = alice.get(session_url(chat))
    assert after.headers["ETag"] == '"3"'
    assert after.json == before | {
        "last_updated_at": message["timestamp"],
        "message_count": 2,
        "last_message_preview": preview,
        "head_seq": 2,
    }


@pytest.mark.parametrize("step", [timedelta(0), timedelta(seconds=-1)])
def test_timestamps_increase_though_the_clock_does_not(
    alice, make_session, clock, step
):
    chat = make_session()
    clock.step = step
    url = messages_url(chat)
    sent = [alice.post(url, json={"content": "x"}).json for _ in range(3)]
    assert [message["timestamp"] for message in sent] == [
        "2026-01-02T03:04:06.678902Z",
        "2026-01-02T03:04:06.678903Z",
        "2026-01-02T03:04:06.678904Z",
    ]


@pytest.mark.parametrize(
    ("body", "field"), [({}, "content"), ({"content": "x", "role": "king"}, "role")]
)
def test_append_refuses_a_malformed_message(alice, make_session, body, field):
    response = alice.post(messages_url(make_session()), json=body)
    assert_problem(response, 422, pointer=f"/{field}")


# List


def test_list_returns_whole_messages(alice, make_session, clock):
    chat = make_session(messages=2)
    response = alice.get(messages_url(chat))
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.headers["X-Request-Id"]
    assert response.json == {
        "messages": [
            {
                "id": ANY_ID,
                "session_id": str(chat.id),
                "seq": 1,
                "timestamp": "2026-01-02T03:04:07.678901Z",
                "role": "user",
                "content": "m1",
                "metadata": None,
            },
            {
                "id": ANY_ID,
                "session_id": str(chat.id),
                "seq": 2,
                "timestamp": clock.iso,
                "role": "user",
                "content": "m2",
                "metadata": None,
            },
        ],
        "has_more": False,
    }


@WITH_AND_WITHOUT_SLASH
def test_list_of_an_empty_session_is_empty(alice, make_session, slash):
    response = alice.get(messages_url(make_session()) + slash)
    assert response.status_code == 200
    assert response.json == {"messages": [], "has_more": False}


RANGES = {
    "": ([1, 2, 3, 4, 5], False),
    "limit=2": ([1, 2], True),
    "limit=4": ([1, 2, 3, 4], True),
    "limit=5": ([1, 2, 3, 4, 5], False),
    "limit=1000": ([1, 2, 3, 4, 5], False),
    "after=0": ([1, 2, 3, 4, 5], False),
    "after=2": ([3, 4, 5], False),
    "after=2&limit=2": ([3, 4], True),
    "after=3&limit=2": ([4, 5], False),
    "after=5": ([], False),
    "after=9007199254740991&limit=1": ([], False),
    "before=0": ([], False),
    "before=1": ([], False),
    "before=3": ([1, 2], False),
    "before=3&limit=1": ([1], True),
    "before=9007199254740991": ([1, 2, 3, 4, 5], False),
    "after=1&before=5": ([2, 3, 4], False),
    "after=1&before=5&limit=2": ([2, 3], True),
    "after=1&before=5&limit=3": ([2, 3, 4], False),
    "after=3&before=4": ([], False),
    "after=4&before=2": ([], False),
    "order=asc": ([1, 2, 3, 4, 5], False),
    "order=desc": ([5, 4, 3, 2, 1], False),
    "order=desc&limit=2": ([5, 4], True),
    "order=desc&limit=2&before=4": ([3, 2], True),
    "order=desc&limit=2&before=3": ([2, 1], False),
    "order=desc&after=3": ([5, 4], False),
    "order=desc&after=1&before=5&limit=2": ([4, 3], True),
    "role=user": ([1, 3, 5], False),
    "role=assistant": ([2, 4], False),
    "role=tool": ([], False),
    "role=assistant&limit=1": ([2], True),
    "role=assistant&limit=2": ([2, 4], False),
    "role=user&order=desc&limit=2": ([5, 3], True),
    "role=user&after=1&before=5": ([3], False),
}


def test_list_returns_the_range_asked_for(alice, talk):
    found = {}
    for query in RANGES:
        listing = alice.get(f"{messages_url(talk)}?{query}").json
        seqs = [message["seq"] for message in listing["messages"]]
        found[query] = (seqs, listing["has_more"])
    assert found == RANGES


def test_a_reader_who_goes_on_after_the_last_seq_misses_nothing(alice, make_session):
    chat = make_session(messages=3)
    url = f"{messages_url(chat)}?limit=2&after="
    first = alice.get(f"{url}0")
    alice.post(messages_url(chat), json={"content": "m4"})
    second = alice.get(f"{url}2")
    assert contents(first) + contents(second) == ["m1", "m2", "m3", "m4"]
    assert (first.json["has_more"], second.json["has_more"]) == (True, False)


# List, more than fits in one chunk


LONG_RANGES = {
    "": (slice(None), False),
    "order=desc": (slice(None, None, -1), False),
    "limit=500": (slice(500), True),
    "limit=1000": (slice(1000), True),
    "limit=1000&order=desc": (slice(None, -1001, -1), True),
    "limit=1000&after=100": (slice(100, 1100), False),
    "limit=999&after=100": (slice(100, 1099), True),
    "after=10&before=1000": (slice(10, 999), False),
    "role=user": (slice(None), False),
    "role=tool": (slice(0), False),
}


def test_list_of_hundreds_of_messages_is_what_was_stored(alice, app, make_session):
    chat = make_session()
    stored = [f"message {number}" for number in range(1, 1101)]
    fill(app, chat, stored)
    for query, (wanted, has_more) in LONG_RANGES.items():
        response = alice.get(f"{messages_url(chat)}?{query}")
        assert contents(response) == stored[wanted], query
        assert response.json["has_more"] is has_more, query


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_list_of_large_messages_is_what_was_stored(alice, app, make_session, order):
    chat = make_session()
    stored = [each * 300_000 for each in "ab"] + ["é" * 524_288, "", "c" * 1_048_576]
    fill(app, chat, stored)
    response = alice.get(f"{messages_url(chat)}?order={order}")
    assert contents(response) == (stored if order == "asc" else stored[::-1])
    assert response.json["has_more"] is False


def test_list_ends_where_the_session_ended_when_it_began(alice, app, make_session):
    chat = make_session()
    fill(app, chat, ["x"] * 1100)
    response = alice.get(messages_url(chat))
    chunks = response.iter_encoded()
    begun = next(chunks) + next(chunks)
    alice.post(messages_url(chat), json={"content": "late"})
    body = begun + b"".join(chunks)
    assert body.count(b'"content":"x"') == 1100
    assert body.endswith(b'],"has_more":false}')
    assert b"late" not in body


def test_list_of_a_session_deleted_meanwhile_is_cut_off(alice, app, make_session):
    chat = make_session()
    fill(app, chat, ["x"] * 1100)
    chunks = alice.get(messages_url(chat)).iter_encoded()
    assert next(chunks) == b'{"messages":['
    assert alice.delete(session_url(chat)).status_code == 204
    with pytest.raises(NotFound):
        list(chunks)


def test_list_holds_no_connection_between_its_chunks(alice, app, make_session):
    chat = make_session()
    fill(app, chat, ["x"] * 1100)
    with app.app_context():
        pool = db.engine.pool
    held = []
    for _ in alice.get(messages_url(chat)).iter_encoded():
        held.append(pool.checkedout())
    assert len(held) > 3
    assert set(held) == {0}


# Read one


@WITH_AND_WITHOUT_SLASH
def test_get_returns_the_message(alice, make_session, clock, slash):
    chat = make_session(messages=1)
    message_id = alice.get(messages_url(chat)).json["messages"][0]["id"]
    response = alice.get(f"{messages_url(chat)}/{message_id}{slash}")
    assert response.status_code == 200
    assert response.headers["X-Request-Id"]
    assert response.json == {
        "id": message_id,
        "session_id": str(chat.id),
        "seq": 1,
        "timestamp": clock.iso,
        "role": "user",
        "content": "m1",
        "metadata": None,
    }


def test_get_of_another_sessions_message_is_not_found(alice, make_session):
    chat, other = make_session(messages=1), make_session(messages=1)
    message_id = alice.get(messages_url(other)).json["messages"][0]["id"]
    assert_problem(alice.get(f"{messages_url(chat)}/{message_id}"), 404)


MISSING_MESSAGES = ("0", "999999", "9223372036854775807", "9223372036854775808")
MALFORMED_MESSAGES = ("9" * 4000, "-1", "1.0", "x", "1x", "%00")


def test_get_of_a_missing_or_malformed_message_is_not_found(alice, make_session):
    url = messages_url(make_session(messages=1))
    for message_id in MISSING_MESSAGES + MALFORMED_MESSAGES:
        assert_problem(alice.get(f"{url}/{message_id}"), 404)


# Missing resources


def test_another_owners_messages_are_not_found(alice, app, make_session):
    chat = make_session(owner_id="bob", messages=1)
    with app.app_context():
        message_id = db.session.query(Message.id).scalar()
    for response in (
        alice.get(messages_url(chat)),
        alice.get(f"{messages_url(chat)}/{message_id}"),
        alice.post(messages_url(chat), json={"content": "hi"}),
    ):
        assert_problem(response, 404)
        assert "m1" not in response.text
    with app.app_context():
        assert count(db.session, Message) == 1


def test_messages_of_a_missing_or_malformed_id_are_not_found(alice, app):
    for session_id in (MISSING_ID, *MALFORMED_IDS):
        url = f"{API}/sessions/{session_id}/messages"
        assert_problem(alice.get(url), 404)
        assert_problem(alice.get(f"{url}?limit=1"), 404)
        assert_problem(alice.get(f"{url}/1"), 404)
        assert_problem(alice.post(url, json={"content": "hi"}), 404)
    with app.app_context():
        assert count(db.session, Message) == 0


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "messages", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", "messages/", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PUT", "messages/1", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
        ("POST", "messages/1/", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"}),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(alice, method, path, allowed):
    response = alice.open(f"{SESSIONS}{MISSING_ID}/{path}", method=method, json={})
    assert_problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) == allowed
