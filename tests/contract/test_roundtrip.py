"""P5: reading returns the stored values unchanged, on both databases."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from chatstore.store.facets import tag_value
from tests.support import JSON, SESSIONS, messages_url, session_url

MAX_INTEGER = 2**53 - 1
FEW = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    # All examples append to the same, growing database.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

storable = st.characters(exclude_categories=["Cs"], exclude_characters="\0")
texts = st.text(storable, max_size=200)
any_texts = st.text(
    st.one_of(storable, st.sampled_from("\0\ud800\udbff\udc00\udfff")), max_size=20
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-MAX_INTEGER, MAX_INTEGER)
    | st.floats(allow_nan=False, allow_infinity=False)
    | texts,
    lambda inner: st.lists(inner) | st.dictionaries(texts, inner),
    max_leaves=25,
)
objects = st.dictionaries(texts, values, max_size=8)


def canonical(value):
    """Return JSON text in which -0.0 and 0.0 differ, and 1, 1.0 and true; sort keys."""
    return json.dumps(value, sort_keys=True)


def read_back(client, url, body):
    """Store `body`; return it from the response, from a single read and from a list."""
    data = json.dumps(body).encode()
    sent = client.post(url, data=data, headers=JSON)
    assert sent.status_code == 201, sent.data
    alone = client.get(sent.headers["Location"])
    after = json.loads(sent.data)["seq"] - 1
    listed = client.get(f"{url}?after={after}")
    return [
        json.loads(sent.data),
        json.loads(alone.data),
        json.loads(listed.data)["messages"][0],
    ]


@FEW
@given(metadata=objects)
@example(metadata={"a": [-0.0, 0.0, 0, 1, 1.0, True, 1e20, 1e308, 1.5e-300, 5e-324]})
@example(metadata={"a": [MAX_INTEGER, -MAX_INTEGER, float(2**53), 1e16, 1e22, 0.1]})
@example(metadata={"": {"": [[], {}, "", None]}, "a/b~c": "\u2028\ufeff\uffff"})
@example(metadata={"e\u0301": 1, "\u00e9": 2, "A": 3, "a": 4})
def test_metadata_comes_back_value_for_value(alice, metadata):
    chat = alice.post(SESSIONS, json={}).json
    body = {"content": "x", "metadata": metadata}
    for message in read_back(alice, messages_url(chat), body):
        assert canonical(message["metadata"]) == canonical(metadata)


@FEW
@given(content=texts.filter(bool))
@example(content="e\u0301 \u00e9 \r\n \n \x01\x7f \U0001f469\u200d\U0001f467 \ufffe")
def test_content_comes_back_character_for_character(alice, content):
    chat = alice.post(SESSIONS, json={}).json
    for message in read_back(alice, messages_url(chat), {"content": content}):
        assert message["content"] == content
    preview = alice.get(session_url(chat)).json["last_message_preview"]
    assert preview == (content.strip()[:200] or None)


names = st.text(storable, min_size=1, max_size=255)
text_parts = st.builds(
    lambda text, more: more | {"type": "text", "text": text}, texts, objects
)
other_parts = st.builds(
    lambda kind, more: more | {"type": kind},
    names.filter(lambda kind: kind != "text"),
    objects,
)
calls = st.lists(
    objects
    | st.builds(
        lambda id_, name, arguments: {
            "function": {"arguments": arguments, "name": name},
            "type": "function",
            "id": id_,
        },
        names,
        names,
        texts | objects.map(json.dumps),
    ),
    min_size=1,
    max_size=3,
)
usages = st.dictionaries(
    st.sampled_from(
        ["input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"]
    ),
    st.integers(0, MAX_INTEGER),
)
whole_messages = st.fixed_dictionaries(
    {"role": st.just("assistant")},
    optional={
        "content": st.none() | texts | st.lists(text_parts | other_parts, max_size=4),
        "tool_calls": calls,
        "tool_call_id": names,
        "name": names,
        "model": names,
        "refusal": texts,
        "annotations": st.lists(objects, max_size=2),
        "audio": objects,
        "function_call": objects,
        "usage": usages,
        "finish_reason": names,
        "metadata": objects,
    },
)


def joined_text(content):
    if not isinstance(content, list):
        return content or ""
    return "\n\n".join(part["text"] for part in content if part["type"] == "text")


@FEW
@given(body=whole_messages)
def test_a_whole_message_comes_back_value_for_value(alice, body):
    chat = alice.post(SESSIONS, json={}).json
    url, content = messages_url(chat), body.get("content")
    found = read_back(alice, url, body)
    expected = {"metadata": None} | body | {"content": joined_text(content)}
    if not isinstance(content, str):
        expected["parts"] = content
    for message in found:
        plain = {"id", "session_id", "seq", "timestamp"}
        assert message.keys() == expected.keys() | plain
        for name, value in expected.items():  # numbers and the order of keys included
            assert json.dumps(message[name]) == json.dumps(value)
    assert json.dumps(found[0]) == json.dumps(found[1]) == json.dumps(found[2])


@FEW
@given(
    name=st.none() | texts,
    documents=st.lists(texts, max_size=5),
    tags=st.lists(texts.map(str.strip).filter(bool), max_size=5, unique_by=tag_value),
)
def test_a_session_comes_back_as_it_was_sent(alice, name, documents, tags):
    body = {"name": name, "rag_document_ids": documents, "metadata_tags": tags}
    made = alice.post(SESSIONS, data=json.dumps(body), headers=JSON)
    assert made.status_code == 201, made.data
    chat = json.loads(alice.get(made.headers["Location"]).data)
    assert {field: chat[field] for field in body} == body


@FEW
@given(content=any_texts.filter(bool), key=any_texts, value=any_texts)
def test_any_text_is_kept_or_refused(alice, content, key, value):
    chat = alice.post(SESSIONS, json={}).json
    body = {"content": content, "metadata": {key: [value]}}
    url = messages_url(chat)
    response = alice.post(url, data=json.dumps(body), headers=JSON)
    # json.dumps joins two surrogate halves into one character, so do the same here.
    read = json.loads(json.dumps(body))
    texts = read["content"], *read["metadata"], *next(iter(read["metadata"].values()))
    is_storable = all("\0" not in text and is_encodable(text) for text in texts)
    assert response.status_code == (201 if is_storable else 422)
    messages = alice.get(url).json["messages"]
    kept = [{"content": m["content"], "metadata": m["metadata"]} for m in messages]
    assert kept == ([read] if is_storable else [])


def is_encodable(text):
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_metadata_may_nest_as_deep_as_the_limit(alice, make_session, opening):
    # The body is the first level, metadata the second.
    closing = "]" if opening == "[" else "}"
    inner = "1" if opening == '{"a":' else ""
    nested = json.loads(f'{{"a": {opening * 30}{inner}{closing * 30}}}')
    body = {"content": "x", "metadata": nested}
    for message in read_back(alice, messages_url(make_session()), body):
        assert message["metadata"] == nested
