import json

from chatstore.fulltext.query import parse_query
from chatstore.interchange.matches import add_matches

CALL = {"type": "function", "function": {"name": "get_plan", "arguments": "{}"}}


def with_matches(q, *messages):
    texts = [json.dumps(each) for each in messages]
    added = add_matches(texts, parse_query(q))
    for text, after in zip(texts, added, strict=True):
        assert after.startswith(text[:-1])  # nothing else changes
    return [json.loads(each)["matches"] for each in added]


def test_each_message_says_where_it_matches():
    messages = [{"content": each} for each in ("a plan", "else", "", 'plan "plan"')]
    assert with_matches("plan", *messages) == [[[2, 6]], [], [], [[0, 4], [6, 10]]]
    assert add_matches([], parse_query("plan")) == []


def test_a_tool_call_matches_but_only_the_content_is_marked():
    message = {"content": "the fees", "tool_calls": [CALL]}
    assert with_matches("plan", message) == [[]]
    assert with_matches("plan fees", message) == [[[4, 8]]]
    assert with_matches("plan fees", {"content": "the fees"}) == [[]]


def test_a_message_without_its_content_has_no_matches():
    assert with_matches("plan", {"seq": 1}, {"content": None}) == [[], []]
