import base64
import json
import random
from functools import partial

import pytest
from sqlalchemy import update

from chatstore.db import db, run_write, transaction
from chatstore.enums import Role
from chatstore.models import Message
from chatstore.store import feedback, message_fields, messages
from chatstore.store.message_fields import measures_texts
from chatstore.store.messages import MessageRange, list_messages
from tests.support.trees import plant

EXTRA = {
    "parts": [{"type": "text", "text": "é\n"}],
    "tool_calls": [{"id": "1", "n": 1.0, "big": 1e22}],
    "tool_call_id": 'quo"te',
    "name": "数据",
    "model": "m",
    "usage": {"input_tokens": 3},
    "finish_reason": "stop",
    "refusal": "\u2028 no",
    "annotations": [],
    "audio": {"id": "a"},
    "function_call": {"name": "f", "arguments": "{}"},
    "created_at": "2026-01-31T09:00:00.000000Z",
}
NAMES = [
    *(each.name for each in message_fields._ALWAYS),
    *(each.name for each in message_fields._IF_GIVEN),
    *message_fields.EXTRA_FIELDS,
]


@pytest.fixture
def chat(db_session, make_session):
    chat = make_session(owner_id="alice")
    append = partial(run_write, messages.append_message, chat.id, owner_id="alice")
    append(content="plain")
    append(content="é\n", metadata={"k": [1.0, None]}, extra=EXTRA)
    third = append(content="again", role=Role.ASSISTANT, parent_seq=1)
    with transaction():
        feedback.set_feedback(
            chat.id, third.id, owner_id="alice", feedback={"rating": 1}
        )
    return chat


def listed(chat, fields=None, **wanted):
    wanted = MessageRange(fields=fields, **wanted)
    chunk = list_messages(chat.id, owner_id="alice", wanted=wanted)
    return [json.loads(each) for each in chunk.messages]


def test_the_test_has_every_extra_field():
    assert set(EXTRA) == set(message_fields.EXTRA_FIELDS)


@pytest.mark.parametrize("name", NAMES)
def test_a_field_has_the_same_value_alone(chat, name):
    expected = [{name: each[name]} if name in each else {} for each in listed(chat)]
    assert listed(chat, (name,)) == expected
    some = (*dict.fromkeys(("id", name)),)
    assert listed(chat, some) == [
        {"id": whole["id"], **part}
        for whole, part in zip(listed(chat), expected, strict=True)
    ]


def test_all_fields_together_are_the_whole_message(chat):
    assert listed(chat, tuple(NAMES)) == listed(chat)


@pytest.mark.parametrize("content", ["", "x" * 199, "😀é" * 150, "\n \"'\\\t%s"])
def test_a_preview_has_the_first_200_characters(db_session, make_session, content):
    chat = make_session(owner_id="alice")
    run_write(
        messages.append_message,
        chat.id,
        owner_id="alice",
        content=content,
        metadata={"k": 1},
    )
    assert listed(chat, ("preview",)) == [{"preview": content[:200]}]


def test_one_message_has_the_chosen_fields_and_its_own_tag(chat):
    third = listed(chat)[2]
    read = partial(messages.get_message_json, chat.id, third["id"], owner_id="alice")
    whole, part = read(), read(fields=("seq", "preview", "feedback"))
    assert json.loads(part.text) == {
        "seq": 3,
        "preview": "again",
        "feedback": third["feedback"],
    }
    assert part[1:] == whole[1:]


def test_large_contents_do_not_cut_a_list_without_them(db_session, make_session):
    chat = make_session(owner_id="alice")
    for _ in range(3):
        run_write(
            messages.append_message,
            chat.id,
            owner_id="alice",
            content="x" * (messages.CHUNK_BYTES + 1),
        )
    assert len(listed(chat)) == 1
    assert len(listed(chat, ("seq", "content"))) == 1
    assert len(listed(chat, ("seq", "preview"))) == 3


def test_a_chunk_of_previews_reads_a_bounded_amount_of_text(db_session):
    (chat_id,) = plant([[None] * 40])
    # Random text, as PostgreSQL counts compressed bytes.
    content = base64.b64encode(random.Random(1).randbytes(700_000)).decode()
    with transaction():
        db.session.execute(update(Message).values(content=content))
    read = partial(list_messages, chat_id, owner_id="alice")
    fitting = messages.CHUNK_BYTES * message_fields._READ_SHARE // len(content)
    found = read(wanted=MessageRange(fields=("preview",))).messages
    assert fitting <= len(found) <= fitting * 4 // 3 < 50
    assert len(found) < 40 or db.engine.dialect.name == "postgresql"
    assert len(read(wanted=MessageRange(fields=("seq",))).messages) == 40


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (None, True),
        (("id", "seq", "role", "timestamp", "revision"), False),
        *(((name,), True) for name in ("content", "preview", "metadata", "usage")),
    ],
)
def test_texts_are_measured_only_if_they_are_read(fields, expected):
    assert measures_texts(fields) is expected


def test_callers_cannot_fill_the_memory_with_statements(chat):
    whole = messages._prepare_whole.cache_info().currsize
    for number in range(200):
        names = [name for bit, name in enumerate(NAMES) if number & 1 << bit]
        listed(chat, ("seq", *names))
    assert messages._prepare_chosen.cache_info().currsize <= 64
    assert messages._prepare_whole.cache_info().currsize <= max(1, whole)
