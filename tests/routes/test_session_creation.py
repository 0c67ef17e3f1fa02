"""Sessions with ids of their clients, metadata and first messages."""

import json

import pytest
from sqlalchemy import select

from chatstore.models import ChatSession, IdempotencyRecord, Message
from chatstore.services.background import index_pending_messages
from chatstore.store.verify.checks import CHECKS
from tests.support import (
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

KEY = {"Idempotency-Key": "k"}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
FIRST = [
    {"role": "system", "content": "Be kind."},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"content": [{"type": "text", "text": "hi"}], "metadata": {"a": 1}},
]


def test_first_messages_are_stored_with_the_session(alice, clock):
    response = alice.post(SESSIONS, json={"name": "n", "messages": FIRST})
    assert response.status_code == 201
    chat = response.json
    assert (chat["message_count"], chat["last_message_preview"]) == (3, "hi")
    assert alice.get(response.headers["Location"]).json == chat
    stored = alice.get(messages_url(chat)).json["messages"]
    assert [each["seq"] for each in stored] == [1, 2, 3]
    assert chat["created_at"] < stored[0]["timestamp"] < stored[1]["timestamp"]
    assert stored[2]["timestamp"] == chat["last_updated_at"]
    assert stored[1]["tool_calls"] == [CALL]
    assert (stored[2]["content"], stored[2]["metadata"]) == ("hi", {"a": 1})
    assert alice.post(messages_url(chat), json={"content": "x"}).json["seq"] == 4


def test_no_first_messages_are_none(alice):
    chat = alice.post(SESSIONS, json={"messages": []}).json
    assert chat["message_count"] == 0


def test_a_retry_stores_the_first_messages_once(app, db_session, alice):
    body = {"name": "n", "messages": FIRST}
    first, second = (alice.post(SESSIONS, json=body, headers=KEY) for _ in "12")
    assert second.headers["Idempotency-Replayed"] == "true"
    assert second.data == first.data
    assert (count(db_session, ChatSession), count(db_session, Message)) == (1, 3)


@pytest.mark.parametrize(
    ("messages", "pointer"),
    [
        ([{"content": "x"}] * 6, "/messages"),
        ([{"content": "x"}, {"content": ""}], "/messages/1/content"),
        ([{"content": "x", "parent_seq": 0}], "/messages/0/parent_seq"),
        ({}, "/messages"),
    ],
)
def test_a_malformed_message_refuses_the_session(make_app, messages, pointer):
    client = make_app(max_batch_size=5).test_client()
    answer = client.post(SESSIONS, json={"messages": messages})
    assert_problem(answer, 422, pointer=pointer)
    assert client.get(SESSIONS).json["sessions"] == []


def test_many_first_messages_are_all_indexed(db_session, alice):
    text = "".join(map(chr, range(0x4E00, 0x4E00 + 3000)))
    messages = [{"content": text[number:] + text[:number]} for number in range(100)]
    alice.post(SESSIONS, json={"messages": messages})
    index_pending_messages()
    assert [each for check in CHECKS for each in check.find()] == []
    hits = alice.get("/api/v1/search", query_string={"q": text[500:502], "limit": 1000})
    assert len(hits.json["hits"]) == 100


# The client's id


def test_the_client_may_choose_the_id(alice):
    created = alice.post(SESSIONS, json={"id": MISSING_ID, "messages": FIRST})
    assert created.status_code == 201
    assert created.json["id"] == MISSING_ID
    assert alice.get(session_url({"id": MISSING_ID})).json == created.json


@pytest.mark.parametrize("messages", [[], FIRST])
def test_a_taken_id_is_refused_alike_whoever_has_it(
    db_session, alice, make_session, messages
):
    mine = make_session(external_id="mine")
    theirs = make_session(owner_id="bob", external_id="theirs")
    problems = []
    for chat in (mine, theirs):
        body = {"id": str(chat.id), "messages": messages}
        problem = assert_problem(alice.post(SESSIONS, json=body, headers=KEY), 409)
        problems.append(json.dumps(problem).replace(str(chat.id), "ID"))
        problem.pop("request_id")
    assert problem["type"] == "urn:chatstore:problem:id-taken"
    without_request = [each.partition('"request_id"')[0] for each in problems]
    assert without_request[0] == without_request[1]
    assert "theirs" not in problems[1]
    assert (count(db_session, ChatSession), count(db_session, Message)) == (2, 0)
    assert count(db_session, IdempotencyRecord) == 0


