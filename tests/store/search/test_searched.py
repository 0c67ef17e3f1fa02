"""Search finds what tool calls say, with the entries of appends and of a rebuild."""

import pytest

from chatstore.db import db, run_write
from chatstore.store.messages import append_message
from chatstore.store.search.searched import SEARCHED_BYTES
from tests.support.searches import damage, hits, new_chat, reindex, violations

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_tariff", "arguments": '{"need": "caf\\u00e9\\ntravel"}'},
}


@pytest.fixture
def chat(db_session):
    """A session with the messages "plan", a tool call, the result, and parts."""
    chat = new_chat(None, "plan")
    for content, role, extra in (
        (None, "assistant", {"tool_calls": [CALL]}),
        ("sunny beach", "tool", {"tool_call_id": "call_1"}),
        (
            [{"type": "text", "text": "a mountain"}, {"type": "text", "text": "hut"}],
            "user",
            None,
        ),
        ("I ask the server", "assistant", {"tool_calls": [CALL]}),
    ):
        run_write(
            append_message,
            chat.id,
            owner_id=chat.owner_id,
            content=content,
            role=role,
            extra=extra,
        )
    return chat


FOUND = {
    "get_tariff": [5, 2],
    "café": [5, 2],
    "travel": [5, 2],
    '"need café travel"': [5, 2],
    "sunny": [3],
    '"mountain hut"': [4],
    "server travel": [5],
    "plan": [1],
    "call_1": [],
}


@pytest.mark.parametrize("is_rebuilt", [False, True], ids=["appended", "rebuilt"])
def test_search_finds_parts_and_tool_calls(chat, is_rebuilt):
    if is_rebuilt:
        damage("DELETE FROM message_index", "DELETE FROM message_index")
        reindex()
    assert violations() == []
    for query, seqs in FOUND.items():
        assert sorted(hit.seq for hit in hits(query)) == sorted(seqs), query


def test_the_snippet_shows_the_tool_call(chat):
    (hit,) = hits("server travel")
    assert hit.snippet == 'I ask the server get_tariff {"need": "café travel"}'
    assert [hit.snippet[start:end] for start, end in hit.matches] == [
        "server",
        "travel",
    ]


def test_a_missing_entry_of_a_tool_call_is_reported(chat):
    first = "DELETE FROM message_index WHERE {} = 2"
    damage(first.format("rowid"), first.format("id"))
    assert len(violations()) == 1


def test_sizes_are_those_of_the_text_to_search(chat):
    sizes = [row[0] for row in db.session.execute(db.select(SEARCHED_BYTES))]
    assert sorted(sizes)[:2] == [4, 11]
