from datetime import timedelta

import pytest

from chatstore.services.usage import add_usage
from chatstore.store.usage import Bounds
from tests.support import API, assert_problem, messages_url, session_url

USAGE = f"{API}/usage"
TOKENS = {"input_tokens": 11, "output_tokens": 7}


def append(client, chat, **body):
    body = {"content": "hé", "usage": TOKENS} | body
    response = client.post(messages_url(chat), json=body)
    assert response.status_code == 201
    return response.json


@pytest.mark.parametrize("is_added", [False, True])
def test_usage_is_counted_by_day(app, alice, make_session, clock, is_added):
    chat = make_session()
    append(alice, chat)
    clock.now += timedelta(days=1)
    append(alice, chat)
    append(alice, chat, usage={"output_tokens": 1})
    if is_added:
        with app.app_context():
            add_usage(bounds=Bounds(lag=timedelta(0)))
    response = alice.get(f"{USAGE}?from=2026-01-02&to=2026-01-05")
    assert response.status_code == 200
    none = dict.fromkeys(
        ("messages", "bytes", "input_tokens", "output_tokens", "sessions"), 0
    )
    assert response.json == {
        "by": "day",
        "tz": "UTC",
        "complete": True,
        "total": {
            "messages": 3,
            "bytes": 9,
            "input_tokens": 22,
            "output_tokens": 15,
            "sessions": 1,
        },
        "periods": [
            {
                "start": "2026-01-02T00:00:00.000000Z",
                "end": "2026-01-03T00:00:00.000000Z",
                "label": "2026-01-02",
                "messages": 1,
                "bytes": 3,
                "sessions": 1,
                **TOKENS,
            },
            {
                "start": "2026-01-03T00:00:00.000000Z",
                "end": "2026-01-04T00:00:00.000000Z",
                "label": "2026-01-03",
                "messages": 2,
                "bytes": 6,
                "input_tokens": 11,
                "output_tokens": 8,
                "sessions": 0,
            },
            none
            | {
                "start": "2026-01-04T00:00:00.000000Z",
                "end": "2026-01-05T00:00:00.000000Z",
                "label": "2026-01-04",
            },
        ],
    }


@pytest.mark.parametrize(
    ("split", "names"),
    [("role", ["assistant", "user"]), ("model", ["b", "test-model"])],
)
def test_usage_is_split(alice, make_session, clock, split, names):
    chat = make_session()
    append(alice, chat)
    append(alice, chat, role="assistant", model="b", content="")
    usage = alice.get(f"{USAGE}?split={split}&from=2026-01-02").json
    parts = usage["total"]["split"]
    assert usage["periods"][0]["split"] == parts
    assert [part.pop(split) for part in parts] == names
    first, second = {"messages": 1, "bytes": 0}, {"messages": 1, "bytes": 3}
    assert parts == [first | TOKENS, second | TOKENS]


def test_days_are_those_of_the_zone(alice, make_session, clock):
    clock.now = clock.now.replace(hour=23, minute=30)
    append(alice, make_session())
    for tz, day in (("UTC", "2026-01-02"), ("Europe/Berlin", "2026-01-03")):
        usage = alice.get(f"{USAGE}?tz={tz}&from=2026-01-02").json
        counts = {each["label"]: each["messages"] for each in usage["periods"]}
        assert counts[day] == 1
        assert sum(counts.values()) == 1


def test_an_instant_in_the_zone_of_the_client(alice, clock):
    query = "from=2026-10-25T00:00:00%2B02:00&to=2026-10-26&tz=Europe/Berlin&by=hour"
    assert len(alice.get(f"{USAGE}?{query}").json["periods"]) == 25


def test_by_default_thirty_days_end_now(alice, clock):
    usage = alice.get(USAGE).json
    assert [usage["by"], usage["tz"], len(usage["periods"])] == ["day", "UTC", 30]
    assert usage["periods"][-1]["label"] == "2026-01-02"
    assert usage["total"]["messages"] == 0


