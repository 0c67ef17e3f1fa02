"""Messages with the fields of Chat Completions: parts, tool calls, models, usage."""

import json
from datetime import timedelta

import pytest
from sqlalchemy import update

from chatstore.db import db, transaction
from chatstore.models import Message
from tests.support import ANY_ID, API, assert_problem, messages_url, session_url

KEYED = pytest.mark.parametrize("key", [None, "k1"], ids=["plain", "keyed"])
IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
TEXT = {"type": "text", "text": "What is it?", "cache_control": {"type": "ephemeral"}}
CALL = {
    "type": "function",
    "id": "call_1",
    "function": {"arguments": '{"need": "tr\\u00e4vel"}', "name": "get_plan"},
}
USAGE = {"output_tokens": 7, "input_tokens": 11, "reasoning_tokens": 0}
# Bodies, and the members of the answer that differ from those of the body.
WHOLE = {
    "parts": (
        {"content": [TEXT, IMAGE, {"type": "text", "text": "And that?"}]},
        {"content": "What is it?\n\nAnd that?"},
    ),
    "a picture": ({"content": [IMAGE]}, {"content": ""}),
    "parts of an unknown type": (
        {"content": [{"type": "x-thought", "text": "hm", "n": [1.0, None]}]},
        {"content": ""},
    ),
    "no parts, with metadata": ({"content": [], "metadata": {"a": 1}}, {"content": ""}),
    "tool calls and null": (
        {"role": "assistant", "content": None, "tool_calls": [CALL, CALL]},
        {"content": "", "parts": None},
    ),
    "tool calls alone": (
        {"role": "assistant", "tool_calls": [CALL]},
        {"content": "", "parts": None},
    ),
    "tool calls and text": (
        {"role": "assistant", "content": "Wait.", "tool_calls": [CALL]},
        {},
    ),
    "a tool's result": (
        {"role": "tool", "content": "21 °C", "tool_call_id": "call_1", "name": "plan"},
        {},
    ),
    "an assistant that answered nothing": (
        {"role": "assistant", "content": ""},
        {},
    ),
    "an assistant that refused": (
        {"role": "assistant", "content": None, "refusal": "I cannot."},
        {"content": "", "parts": None},
    ),
    "a model and its usage": (
        {
            "role": "assistant",
            "content": "hi",
            "model": "gpt-4o-mini",
            "usage": USAGE,
            "finish_reason": "stop",
        },
        {},
    ),
    "what servers add": (
        {
            "role": "assistant",
            "content": "hi",
            "annotations": [{"type": "url_citation", "url_citation": {"n": 1e22}}],
            "audio": {"id": "a1", "data": "AA=="},
            "function_call": {"name": "f", "arguments": "{}"},
        },
        {},
    ),
    "a developer": ({"role": "developer", "content": "Be brief."}, {}),
    "an author": ({"role": "user", "content": "hi", "name": "ada"}, {}),
}


def expected_of(body, differences, chat):
    members = {"id": ANY_ID, "session_id": str(chat.id), "metadata": None}
    members |= {"role": "user"} | {k: v for k, v in body.items() if v is not None}
    if isinstance(body.get("content"), list):
        members["parts"] = body["content"]
    return members | differences


def in_order(value):
    return json.dumps(value)


@KEYED
@pytest.mark.parametrize("name", WHOLE)
def test_a_message_comes_back_whole(alice, make_session, name, key):
    chat, (body, differences) = make_session(), WHOLE[name]
    headers = {"Idempotency-Key": key} if key else {}
    response = alice.post(messages_url(chat), json=body, headers=headers)
    assert response.status_code == 201, response.data
    message = response.json
    assert message.pop("timestamp") and message.pop("seq") == 1
    assert message == expected_of(body, differences, chat)
    for field, value in message.items():
        if field in body and field not in differences:
            assert in_order(value) == in_order(body[field])
    alone = alice.get(response.headers["Location"])
    assert in_order(alone.json) == in_order(response.json)
    listed = alice.get(messages_url(chat)).json["messages"]
    assert in_order(listed) == in_order([response.json])
    if key:
        again = alice.post(messages_url(chat), json=body, headers=headers)
        assert again.headers["Idempotency-Replayed"] == "true"
        assert again.data == response.data


@KEYED
def test_a_batch_comes_back_whole(alice, make_session, key):
    chat = make_session()
    body = {"messages": [body for body, _ in WHOLE.values()]}
    headers = {"Idempotency-Key": key} if key else {}
    response = alice.post(f"{messages_url(chat)}/batch", json=body, headers=headers)
    assert response.status_code == 201, response.data
    found = response.json["messages"]
    for message, each in zip(found, WHOLE.values(), strict=True):
        assert message | expected_of(*each, chat) == message
    assert in_order(alice.get(messages_url(chat)).json["messages"]) == in_order(found)
    if key:
        again = alice.post(f"{messages_url(chat)}/batch", json=body, headers=headers)
        assert again.data == response.data


