import pytest

from chatstore.models import Message
from tests.support import ANY_ID, MISSING_ID, assert_problem, messages_url, session_url

HI = {"content": "hi"}


def batch_url(chat):
    return f"{messages_url(chat)}/batch"


def seqs(client, chat):
    return [m["seq"] for m in client.get(messages_url(chat)).json["messages"]]


def test_a_batch_returns_its_stored_messages(alice, make_session, clock):
    chat = make_session(messages=1)
    turns = [
        {"content": "a"},
        {"content": "b", "role": "assistant", "metadata": {"n": 1}},
    ]
    response = alice.post(batch_url(chat), json={"messages": turns})
    assert response.status_code == 201
    first, second = response.json["messages"]
    assert first == {
        "id": ANY_ID,
        "session_id": str(chat.id),
        "seq": 2,
        "timestamp": clock.iso,
        "role": "user",
        "content": "a",
        "metadata": None,
    }
    assert (second["seq"], second["role"], second["metadata"]) == (
        3,
        "assistant",
        {"n": 1},
    )
    assert second["id"] > first["id"]
    assert second["timestamp"] > first["timestamp"]


def test_a_batch_moves_the_session_once(alice, make_session):
    chat = make_session(messages=1)
    before = alice.get(session_url(chat))
    answer = alice.post(batch_url(chat), json={"messages": [HI, {"content": "last"}]})
    after = alice.get(session_url(chat))
    assert int(after.headers["ETag"].strip('"')) == 1 + int(
        before.headers["ETag"].strip('"')
    )
    assert after.json["message_count"] == 3
    assert after.json["last_message_preview"] == "last"
    assert after.json["last_updated_at"] == answer.json["messages"][-1]["timestamp"]


def test_a_thousand_messages_are_a_batch(alice, make_session):
    chat = make_session()
    body = {"messages": [{"content": f"m{n}"} for n in range(1000)]}
    answer = alice.post(batch_url(chat), json=body).json["messages"]
    assert [m["content"] for m in answer] == [f"m{n}" for n in range(1000)]
    assert [m["seq"] for m in answer] == list(range(1, 1001))
    stamps = [m["timestamp"] for m in answer]
    assert stamps == sorted(set(stamps))
    assert alice.get(messages_url(chat)).json["messages"] == answer


@pytest.mark.parametrize(
    ("messages", "pointer"),
    [
        ([], "/messages"),
        ([HI] * 1001, "/messages"),
        ([HI, {}], "/messages/1/content"),
        ([HI, {"content": "x", "role": "king"}], "/messages/1/role"),
        ([HI, {"content": ""}], "/messages/1/content"),
        ([HI, {"content": "x", "expected_seq": 1}], "/messages/1/expected_seq"),
        ({"content": "hi"}, "/messages"),
        (None, "/messages"),
    ],
)
def test_a_batch_with_a_flaw_stores_nothing(alice, make_session, messages, pointer):
    chat = make_session()
    response = alice.post(batch_url(chat), json={"messages": messages})
    assert_problem(response, 422, pointer=pointer)
    assert seqs(alice, chat) == []


def test_a_batch_to_another_owners_session_is_not_found(alice, make_session):
    chat = make_session(owner_id="bob")
    assert_problem(alice.post(batch_url(chat), json={"messages": [HI]}), 404)


def test_a_batch_to_a_missing_session_is_not_found(alice):
    response = alice.post(batch_url({"id": MISSING_ID}), json={"messages": [HI]})
    assert_problem(response, 404)


@pytest.mark.parametrize("path", ["", "/batch"])
def test_the_expected_seq_is_taken(alice, make_session, path):
    chat = make_session(messages=2)
    body = {"messages": [HI]} if path else HI
    answer = alice.post(messages_url(chat) + path, json=body | {"expected_seq": 3})
    assert answer.status_code == 201
    assert seqs(alice, chat) == [1, 2, 3]


@pytest.mark.parametrize("expected", [1, 2, 4, 2**53 - 1])
@pytest.mark.parametrize("path", ["", "/batch"])
def test_another_expected_seq_is_a_conflict(alice, make_session, path, expected):
    chat = make_session(messages=2)
    body = {"messages": [HI]} if path else HI
    answer = alice.post(
        messages_url(chat) + path, json=body | {"expected_seq": expected}
    )
    assert assert_problem(answer, 409)["last_seq"] == 2
    assert seqs(alice, chat) == [1, 2]


@pytest.mark.parametrize("expected", [0, -1, "1", 1.5, None, True])
def test_a_malformed_expected_seq_is_refused(alice, make_session, expected):
    response = alice.post(
        messages_url(make_session()), json=HI | {"expected_seq": expected}
    )
    assert_problem(response, 422, pointer="/expected_seq")


def test_an_expected_seq_in_a_missing_session_is_not_found(alice):
    response = alice.post(
        messages_url({"id": MISSING_ID}), json=HI | {"expected_seq": 1}
    )
    assert_problem(response, 404)


def test_messages_of_a_batch_belong_to_the_session(db_session, make_session):
    from chatstore.store.messages import append_messages

    chat = make_session()
    turns = [{"content": "x", "role": "user", "metadata": None}] * 2
    messages = append_messages(chat.id, owner_id="local", turns=turns)
    db_session.expire_all()
    assert [db_session.get(Message, m.id).session_id for m in messages] == [chat.id] * 2
