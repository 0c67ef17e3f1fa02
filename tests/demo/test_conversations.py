from datetime import timedelta

import pytest

from chatstore.demo.conversations import PREFIX, load_conversations
from chatstore.schemas.fields import Limits
from chatstore.schemas.messages import MessageCreateSchema
from chatstore.schemas.sessions import SessionCreateSchema
from chatstore.settings import Settings

CONVERSATIONS = load_conversations()
TURNS = [turn for each in CONVERSATIONS for turn in each.turns]


@pytest.mark.parametrize("each", CONVERSATIONS, ids=lambda each: each.external_id)
def test_the_api_would_accept_each_conversation(each):
    with Limits(Settings()):
        columns = {name: text for name, text in each.columns.items() if text}
        session = columns | {"external_id": each.external_id}
        assert SessionCreateSchema().load(session)["external_id"].startswith(PREFIX)
        for seq, turn in enumerate(each.turns, start=1):
            message = {"role": turn.role, "content": turn.content, **turn.extra}
            loaded = MessageCreateSchema().load(message)
            assert loaded["extra"] == (turn.extra or None)
            assert turn.parent_seq is None or 0 <= turn.parent_seq < seq


@pytest.mark.parametrize("each", CONVERSATIONS, ids=lambda each: each.external_id)
def test_each_conversation_is_in_the_past_and_goes_forward(each):
    offsets = each.offsets()
    assert offsets == sorted(offsets, reverse=True)
    assert offsets[-1] == each.ago > timedelta(0)
    calls = [
        call["id"] for turn in each.turns for call in turn.extra.get("tool_calls", ())
    ]
    answers = [turn.extra.get("tool_call_id") for turn in each.turns]
    assert calls == [answer for answer in answers if answer]


def test_there_is_something_of_everything():
    assert len(CONVERSATIONS) >= 25
    assert len({each.columns["llm_model_name"] for each in CONVERSATIONS}) >= 4
    assert max(len(each.turns) for each in CONVERSATIONS) > 600
    assert {key for each in CONVERSATIONS for key in each.changes} == {
        "archived",
        "pinned",
    }
    assert {turn.role for turn in TURNS} == {"system", "user", "assistant", "tool"}
    assert {turn.feedback.get("rating") for turn in TURNS} == {None, 1, -1}
    assert any(each.columns["rag_document_ids"] for each in CONVERSATIONS)
    text = "\n".join(turn.content for turn in TURNS)
    for sample in ("Umzug", "配列", "قانون", "fenêtre", "árbol", "```rust", "```sql"):
        assert sample in text or sample in str(CONVERSATIONS)
