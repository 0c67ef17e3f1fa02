import pytest

from chatstore.db import db
from chatstore.models import ChatSession, IdempotencyRecord, Message
from chatstore.store.verify.corrections import find_deleted_texts
from tests.support import (
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

KEY = {"Idempotency-Key": "k1"}
# What a copy of a message has in common with the message.
OWN = ("id", "session_id", "seq", "parent_seq", "revision", "edited_at", "feedback")


def fork_url(chat):
    return f"{session_url(chat)}/fork"


def messages_of(client, chat):
    return client.get(messages_url(chat)).json["messages"]


def contents(client, chat):
    return [each["content"] for each in messages_of(client, chat)]


def copied(message):
    return {name: value for name, value in message.items() if name not in OWN}


@pytest.fixture
def chat(alice):
    """A session with tags and whole messages."""
    body = {
        "name": "Plans",
        "llm_model_name": "m7",
        "metadata_tags": ["support", "a"],
        "rag_document_ids": ["handbook"],
    }
    chat = alice.post(SESSIONS, json=body).json
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    for message in (
        {"content": "first é 数据库", "metadata": {"b": 1e22, "a": [1, None]}},
        {"content": None, "role": "assistant", "tool_calls": [call], "model": "m"},
        {"content": "{}", "role": "tool", "tool_call_id": "c"},
        {"content": [{"type": "text", "text": "  look"}], "role": "assistant"},
        {"content": "developer's", "role": "developer"},
    ):
        assert alice.post(messages_url(chat), json=message).status_code == 201
    return alice.get(session_url(chat)).json


def test_a_fork_is_a_new_session_with_the_same_messages(alice, chat):
    answer = alice.post(fork_url(chat), json={})
    assert answer.status_code == 201
    fork = answer.json
    assert answer.headers["Location"] == session_url(fork)
    assert answer.headers["ETag"] == '"1"'
    assert fork["id"] != chat["id"]
    same = ("name", "llm_model_name", "metadata_tags", "rag_document_ids")
    assert {name: fork[name] for name in same} == {name: chat[name] for name in same}
    assert fork["message_count"] == 5
    assert fork["last_message_preview"] == "look"
    assert fork["created_at"] == fork["last_updated_at"] > chat["last_updated_at"]
    assert alice.get(session_url(fork)).json == fork
    before, after = messages_of(alice, chat), messages_of(alice, fork)
    assert list(map(copied, after)) == list(map(copied, before))
    assert [each["seq"] for each in after] == [1, 2, 3, 4, 5]
    assert not {each["id"] for each in after} & {each["id"] for each in before}
    assert alice.get(session_url(chat)).json == chat


def test_a_fork_goes_on_by_itself(alice, chat):
    fork = alice.post(fork_url(chat), json={}).json
    message = alice.post(messages_url(fork), json={"content": "on"}).json
    assert message["seq"] == 6
    assert "parent_seq" not in message
    assert len(messages_of(alice, chat)) == 5
    assert alice.delete(session_url(chat)).status_code == 204
    assert len(messages_of(alice, fork)) == 6


def test_at_seq_ends_the_copy(alice, chat):
    fork = alice.post(fork_url(chat), json={"at_seq": 1, "name": "Other"}).json
    assert (fork["name"], fork["message_count"]) == ("Other", 1)
    assert fork["last_message_preview"] == "first é 数据库"
    assert contents(alice, fork) == ["first é 数据库"]


def test_a_fork_may_have_no_name(alice, chat):
    assert alice.post(fork_url(chat), json={"name": None}).json["name"] is None


def test_a_fork_is_neither_pinned_nor_archived(alice, chat):
    alice.patch(session_url(chat), json={"pinned": True, "archived": True})
    fork = alice.post(fork_url(chat), json={}).json
    assert (fork["pinned"], fork["archived"]) == (False, False)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, ["q", "a2", "more"]),
        ({"at_seq": 5}, ["q", "a2", "more"]),
        ({"at_seq": 3}, ["q", "a2"]),
        ({"at_seq": 2}, ["q", "a1"]),
        ({"at_seq": 4}, ["other"]),
    ],
)
def test_a_fork_has_the_messages_of_one_branch(alice, body, expected):
    chat = alice.post(SESSIONS, json={}).json
    for content, parent in [
        ("q", None),
        ("a1", None),
        ("a2", 1),
        ("other", 0),
        ("more", 3),
    ]:
        message = {"content": content}
        if parent is not None:
            message["parent_seq"] = parent
        assert alice.post(messages_url(chat), json=message).status_code == 201
    fork = alice.post(fork_url(chat), json=body).json
    assert contents(alice, fork) == expected
    assert [each["seq"] for each in messages_of(alice, fork)] == [
        *range(1, len(expected) + 1)
    ]
    assert all("parent_seq" not in each for each in messages_of(alice, fork))


