"""The JSON that the database builds is what the schemas dump."""

import json
import re
from datetime import UTC, datetime
from itertools import product
from uuid import UUID

import orjson
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert, select

from chatstore.db import db
from chatstore.enums import Archived, Order, Role, SessionSort
from chatstore.models import ChatSession, Message
from chatstore.schemas.dumping import compile_dump
from chatstore.schemas.messages import PlainMessageSchema
from chatstore.schemas.sessions import SessionPageSchema, SessionSchema
from chatstore.store import messages, session_lists
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
        "expires_at": st.none() | INSTANTS,
        "metadata_": st.dictionaries(TEXTS, VALUES, max_size=3),
        "head_seq": st.none() | st.integers(1, 2**31 - 1),
        "external_id": st.none() | TEXTS.map(lambda text: text[:255]),
        "forked_from_id": st.none() | st.uuids(version=4),
        "forked_from_seq": st.integers(1, 2**31 - 1),
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
        "expires_at": None,
        "metadata_": dict.fromkeys(ODD["texts"], ODD["texts"]),
        "head_seq": None,
        "external_id": "%s",
        "forked_from_id": UUID("0bbbbbbb-0000-4000-8000-00000000000f"),
        "forked_from_seq": 2**31 - 1,
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


def test_the_order_of_what_is_collected_is_written(db_session):
    prepared = [
        (messages._prepare_whole(messages._RangeShape(order, False, seqs)), 1)
        for order in Order
        for seqs in (False, True)
    ]
    for sort, first in product(SessionSort, (True, False)):
        listing = SessionListing(sort=sort, pinned_first=first)
        walks = session_lists._walks(listing, None)
        prepared.append(
            (session_lists._prepare(listing, walks, None, None), len(walks))
        )
    for each, parts in prepared:
        text = str(each._compiled_for(db.engine.dialect).text)
        aggregate = r"(?:group_concat|string_agg)\("
        ordered = rf"{aggregate}[^()]* ORDER BY [^()]*\)"
        assert len(re.findall(aggregate, text)) == parts, text
        assert len(re.findall(ordered, text)) == parts, text