def test_a_plain_message_has_no_other_members(alice, make_session):
    nothing = dict.fromkeys(("tool_calls", "name", "model", "usage", "created_at"))
    response = alice.post(messages_url(make_session()), json={"content": "x"} | nothing)
    assert set(response.json) == {
        "id",
        "session_id",
        "seq",
        "timestamp",
        "role",
        "content",
        "metadata",
    }


REFUSED = {
    "nothing": ({}, "/content"),
    "null": ({"content": None}, "/content"),
    "null, with metadata": ({"content": None, "metadata": {"a": 1}}, "/content"),
    "null, by a tool": ({"content": None, "role": "tool"}, "/content"),
    "empty": ({"content": ""}, "/content"),
    "no parts": ({"content": []}, "/content"),
    "no tool calls": ({"content": None, "tool_calls": []}, "/content"),
    "a number": ({"content": 1}, "/content"),
    "an object": ({"content": {"type": "text", "text": "x"}}, "/content"),
    "a part that is text": ({"content": [TEXT, "x"]}, "/content/1"),
    "a part without a type": ({"content": [{"text": "x"}]}, "/content/0"),
    "a part with an empty type": ({"content": [{"type": ""}]}, "/content/0"),
    "a text part without text": ({"content": [TEXT, {"type": "text"}]}, "/content/1"),
    "a text part with a list": (
        {"content": [{"type": "text", "text": []}]},
        "/content/0",
    ),
    "an unknown role": ({"content": "x", "role": "function"}, "/role"),
    "one tool call": ({"content": "x", "tool_calls": CALL}, "/tool_calls"),
    "a tool call that is text": (
        {"content": "x", "tool_calls": ["f"]},
        "/tool_calls/0",
    ),
    "an empty call id": ({"content": "x", "tool_call_id": ""}, "/tool_call_id"),
    "a long name": ({"content": "x", "name": "n" * 256}, "/name"),
    "a long model": ({"content": "x", "model": "m" * 256}, "/model"),
    "usage without numbers": (
        {"content": "x", "usage": {"input_tokens": "1"}},
        "/usage/input_tokens",
    ),
    "negative usage": (
        {"content": "x", "usage": {"cached_tokens": -1}},
        "/usage/cached_tokens",
    ),
    "unknown usage": ({"content": "x", "usage": {"tokens": 1}}, "/usage/tokens"),
    "a time without a zone": (
        {"content": "x", "created_at": "2026-01-01T00:00:00"},
        "/created_at",
    ),
    "an unknown field": ({"content": "x", "thoughts": []}, "/thoughts"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_message_is_refused(alice, make_session, name):
    (body, place), chat = REFUSED[name], make_session()
    assert_problem(alice.post(messages_url(chat), json=body), 422, pointer=place)
    batch = {"messages": [{"content": "x"}, body]}
    response = alice.post(f"{messages_url(chat)}/batch", json=batch)
    assert_problem(response, 422, pointer=f"/messages/1{place}")
    assert alice.get(messages_url(chat)).json["messages"] == []


def json_size(value):
    return len(json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("content", lambda size: [{"type": "x", "url": "é" * 100 + "u" * size}]),
        ("tool_calls", lambda size: [{"function": {"arguments": "u" * size}}]),
        ("refusal", lambda size: "u" * size),
        ("annotations", lambda size: [{"u": "u" * size}]),
        ("audio", lambda size: {"data": "u" * size}),
    ],
    ids=["parts", "tool calls", "refusal", "annotations", "audio"],
)
def test_a_message_has_a_largest_size(make_app, make_session, field, value):
    limit = 2000
    alice = make_app(max_message_bytes=limit).test_client()
    url = messages_url(make_session())
    stored = "parts" if field == "content" else field
    size = limit - json_size({stored: value(0)})
    for extra, status in ((0, 201), (1, 422)):
        body = {"content": "x", "role": "assistant", field: value(size + extra)}
        response = alice.post(url, json=body)
        assert response.status_code == status, response.data
    assert_problem(response, 422, pointer=f"/{field}")
    (flaw,) = response.json["errors"]
    assert flaw["detail"] == (
        "It has 2001 bytes of JSON, more than 2000 (CHATSTORE_MAX_MESSAGE_BYTES)."
    )


def test_text_parts_count_as_content_too(make_app, make_session):
    alice = make_app(max_content_bytes=10).test_client()
    url = messages_url(make_session())
    for text, status in (("1234", 201), ("12345", 422)):
        parts = [{"type": "text", "text": "1234"}, {"type": "text", "text": text}]
        response = alice.post(url, json={"content": parts})
        assert response.status_code == status, response.data
    assert_problem(response, 422, pointer="/content")


# Original times


def test_history_keeps_its_times_and_the_timestamp_its_promise(
    alice, make_session, clock
):
    chat = make_session()
    clock.step = timedelta(0)
    times = ["2020-05-01T10:00:00.000000Z", "2019-01-01T00:00:00.500000Z", None]
    bodies = [{"content": "x", "created_at": each} for each in times]
    found = [
        *(alice.post(messages_url(chat), json=body).json for body in bodies),
        *alice.post(f"{messages_url(chat)}/batch", json={"messages": bodies}).json[
            "messages"
        ],
    ]
    assert [each.get("created_at") for each in found] == times * 2
    stamps = [each["timestamp"] for each in found]
    assert stamps == sorted(set(stamps)) and stamps[0] >= clock.iso[:20]
    assert alice.get(messages_url(chat)).json["messages"] == found
    assert alice.get(session_url(chat)).json["last_updated_at"] == stamps[-1]


def test_a_time_is_answered_in_the_form_of_all_times(alice, make_session):
    body = {"content": "x", "created_at": "2020-05-01t12:00:00.1234567+02:00"}
    response = alice.post(messages_url(make_session()), json=body)
    assert response.json["created_at"] == "2020-05-01T10:00:00.123456Z"


def test_a_time_is_in_the_past(alice, make_session, clock):
    url = messages_url(make_session())
    clock.step = timedelta(0)
    now = clock()
    for instant, status in ((now, 201), (now + timedelta(microseconds=1), 422)):
        body = {"content": "x", "created_at": instant.isoformat()}
        response = alice.post(url, json=body)
        assert response.status_code == status, response.data
    assert_problem(response, 422, pointer="/created_at")


# Messages for a request to a model


def as_requests(alice, chat, **query):
    response = alice.get(messages_url(chat), query_string={"format": "openai"} | query)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    return response.json


def test_messages_can_be_sent_to_a_model_as_they_were(alice, make_session):
    chat = make_session()
    sent = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [TEXT, IMAGE], "name": "ada"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "content": "21 °C", "tool_call_id": "call_1"},
        {"role": "assistant", "content": "A plan."},
    ]
    stored = [each | {"metadata": {"n": 1}, "model": "m"} for each in sent]
    response = alice.post(f"{messages_url(chat)}/batch", json={"messages": stored})
    assert response.status_code == 201
    found = as_requests(alice, chat)
    assert in_order(found) == in_order({"messages": sent, "has_more": False})
    page = as_requests(alice, chat, after=1, limit=2, order="desc")
    assert page == {"messages": [sent[4], sent[3]], "has_more": True}
    assert as_requests(alice, chat, role="tool")["messages"] == [sent[3]]


