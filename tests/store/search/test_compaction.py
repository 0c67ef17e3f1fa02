import pytest
from sqlalchemy import text

from chatstore.db import db, run_write
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.store.messages import append_messages
from chatstore.store.search import compaction
from chatstore.store.sessions import delete_session
from chatstore.store.verify.checks import CHECKS
from tests.support import on_postgresql, on_sqlite

ALICE = {"owner_id": "alice"}


def has_word(index, word):
    """Whether some page of the index has the word, which FTS5 stores as it is."""
    db.session.remove()
    blocks = db.session.scalars(text(f"SELECT block FROM {index}_data"))
    return any(word.encode() in block for block in blocks)


def compact(index, pages=compaction.STEP_PAGES):
    """Merge all of the index; return the number of steps."""
    steps, is_first = 1, True
    while run_write(compaction.merge_step, index, is_first=is_first, pages=pages):
        steps, is_first = steps + 1, False
    return steps


def turn(content):
    return {"role": "user", "content": content, "metadata": None}


@pytest.fixture
def chats(db_session, make_session):
    """One session with a word of its own, and others with many words."""
    one = make_session(owner_id="alice", name="canary")
    others = [make_session(owner_id="alice", name=f"name{n}") for n in range(3)]
    run_write(append_messages, one.id, **ALICE, turns=[turn("canary word")])
    for number in range(30):
        words = " ".join(f"w{number}x{each}" for each in range(100))
        turns = [turn(words)]
        run_write(append_messages, others[number % 3].id, **ALICE, turns=turns)
    return [one, *others]


@on_sqlite
def test_the_words_of_what_was_deleted_go_with_a_merge(chats):
    for index in (MESSAGES, NAMES):
        assert not compaction.has_deleted_words(index)
        assert has_word(index, "canary")
    run_write(delete_session, chats[0].id, **ALICE)
    for index in (MESSAGES, NAMES):
        assert has_word(index, "canary") and compaction.has_deleted_words(index)
        compact(index)
        assert not has_word(index, "canary")
        assert not compaction.has_deleted_words(index)
    assert [each for check in CHECKS for each in check.find()] == []


@on_sqlite
def test_a_merge_takes_bounded_steps_between_which_others_write(chats):
    run_write(delete_session, chats[0].id, **ALICE)
    assert run_write(compaction.merge_step, MESSAGES, is_first=True, pages=1)
    new = turn("between")
    run_write(append_messages, chats[1].id, **ALICE, turns=[new])
    steps = 0
    while run_write(compaction.merge_step, MESSAGES, is_first=False, pages=1):
        steps += 1
    assert steps > 1
    assert not has_word(MESSAGES, "canary")
    assert has_word(MESSAGES, "between")
    assert [each for check in CHECKS for each in check.find()] == []


@on_postgresql
def test_postgresql_needs_none(chats):
    run_write(delete_session, chats[0].id, **ALICE)
    assert not compaction.has_deleted_words(MESSAGES)