def test_an_empty_session_has_an_empty_fork(alice):
    chat = alice.post(SESSIONS, json={"name": "n"}).json
    fork = alice.post(fork_url(chat), json={}).json
    assert (fork["name"], fork["message_count"]) == ("n", 0)
    assert fork["last_message_preview"] is None
    assert fork["created_at"] == fork["last_updated_at"]


def test_lists_and_search_have_the_fork(alice, chat):
    fork = alice.post(fork_url(chat), json={"name": "Neu"}).json
    listed = alice.get(f"{SESSIONS}?tag=support&document=handbook").json["sessions"]
    assert [each["id"] for each in listed] == [fork["id"], chat["id"]]
    for query in ("数据库", "neu"):
        url = f"/api/v1/search?q={query}&session_id={fork['id']}"
        assert [hit["session_id"] for hit in alice.get(url).json["hits"]] == [
            fork["id"]
        ]
    everywhere = alice.get("/api/v1/search?q=数据库").json["hits"]
    assert {hit["session_id"] for hit in everywhere} == {fork["id"], chat["id"]}


def test_a_message_that_is_not_there_is_a_conflict(alice, chat):
    for at_seq in (6, 2**53 - 1):
        answer = alice.post(fork_url(chat), json={"at_seq": at_seq})
        problem = assert_problem(answer, 409, detail="the last seq is 5")
        assert problem["type"].endswith("seq-missing")
        assert problem["last_seq"] == 5


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"at_seq": 0}, "/at_seq"),
        ({"at_seq": "1"}, "/at_seq"),
        ({"at_seq": None}, "/at_seq"),
        ({"name": "x" * 256}, "/name"),
        ({"external_id": "x"}, "/external_id"),
    ],
)
def test_a_malformed_body_is_refused(alice, chat, body, pointer):
    assert_problem(alice.post(fork_url(chat), json=body), 422, pointer=pointer)


def test_another_owners_session_is_a_missing_one(alice, make_session):
    chat = make_session(owner_id="bob", messages=1)
    answers = [
        alice.post(fork_url(each), json={}) for each in (chat, {"id": MISSING_ID})
    ]
    texts = [
        assert_problem(answer, 404)["detail"].replace(each, "")
        for answer, each in zip(answers, (str(chat.id), MISSING_ID), strict=True)
    ]
    assert texts[0] == texts[1]


def test_a_repeated_fork_is_made_once(app, alice, chat):
    first = alice.post(fork_url(chat), json={}, headers=KEY)
    alice.delete(f"{session_url(chat)}?purge=true")
    second = alice.post(fork_url(chat), json={}, headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.data == first.data
    assert second.headers["Location"] == first.headers["Location"]
    assert second.headers["ETag"] == first.headers["ETag"]
    assert second.headers["Idempotency-Replayed"] == "true"
    with app.app_context():
        assert count(db.session, ChatSession) == 1
        assert count(db.session, Message) == 5


def test_a_key_with_another_body_is_refused(alice, chat):
    alice.post(fork_url(chat), json={}, headers=KEY)
    answer = alice.post(fork_url(chat), json={"at_seq": 1}, headers=KEY)
    problem = assert_problem(answer, 422, pointer="")
    assert problem["type"].endswith("idempotency-key-reused")


def test_a_refused_fork_leaves_its_key_unused(app, alice, chat):
    answer = alice.post(fork_url(chat), json={"at_seq": 9}, headers=KEY)
    assert answer.status_code == 409
    with app.app_context():
        assert count(db.session, IdempotencyRecord) == 0
    assert alice.post(fork_url(chat), json={}, headers=KEY).status_code == 201


def test_a_keyed_fork_may_copy_a_deleted_message(app, alice, chat):
    first = messages_of(alice, chat)[0]
    assert alice.delete(f"{messages_url(chat)}/{first['id']}").status_code == 204
    assert alice.post(fork_url(chat), json={}, headers=KEY).status_code == 201
    with app.app_context():
        assert list(find_deleted_texts()) == []