def test_deleted_messages_are_not_sent_to_a_model(alice, app, make_session):
    chat = make_session()
    body = {"messages": [{"content": f"m{seq}"} for seq in range(1, 1001)]}
    assert alice.post(f"{messages_url(chat)}/batch", json=body).status_code == 201
    # The first chunk of the stream then has no message, and the last has one.
    deleted = update(Message).where(Message.seq.notin_([601, 1000]))
    with app.app_context(), transaction():
        db.session.execute(deleted.values(content="", deleted_at=chat.created_at))
    assert [each["content"] for each in as_requests(alice, chat)["messages"]] == [
        "m601",
        "m1000",
    ]
    page = as_requests(alice, chat, limit=3, order="desc")
    assert page == {
        "messages": [{"role": "user", "content": "m1000"}],
        "has_more": True,
    }
    assert as_requests(alice, chat, limit=3) == {"messages": [], "has_more": True}


@pytest.mark.parametrize("bad", ["anthropic", "OPENAI", ""])
def test_an_unknown_format_is_refused(alice, make_session, bad):
    response = alice.get(f"{messages_url(make_session())}?format={bad}")
    assert_problem(response, 422, pointer="/format")


def test_another_owners_messages_cannot_be_sent(alice, make_session):
    chat = make_session(owner_id="bob", messages=1)
    assert_problem(alice.get(f"{messages_url(chat)}?format=openai"), 404)
    missing = f"{API}/sessions/00000000-0000-4000-8000-000000000000/messages"
    assert_problem(alice.get(f"{missing}?format=openai"), 404)