def test_usage_is_the_callers(app, alice, make_session, clock):
    make_session(messages=2, owner_id="bob")
    for _ in range(2):
        assert alice.get(USAGE).json["total"]["messages"] == 0
        assert alice.get(f"{USAGE}?split=model").json["total"]["split"] == []
        with app.app_context():
            add_usage(bounds=Bounds(lag=timedelta(0)))


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("from=2026-01-02&to=2026-01-02", "/from"),
        ("from=2026-02-30", "/from"),
        ("from=yesterday", "/from"),
        ("from=2026-01-02T00:00:00", "/from"),
        ("from=", "/from"),
        ("from=0001-01-01", "/from"),
        ("from=0001-01-01T00:00:00Z&tz=America/New_York", "/from"),
        ("to=9999-12-31T23:59:59Z&tz=Asia/Tokyo", "/to"),
        ("to=1960-01-01", "/to"),
        ("from=2020-01-01&by=hour", "/from"),
        ("by=year", "/by"),
        ("by=", "/by"),
        ("tz=", "/tz"),
        ("tz=localtime", "/tz"),
        ("tz=Factory", "/tz"),
        ("tz=Mars", "/tz"),
        ("tz=America", "/tz"),
        ("tz=../UTC", "/tz"),
        ("tz=/etc/passwd", "/tz"),
        ("tz=%00", "/tz"),
        (f"tz={'x' * 101}", "/tz"),
        ("split=owner", "/split"),
        ("owner=bob", "/owner"),
        ("from=2026-01-01&from=2026-01-02", "/from"),
    ],
)
def test_a_bad_query_is_refused(alice, query, pointer):
    assert_problem(alice.get(f"{USAGE}?{query}"), 422, pointer=pointer)


# The sums of a session


def sums(client, chat):
    session = client.get(session_url(chat)).json
    return session["input_tokens"], session["output_tokens"]


def test_a_session_sums_the_tokens_of_its_messages(alice, make_session):
    chat = make_session()
    assert sums(alice, chat) == (0, 0)
    message = append(alice, chat)
    append(alice, chat, usage={"output_tokens": 1})
    append(alice, chat, usage=None)
    assert sums(alice, chat) == (11, 8)
    turns = [{"content": "x", "usage": TOKENS}, {"content": "y"}]
    alice.post(f"{messages_url(chat)}/batch", json={"messages": turns})
    assert sums(alice, chat) == (22, 15)
    url = f"{messages_url(chat)}/{message['id']}"
    alice.patch(url, json={"usage": {"input_tokens": 1}})
    assert sums(alice, chat) == (12, 8)
    alice.patch(url, json={"content": "z"})
    assert sums(alice, chat) == (12, 8)
    fork = alice.post(f"{session_url(chat)}/fork", json={}).json
    assert (fork["input_tokens"], fork["output_tokens"]) == (12, 8)
    alice.delete(url)
    alice.delete(url)
    assert sums(alice, chat) == (11, 8)
    alice.post(f"{session_url(chat)}/clear")
    assert sums(alice, chat) == (0, 0)
    listed = alice.get(f"{API}/sessions/").json["sessions"]
    assert {each["input_tokens"] for each in listed} == {0, 12}


def test_a_session_counts_its_first_messages(alice):
    turns = [{"content": "x", "usage": TOKENS}, {"content": "y", "usage": TOKENS}]
    chat = alice.post(f"{API}/sessions/", json={"messages": turns}).json
    assert (chat["input_tokens"], chat["output_tokens"]) == (22, 14)


def test_a_sum_cannot_overflow(alice, make_session):
    chat = make_session()
    most = {"input_tokens": 2**53 - 1, "output_tokens": 0}
    turns = [{"content": "x", "usage": most}] * 1000
    for _ in range(2):
        response = alice.post(f"{messages_url(chat)}/batch", json={"messages": turns})
        assert response.json["messages"][0]["usage"] == most
    assert sums(alice, chat) == (2 * 10**12, 0)
