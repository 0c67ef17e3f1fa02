"""A request computes the words of its texts before it waits for a lock."""

import sys
from contextlib import contextmanager

import pytest
from click.testing import CliRunner

from chatstore.cli import main
from chatstore.db import (
    database_state,
    db,
    is_in_transaction,
    prepared,
    run_transaction,
    run_write,
)
from chatstore.fulltext import index_format
from chatstore.fulltext.index_format import MESSAGES
from chatstore.store.messages import append_message
from chatstore.store.search import rebuild
from chatstore.store.sessions import delete_session
from tests.support import SESSIONS, messages_url, session_url
from tests.support.breakage import be_refused_for_now
from tests.support.searches import violations

MAKERS = {index_format.fts5_words.__code__, index_format.tsvector_words.__code__}


@contextmanager
def watched_words(lock_of):
    """Yield a list: for each text made into words, whether a lock was held."""
    held = []

    def look(frame, event, _):
        if event == "call" and frame.f_code in MAKERS:
            lock = lock_of()
            held.append(is_in_transaction() or bool(lock and lock._depth))

    sys.setprofile(look)
    try:
        yield held
    finally:
        sys.setprofile(None)


@pytest.fixture
def watched(app):
    return watched_words(lambda: database_state(app).writer_lock)


TURNS = {"messages": [{"content": f"plan {number}"} for number in range(5)]}


@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "k"}])
@pytest.mark.parametrize(
    ("method", "place", "body", "texts"),
    [
        ("POST", "messages", {"content": "a plan"}, 1),
        ("POST", "batch", TURNS, 5),
        ("POST", "list", {"name": "a plan"}, 1),
        ("PATCH", "session", {"name": "a plan"}, 1),
        ("PATCH", "message", {"content": "a plan"}, 1),
    ],
)
def test_a_request_makes_its_words_before_it_waits(
    alice, make_session, watched, method, place, body, texts, headers
):
    chat = make_session(messages=1)
    (first,) = alice.get(messages_url(chat)).json["messages"]
    urls = {
        "message": f"{messages_url(chat)}/{first['id']}",
        "messages": messages_url(chat),
        "batch": f"{messages_url(chat)}/batch",
        "list": SESSIONS,
        "session": session_url(chat),
    }
    with watched as held:
        answer = alice.open(urls[place], method=method, json=body, headers=headers)
    assert answer.status_code in (200, 201)
    assert held == [False] * texts


def test_words_are_made_once_however_often_a_transaction_is_run(
    app, make_session, watched
):
    chat, attempts = make_session(), []

    def fail_twice_then_append(append):
        attempts.append(append)
        if len(attempts) < 3:
            be_refused_for_now()
        return append()

    with app.app_context(), watched as held:
        append = prepared(append_message, chat.id, owner_id="local", content="a plan")
        message = run_transaction(lambda: fail_twice_then_append(append))
    assert (message.seq, len(attempts), held) == (1, 3, [False])


def test_reindexing_makes_words_between_its_transactions(
    app, make_session, database_url, watched
):
    make_session(messages=7, name="a plan")
    with app.app_context(), watched as held:
        last = 0
        while batch := run_write(rebuild.reindex_batch, MESSAGES, after=last):
            last = batch.last
    assert held == [False] * 7
    environ = {"CHATSTORE_DATABASE_URL": database_url, "CHATSTORE_SECRET_KEY": "x"}
    result = CliRunner().invoke(main, ["reindex"], env=environ)
    assert (result.exit_code, result.output) == (0, "indexed 7 messages, 1 name\n")
    with app.app_context():
        assert violations() == []


def test_a_batch_of_reindexing_is_bounded_in_bytes(app, make_session):
    chat = make_session()
    with app.app_context():
        for size in (10, 10, 10, 40, 10):
            run_write(append_message, chat.id, owner_id="local", content="x" * size)
        counts, last = [], 0
        while batch := run_write(
            rebuild.reindex_batch, MESSAGES, after=last, max_bytes=25
        ):
            last = batch.last
            counts.append(batch.count)
    assert counts == [2, 1, 1, 1]


def test_a_row_that_is_deleted_meanwhile_gets_no_entry(app, make_session):
    chat, kept = make_session(messages=2), make_session(messages=1)
    with app.app_context():
        write = prepared(rebuild.reindex_batch, MESSAGES, after=0)
        run_write(delete_session, chat.id, owner_id=chat.owner_id)
        assert run_transaction(write).count == 3
        assert violations() == []
        assert db.session.get(type(kept), kept.id) is not None
