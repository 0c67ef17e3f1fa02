"""Responses contain exactly what the schemas define, however they are built."""

import json
from datetime import UTC, datetime
from uuid import UUID

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from marshmallow import Schema, fields
from sqlalchemy import delete, insert, select

from chatstore.enums import Archived, Role
from chatstore.models import ChatSession, Message
from chatstore.schemas.dumping import compile_dump, compile_dump_all
from chatstore.schemas.fields import Instant
from chatstore.schemas.messages import PlainMessageSchema
from chatstore.schemas.sessions import SessionPageSchema, SessionSchema
from chatstore.store.filters import SessionFilters
from chatstore.store.messages import MessageRange, list_messages
from chatstore.store.session_lists import SessionListing, list_sessions
from chatstore.store.sessions import get_session_json

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
INSTANTS = st.datetimes(
    min_value=datetime(1000, 1, 1), timezones=st.just(UTC)
)  # PostgreSQL and RFC 3339 agree on four digits
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below),
    max_leaves=5,
)
CHATS = st.fixed_dictionaries(
    {
        "id": st.uuids(version=4),
        "number": st.integers(1, 2**63 - 1),
        "owner_id": st.just("alice"),
        "name": st.none() | TEXTS.map(lambda text: text[:255]),
        "created_at": INSTANTS,
        "last_updated_at": INSTANTS,
        "llm_model_name": TEXTS.map(lambda text: text[:255]),
        "rag_document_ids": st.lists(TEXTS, max_size=3),
        "metadata_tags": st.lists(TEXTS, max_size=3),
        "message_count": st.integers(0, 2**31 - 1),
        "last_message_preview": st.none() | TEXTS.map(lambda text: text[:200]),
        "pinned": st.booleans(),
        "archived_at": st.none() | INSTANTS,
    }
)
TURNS = st.fixed_dictionaries(
    {
        "seq": st.integers(1, 2**31 - 2),
        "timestamp": INSTANTS,
        "role": st.sampled_from(list(Role)),
        "content": TEXTS,
        "metadata_": st.none() | st.dictionaries(TEXTS, VALUES, max_size=3),
    }
)
# Values that JSON libraries and databases often get wrong.
ODD = {
    "numbers": [
        1e20,
        5e-324,
        -0.0,
        1.0,
        2**53 - 1,
        -(2**53) + 1,
        1.7976931348623157e308,
    ],
    "texts": [
        "\u2028\u2029",
        "😀",
        '"\\/\b\f\n\r\t',
        "\x01\x1e\x1f\x7f\x85",
        "\ufeff%s%%",
    ],
    "": {"\x1e": [None, True, False, {}, []]},
}
made_of_anything = settings(
    max_examples=50,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def exactly(text):
    """Parse JSON with numbers as text, so that 1.0 differs from 1 and -0.0 from 0.0."""
    return json.loads(text, parse_float=str, parse_int=str)


def sent(dumped):
    return orjson.loads(orjson.dumps(dumped))


@made_of_anything
@given(values=CHATS)
@example(
    values={
        "number": 1,
        "id": UUID("0bbbbbbb-0000-4000-8000-00000000000f"),
        "owner_id": "alice",
        "name": "".join(ODD["texts"]),
        "created_at": datetime(1000, 1, 1, tzinfo=UTC),
        "last_updated_at": datetime(2199, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
        "llm_model_name": "%s",
        "rag_document_ids": ODD["texts"],
        "metadata_tags": ODD["texts"],
        "message_count": 2**31 - 1,
        "last_message_preview": "".join(ODD["texts"]),
        "pinned": True,
        "archived_at": None,
        "head_seq": None,
    }
)
def test_a_session_is_sent_as_its_schema_dumps_it(db_session, values):
    db_session.execute(delete(ChatSession))
    db_session.execute(insert(ChatSession), [values])
    model = db_session.scalars(select(ChatSession)).one()
    expected = SessionSchema().dump(model)
    dump = compile_dump(SessionSchema())
    text = get_session_json(model.id, owner_id="alice").text
    assert orjson.loads(text) == sent(dump(text)) == sent(dump(model)) == expected
    listing = SessionListing(SessionFilters(archived=Archived.ANY))
    listed = list_sessions(owner_id="alice", limit=2, listing=listing).items
    assert list(listed) == [text]
    page = {"sessions": listed, "next_cursor": None, "previous_cursor": "x"}
    assert sent(compile_dump(SessionPageSchema())(page)) == {
        "sessions": [expected],
        "next_cursor": None,
        "previous_cursor": "x",
    }
    db_session.rollback()


@made_of_anything
@given(values=TURNS)
@example(
    values={
        "seq": 1,
        "timestamp": datetime(2026, 1, 2, tzinfo=UTC),
        "role": Role.TOOL,
        "content": "".join(ODD["texts"]),
        "metadata_": ODD,
    }
)
def test_a_message_is_sent_as_its_schema_dumps_it(db_session, make_session, values):
    chat = make_session(owner_id="alice")
    db_session.execute(delete(Message))
    db_session.execute(insert(Message), [values | {"session_id": chat.id}])
    model = db_session.scalars(select(Message)).one()
    expected = PlainMessageSchema().dump(model)
    assert sent(compile_dump(PlainMessageSchema())(model)) == expected
    (text,) = list_messages(chat.id, owner_id="alice", wanted=MessageRange()).messages
    assert exactly(text) == exactly(orjson.dumps(expected))
    db_session.rollback()


class EveryKind(Schema):
    instant = Instant(required=True)
    number = fields.Float(required=True)
    day = fields.Date(required=True)
    flags = fields.List(fields.Boolean(), required=True)
    renamed = fields.String(required=True, data_key="other", attribute="inner")
    left_out = fields.Integer()


def test_a_field_of_any_kind_is_sent_as_it_dumps_itself():
    value = {
        "instant": datetime(2026, 1, 2, tzinfo=UTC),
        "number": 1.5,
        "day": datetime(2026, 1, 2).date(),
        "flags": [True, False],
        "inner": "x",
    }
    dumped = sent(compile_dump(EveryKind())(value))
    assert dumped == EveryKind().dump(value)
    assert "left_out" not in dumped


@pytest.mark.parametrize("many", [0, 1, 3])
def test_many_are_sent_in_their_order(many):
    values = [{"status": str(number)} for number in range(many)]
    shape = Schema.from_dict({"status": fields.String(required=True)})()
    assert compile_dump_all(shape)(values) == values