@pytest.mark.parametrize("session_id", ["x", 1, None, MISSING_ID.replace("-", "")])
def test_an_id_that_is_no_uuid_is_refused(alice, session_id):
    answer = alice.post(SESSIONS, json={"id": session_id})
    assert_problem(answer, 422, pointer="/id")


# Metadata

METADATA = {"": None, "a:b": [1, {"c": 1e22}], "n": -0.0, "e\u0301": 2**53 - 1}


def test_metadata_comes_back_value_for_value(alice):
    chat = alice.post(SESSIONS, json={"metadata": METADATA}).json
    changed = alice.patch(session_url(chat), json={"name": "n"}).json
    read = alice.get(session_url(chat)).json
    (listed,) = alice.get(SESSIONS).json["sessions"]
    for answer in (chat, changed, read, listed):
        assert json.dumps(answer["metadata"]) == json.dumps(METADATA)


def test_metadata_is_replaced_as_a_whole(alice):
    chat = alice.post(SESSIONS, json={"metadata": METADATA}).json
    for metadata in ({"x": 1}, {}):
        body = {"metadata": metadata}
        assert alice.patch(session_url(chat), json=body).json["metadata"] == metadata
        assert alice.get(session_url(chat)).json["metadata"] == metadata


def test_a_session_without_metadata_stores_none(db_session, alice):
    alice.post(SESSIONS, json={"metadata": {}})
    column = ChatSession.__table__.c.metadata
    assert db_session.scalar(select(column.is_(None))) is True


@pytest.mark.parametrize("metadata", [None, [], "x", {"a\0": 1}, {"a": "x" * 94}])
def test_metadata_that_cannot_be_stored_is_refused(make_app, metadata):
    client = make_app(max_session_metadata_bytes=100).test_client()
    answer = client.post(SESSIONS, json={"metadata": metadata})
    assert_problem(answer, 422, pointer="/metadata")
    chat = client.post(SESSIONS, json={"metadata": {"a": "x" * 92}})
    assert chat.status_code == 201
    answer = client.patch(session_url(chat.json), json={"metadata": metadata})
    assert_problem(answer, 422, pointer="/metadata")


def test_metadata_that_was_created_can_be_sent_again(alice):
    metadata = {"a": json.loads("[" * 32 + "]" * 32)}
    chat = alice.post(SESSIONS, json={"metadata": metadata})
    assert chat.status_code == 201
    again = alice.patch(session_url(chat.json), json={"metadata": metadata})
    assert again.status_code == 200
    deeper = {"metadata": {"a": [metadata["a"]]}}
    assert_problem(alice.post(SESSIONS, json=deeper), 400, detail="/metadata")


def test_a_fork_names_its_origin(db_session, alice, make_session):
    chat = make_session()
    stored = db_session.get(ChatSession, chat.id)
    stored.forked_from_id, stored.forked_from_seq = chat.id, 7
    db_session.commit()
    origin = {"session_id": str(chat.id), "seq": 7}
    assert alice.get(session_url(chat)).json["forked_from"] == origin
    changed = alice.patch(session_url(chat), json={"name": "n"}).json
    assert changed["forked_from"] == origin


def test_a_session_with_the_id_of_a_deleted_one_has_other_revisions(alice):
    first = alice.post(SESSIONS, json={"id": MISSING_ID, "name": "first"})
    url, etags = session_url(first.json), [first.headers["ETag"]]
    assert alice.delete(url).status_code == 204
    etags.append(alice.post(f"{url}/restore").headers["ETag"])
    assert alice.delete(url).status_code == 204
    assert alice.delete(f"{url}?purge=true").status_code == 204
    alice.post(SESSIONS, json={"id": MISSING_ID, "name": "second"})
    for etag in etags:
        answer = alice.get(url, headers={"If-None-Match": etag})
        assert (answer.status_code, answer.json["name"]) == (200, "second")
        stale = alice.patch(url, json={"name": "x"}, headers={"If-Match": etag})
        assert_problem(stale, 412)
