"""The examples of messages in docs/api.md are accepted and answered as it says."""

import json
import re

import pytest

from tests.support import ROOT, messages_url

DOC = (ROOT / "docs" / "api.md").read_text("utf-8")
MESSAGES = DOC.partition("\n## Messages\n")[2].partition("\n## ")[0]
_, *BODIES = map(json.loads, re.findall(r"```json\n(.*?)```", MESSAGES, re.DOTALL))
COMMANDS = dict(re.findall(r"\n\$ (curl.*?[^\\])\n(\{[^\n]*\})\n", MESSAGES, re.DOTALL))


@pytest.fixture
def chat(alice, make_session):
    chat = make_session()
    for body in (
        {"content": "Which one suits me?", "metadata": {"tokens": 5}},
        {"role": "assistant", "content": "It depends."},
    ):
        assert alice.post(messages_url(chat), json=body).status_code == 201
    return chat


@pytest.mark.parametrize("body", BODIES, ids=["tool calls", "parts"])
def test_an_example_comes_back(alice, chat, body):
    message = alice.post(messages_url(chat), json=body).json
    if not isinstance(body["content"], str):
        body = body | {"parts": body["content"], "content": message["content"]}
    assert message | body == message
    sent = alice.get(f"{messages_url(chat)}?format=openai&after=2").json["messages"]
    assert sent[0]["content"] == body["parts"]


def own_members(answer):
    own = {"id", "session_id", "timestamp", "edited_at"}
    return {name: answer[name] for name in own & answer.keys()}


def test_the_commands_are_answered_as_the_page_says(alice, chat):
    commands = iter(COMMANDS.items())
    (append, appended), (read, listed) = next(commands), next(commands)
    (outline, outlined), (edit, edited) = commands
    query = outline.rpartition("?")[2].rstrip("'")
    answer = alice.get(f"{messages_url(chat)}?{query}").json
    expected = json.loads(outlined)
    expected["messages"][0] |= own_members(answer["messages"][0])
    assert answer == expected
    body = json.loads(append.partition(" -d '")[2].rstrip("'"))
    answer = alice.post(messages_url(chat), json=body).json
    assert answer == json.loads(appended) | own_members(answer)
    query = read.rpartition("?")[2].rstrip("'")
    assert alice.get(f"{messages_url(chat)}?{query}").json == json.loads(listed)
    first = alice.get(f"{messages_url(chat)}?limit=1").json["messages"][0]
    changes = json.loads(edit.partition(" -d '")[2].rstrip("'"))
    answer = alice.patch(f"{messages_url(chat)}/{first['id']}", json=changes).json
    assert answer == json.loads(edited) | own_members(answer)
