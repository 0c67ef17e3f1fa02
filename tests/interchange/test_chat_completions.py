import json

import pytest

from chatstore.fulltext.words import INDEXED_CHARACTERS
from chatstore.interchange.chat_completions import (
    as_request_message,
    request_messages,
    search_text,
    text_of,
)

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_plan", "arguments": '{"need": "travel"}'},
}


def text_part(text):
    return {"type": "text", "text": text}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("hi", "hi"),
        ("", ""),
        (None, ""),
        ([], ""),
        ([IMAGE], ""),
        ([text_part("a"), IMAGE, text_part("b")], "a\n\nb"),
        ([text_part(""), text_part("b")], "\n\nb"),
        ([{"type": "input_text", "text": "a"}], ""),
    ],
)
def test_the_text_of_a_content_is_its_text_parts(content, text):
    assert text_of(content) == text


def function_call(name, arguments):
    return {"type": "function", "function": {"name": name, "arguments": arguments}}


@pytest.mark.parametrize(
    ("text", "extra", "searched"),
    [
        ("a", {}, None),
        ("a", {"tool_calls": None, "model": "m"}, None),
        ("a", {"tool_calls": []}, None),
        ("a", {"tool_calls": [{}]}, None),
        ("", {"tool_calls": [CALL]}, 'get_plan\n{"need": "travel"}'),
        ("a", {"tool_calls": [CALL]}, 'a\nget_plan\n{"need": "travel"}'),
        (
            "",
            {"tool_calls": [function_call("f", ""), CALL]},
            'f\nget_plan\n{"need": "travel"}',
        ),
        ("", {"function_call": {"name": "f", "arguments": "[1]"}}, "f\n[1]"),
        (
            "",
            {"tool_calls": [{"type": "custom", "custom": {"name": "f", "input": "x"}}]},
            "f\nx",
        ),
        ("", {"tool_calls": [{"name": "f", "arguments": {"a": 1}}]}, 'f\n{"a":1}'),
        ("", {"tool_calls": [function_call(1, True)]}, None),
    ],
)
def test_search_finds_names_and_arguments_of_tool_calls(text, extra, searched):
    assert search_text(text, extra) == searched


@pytest.mark.parametrize(
    ("arguments", "searched"),
    [
        (r'{"a": "caf\u00e9"}', '{"a": "café"}'),
        (r'{"a": "one\ntwo\ttabs \"q\" \/ \\"}', '{"a": "one\ntwo\ttabs "q" / \\"}'),
        (r'["\ud83d\ude00", "\ud83d", "\u0000"]', '["😀", "�", "�"]'),
        (r'{"a": 12345678901234567890.50}', '{"a": 12345678901234567890.50}'),
        (r'{"a": "\q \u12"}', r'{"a": "\q \u12"}'),
        (r"a regex \d\n", r"a regex \d\n"),
    ],
)
def test_search_reads_json_without_its_escapes(arguments, searched):
    calls = {"tool_calls": [{"arguments": arguments}]}
    assert search_text("", calls) == searched


def test_the_text_to_search_is_cut_where_the_index_ends():
    calls = {"tool_calls": [function_call("f", "x" * INDEXED_CHARACTERS)] * 3}
    assert len(search_text("a", calls)) == INDEXED_CHARACTERS + 1


@pytest.mark.parametrize(
    ("stored", "sent"),
    [
        ({"content": "hi"}, {"content": "hi"}),
        ({"content": ""}, {"content": ""}),
        ({"content": "a", "parts": [IMAGE, text_part("a")]}, {}),
        ({"content": "", "parts": []}, {"content": ""}),
        ({"content": "", "parts": None}, {"content": ""}),
        ({"content": "", "parts": None, "tool_calls": []}, {"content": ""}),
        (
            {"content": "", "parts": None, "tool_calls": [CALL]},
            {"content": None, "tool_calls": [CALL]},
        ),
        ({"content": "", "tool_calls": [CALL]}, {"content": "", "tool_calls": [CALL]}),
        (
            {"content": "", "parts": None, "refusal": "No."},
            {"content": None, "refusal": "No."},
        ),
        (
            {"content": "", "parts": None, "audio": {"id": "a1", "data": "AA=="}},
            {"content": None, "audio": {"id": "a1"}},
        ),
        (
            {"content": "21 °C", "tool_call_id": "call_1", "name": "get_plan"},
            {"content": "21 °C", "tool_call_id": "call_1", "name": "get_plan"},
        ),
        (
            {
                "content": "x",
                "model": "m",
                "usage": {"input_tokens": 1},
                "finish_reason": "stop",
                "created_at": "2026-01-02T03:04:05.000000Z",
                "annotations": [{"type": "url_citation"}],
                "metadata": {"a": 1},
                "seq": 1,
            },
            {"content": "x"},
        ),
    ],
)
def test_a_request_takes_a_message_as_it_was(stored, sent):
    expected = sent or {"content": stored["parts"]}
    message = as_request_message({"role": "assistant"} | stored)
    assert message == {"role": "assistant"} | expected
    assert list(message)[:2] == ["role", "content"]


def test_a_request_has_no_deleted_message():
    kept, deleted = {"role": "user", "content": "é"}, "2026-01-02T03:04:05.000000Z"
    texts = [kept, kept | {"content": "", "deleted_at": deleted}]
    sent = request_messages(map(json.dumps, texts))
    assert sent == ['{"role":"user","content":"é"}']
