"""Listed messages tell where a query matches them, in any range and as a stream."""

import pytest

from chatstore.store.messages import CHUNK_MESSAGES
from tests.support import API, assert_problem, messages_url

CONTENTS = ["a plan", "else", "Plän 🚀 plan", "no", "getPlan"]
EXPECTED = [[[2, 6]], [], [[0, 4], [7, 11]], [], [[3, 7]]]


@pytest.fixture
def chat(alice, make_session):
    chat = make_session()
    for number, content in enumerate(CONTENTS):
        role = "assistant" if number % 2 else "user"
        body = {"content": content, "role": role}
        assert alice.post(messages_url(chat), json=body).status_code == 201
    return chat


def listed(client, chat, **query):
    response = client.get(messages_url(chat), query_string=query)
    assert response.status_code == 200, response.data
    return response.json["messages"]


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"limit": 2},
        {"limit": 2, "after": 2},
        {"before": 4, "order": "desc"},
        {"role": "user"},
        {"role": "assistant"},
        {"around": 3, "limit": 3},
        {"path": "head"},
        {"path": 3, "siblings": "true"},
    ],
)
def test_every_message_of_a_range_tells_its_matches(alice, chat, query):
    plain = listed(alice, chat, **query)
    assert plain
    assert listed(alice, chat, q="plan", **query) == [
        message | {"matches": EXPECTED[message["seq"] - 1]} for message in plain
    ]


def test_matches_are_those_of_the_search(alice, chat):
    for q in ("plan", "a plan", '"a plan"', "plan -else", "pla*", "🚀", "!", "", "-"):
        query = {"q": q, "session_id": chat.id, "sort": "seq"}
        answer = alice.get(f"{API}/search", query_string=query).json
        found = {hit["seq"]: hit["matches"] for hit in answer["hits"]}
        given = {each["seq"]: each["matches"] for each in listed(alice, chat, q=q)}
        assert given == {seq: found.get(seq, []) for seq in range(1, 6)}, q


def test_a_message_that_was_deleted_or_edited_tells_what_it_says_now(alice, chat):
    first, *_, last = listed(alice, chat)
    alice.delete(f"{messages_url(chat)}/{first['id']}")
    alice.patch(f"{messages_url(chat)}/{last['id']}", json={"content": "plans, plan"})
    matches = [each["matches"] for each in listed(alice, chat, q="plan")]
    assert matches == [[], [], EXPECTED[2], [], [[7, 11]]]


def test_a_tool_call_that_matches_counts_but_is_not_marked(alice, make_session):
    chat = make_session()
    call = {"function": {"name": "get_plan", "arguments": "{}"}}
    body = {"role": "assistant", "content": "the fees", "tool_calls": [call]}
    alice.post(messages_url(chat), json=body)
    parts = [{"type": "text", "text": "a plan"}, {"type": "text", "text": "and fees"}]
    alice.post(messages_url(chat), json={"content": parts})
    matches = [each["matches"] for each in listed(alice, chat, q="plan fees")]
    assert matches == [[[4, 8]], [[2, 6], [12, 16]]]
    matches = [each["matches"] for each in listed(alice, chat, q="get_plan")]
    assert matches == [[], []]


def test_a_stream_of_all_messages_tells_their_matches(alice, make_session):
    chat = make_session()
    size = 2 * CHUNK_MESSAGES + 10
    turns = [{"content": "plan" if n % 3 else "x plan"} for n in range(size)]
    for start in range(0, size, 1000):
        body = {"messages": turns[start : start + 1000]}
        alice.post(f"{messages_url(chat)}/batch", json=body)
    messages = listed(alice, chat, q="plan")
    assert [each["seq"] for each in messages] == list(range(1, size + 1))
    expected = [[[0, 4]] if n % 3 else [[2, 6]] for n in range(size)]
    assert [each["matches"] for each in messages] == expected


def test_matches_are_bounded(alice, make_session):
    chat = make_session()
    for content in ("plan " * 1500, "x " * 50_000 + "plan"):
        alice.post(messages_url(chat), json={"content": content})
    first, second = listed(alice, chat, q="plan")
    assert len(first["matches"]) == 1000
    assert first["matches"][-1] == [4995, 4999]
    assert second["matches"] == []


def test_without_a_query_no_message_has_matches(alice, chat):
    assert all("matches" not in each for each in listed(alice, chat))


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"q": "x" * 10_001}, "/q"),
        ({"q": ["a", "b"]}, "/q"),
        ({"q": "plan", "format": "openai"}, "/q"),
    ],
)
def test_a_bad_query_is_refused(alice, chat, query, pointer):
    answer = alice.get(messages_url(chat), query_string=query)
    assert_problem(answer, 422, pointer=pointer)


def test_nobody_sees_the_matches_of_others(alice, make_session):
    theirs = make_session(owner_id="bob", messages=1)
    answer = alice.get(messages_url(theirs), query_string={"q": "m1"})
    assert_problem(answer, 404)
