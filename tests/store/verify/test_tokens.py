import pytest

from chatstore.db import run_write
from chatstore.store.messages import append_message
from chatstore.store.trash import trash_session
from chatstore.store.verify.checks import CHECKS
from tests.support.breakage import damage_rows

USAGE = {"usage": {"input_tokens": 3, "output_tokens": 2}}
DAMAGES = {
    "a sum is lost": ("UPDATE sessions SET input_tokens = 0", 0, 4, 6, 4),
    "a sum is too great": ("UPDATE sessions SET output_tokens = 5", 6, 5, 6, 4),
    "a usage is lost": (
        "UPDATE chat_messages SET extra = NULL WHERE seq = 2",
        6,
        4,
        3,
        2,
    ),
}


def violations():
    return {check.name: found for check in CHECKS if (found := list(check.find()))}


@pytest.fixture
def chat(db_session, make_session):
    chat = make_session(messages=1)
    for _ in range(2):
        run_write(append_message, chat.id, owner_id="local", content="x", extra=USAGE)
    return chat


def test_right_sums_are_accepted(chat, make_session):
    make_session()
    assert violations() == {}


@pytest.mark.parametrize("is_trashed", [False, True])
@pytest.mark.parametrize("damage", DAMAGES)
def test_wrong_sums_are_found(chat, database_url, damage, is_trashed):
    if is_trashed:
        run_write(trash_session, chat.id, owner_id="local")
    statement, *counts = DAMAGES[damage]
    damage_rows(database_url, statement)
    sentence = (
        "session {} has {} input and {} output tokens, but its messages have {} and {}"
    )
    assert violations() == {"tokens": [sentence.format(chat.id, *counts)]}
