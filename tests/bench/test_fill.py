"""The generator's databases keep all promises and are the same for the same seed."""

from collections import Counter

import pytest
from sqlalchemy import func, select

from bench.fill import RARE_TAG, Plan, fill
from bench.texts import COMMON, PHRASE, RARE, Texts, chat_lengths
from chatstore.models import ChatSession, Message
from chatstore.store.verify.checks import CHECKS
from tests.support import count

PLAN = Plan(sessions=1000, messages=2000, long_sessions=(300,))


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def database_kind(request):
    return request.param


@pytest.fixture(scope="module")
def filled_url(database_kind, tmp_path_factory, request):
    """The URL of one database for all tests of the module, which only read it."""
    if database_kind == "sqlite":
        yield f"sqlite:///{tmp_path_factory.mktemp('filled') / 'chatstore.db'}"
        return
    server = request.getfixturevalue("postgres")
    name = server.create_database()
    yield server.url(name)
    server.drop_database(name)


@pytest.fixture(scope="module")
def filled(filled_url):
    return fill(filled_url, PLAN)


@pytest.fixture
def database_url(filled_url, filled):
    return filled_url


def test_what_is_filled_in_keeps_every_promise(filled, db_session):
    assert count(db_session, ChatSession) == 1001
    assert count(db_session, Message) == 2300
    assert [line for check in CHECKS for line in check.find()] == []


def test_the_long_session_is_named_by_its_length(filled, db_session):
    chat = db_session.get(ChatSession, filled["300"])
    assert chat.message_count == chat.last_seq == 300


def test_what_is_searched_for_is_planted(filled, db_session):
    def found(word: str) -> int:
        query = select(func.count()).where(Message.content.like(f"%{word}%"))
        return db_session.scalar(query)

    assert (found(RARE), found(COMMON), found(PHRASE)) == (10, 200, 2)


def test_one_session_in_a_thousand_has_the_rare_tag(filled, db_session):
    tags = Counter(
        tag
        for each in db_session.scalars(select(ChatSession.metadata_tags))
        for tag in each
    )
    assert tags[RARE_TAG] == 1
    assert tags["work"] > 10


def test_the_same_seed_makes_the_same_texts():
    first, second = (Texts(100, seed=7) for _ in range(2))
    assert [first.turn(1) for _ in range(20)] == [second.turn(1) for _ in range(20)]
    assert len(first.of_length(240)) == 240


def test_lengths_add_up_and_every_session_has_a_message():
    lengths = chat_lengths(1000, 10_000, seed=1)
    assert (len(lengths), sum(lengths), min(lengths) >= 1) == (1000, 10_000, True)
    assert max(lengths) > 50
