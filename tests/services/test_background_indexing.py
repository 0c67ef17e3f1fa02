from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import event, text

from chatstore.clock import Deadline
from chatstore.db import db, prepared, run_write
from chatstore.fulltext.index_format import MESSAGES, fts5_words
from chatstore.services.background import background_worker_of
from chatstore.services.background_indexing import finish_indexing
from chatstore.store.messages import append_messages
from chatstore.store.search import entries, rebuild
from chatstore.store.sessions import delete_session
from chatstore.store.verify.checks import CHECKS
from tests.support import LiveServer, on_sqlite, session_url, wait_until
from tests.support.searches import hits
from tests.support.statements import recorded_statements

(SEARCH,) = [check for check in CHECKS if check.name == "search"]
TEXTS = [f"number{number} of a large batch" for number in range(12)]

pytestmark = on_sqlite


@pytest.fixture
def small_steps(monkeypatch):
    """An append writes the entries of two messages; each later step writes three."""
    words = fts5_words(TEXTS[0]).count(" ")
    monkeypatch.setattr(entries, "APPEND_WORDS", 2 * words)
    monkeypatch.setattr(rebuild, "BATCH", 3)


@pytest.fixture
def chat(app, make_session, small_steps):
    return make_session()


def append(chat):
    turns = [{"role": "user", "content": each, "metadata": None} for each in TEXTS]
    return run_write(append_messages, chat.id, owner_id=chat.owner_id, turns=turns)


def pending():
    db.session.remove()
    query = text("SELECT id FROM message_index_pending ORDER BY id")
    return list(db.session.scalars(query))


def violations():
    db.session.remove()
    return list(SEARCH.find())


def test_an_append_writes_few_entries_and_marks_the_others(app, chat):
    with app.app_context():
        ids = [each.id for each in append(chat)]
        assert pending() == ids[2:]
        assert [
            len(hits(f"number{number}", owner_id=chat.owner_id)) for number in (0, 1, 2)
        ] == [1, 1, 0]


def test_a_message_whose_entry_is_still_to_come_is_no_violation(app, chat):
    with app.app_context():
        append(chat)
        assert violations() == []


def test_an_entry_that_is_neither_there_nor_marked_is_a_violation(app, chat):
    with app.app_context():
        last = append(chat)[-1].id
        run_write(
            db.session.execute,
            text(f"DELETE FROM message_index_pending WHERE id = {last}"),
        )
        assert violations() == [
            f"message {last} has a missing or wrong entry in the search index"
        ]


def test_each_step_is_small_and_committed(app, chat):
    left = []

    def look(session):
        with db.engine.connect() as connection:
            left.append(
                connection.scalar(text("SELECT count(*) FROM message_index_pending"))
            )

    with app.app_context():
        append(chat)
        event.listen(db.session, "after_commit", look)
        try:
            assert finish_indexing()
        finally:
            event.remove(db.session, "after_commit", look)
        assert sorted(set(left), reverse=True) == [10, 7, 4, 1, 0]
        assert pending() == [] and violations() == []
        assert len(hits("large batch", owner_id=chat.owner_id)) == 12


def test_an_append_prepares_only_the_words_that_it_writes(app, chat):
    with app.app_context():
        texts = ((each, ["o"]) for each in TEXTS)
        assert len(entries.words_of_new(texts)) == 2
        # The third text shows that the bound is reached, and no further one is read.
        assert len(list(texts)) == len(TEXTS) - 3


def test_the_words_are_made_before_the_transaction(app, chat):
    with app.app_context():
        append(chat)
        with recorded_statements() as preparing:
            write = prepared(rebuild.index_pending, until=rebuild.last_pending())
        db.session.remove()
        with recorded_statements() as writing:
            run_write(write)
    assert [each for each in preparing if "content" in each]
    assert not [each for each in writing if "content" in each]


def test_a_batch_is_found_once_it_is_answered(alice, chat):
    batch = {"messages": [{"role": "user", "content": each} for each in TEXTS]}
    answer = alice.post(f"{session_url(chat)}/messages/batch", json=batch)
    assert answer.status_code == 201
    with alice.application.app_context():
        assert pending() == [] and violations() == []


def test_messages_deleted_meanwhile_are_passed_over(app, chat, make_session):
    other = make_session()
    with app.app_context():
        append(chat)
        append(other)
        run_write(delete_session, chat.id, owner_id=chat.owner_id)
        assert finish_indexing()
        assert pending() == [] and violations() == []
        assert len(hits("large batch", owner_id=chat.owner_id)) == 12


def test_reindex_leaves_nothing_pending(app, chat):
    with app.app_context():
        append(chat)
        last = 0
        while batch := run_write(rebuild.reindex_batch, MESSAGES, after=last):
            last = batch.last
        assert pending() == [] and violations() == []


def test_four_at_once_write_each_entry_once(app, chat):
    written = []

    def note(connection, cursor, statement, parameters, context, executemany):
        if "INTO message_index " in statement:
            written.append(len(parameters))

    def finish(_):
        with app.app_context():
            return finish_indexing()

    with app.app_context():
        append(chat)
        event.listen(db.engine, "before_cursor_execute", note)
        try:
            with ThreadPoolExecutor(4) as threads:
                assert all(threads.map(finish, range(4)))
        finally:
            event.remove(db.engine, "before_cursor_execute", note)
        assert written == [3, 3, 3, 1]
        assert violations() == []


def test_what_a_deadline_cuts_off_is_finished_in_the_background(
    alice, chat, monkeypatch
):
    app = alice.application
    with app.app_context():
        append(chat)
        assert not finish_indexing(Deadline(0))
        assert len(pending()) == 7
        background_worker_of(app).start()
        wait_until(lambda: pending() == [])
        assert violations() == []


def test_an_error_after_the_commit_does_not_fail_the_append(alice, chat, caplog):
    app = alice.application
    with app.app_context():
        run_write(
            db.session.execute,
            text(
                "CREATE TRIGGER obstacle BEFORE DELETE ON message_index_pending"
                " BEGIN SELECT raise(ABORT, 'not now'); END"
            ),
        )
    batch = {"messages": [{"role": "user", "content": each} for each in TEXTS]}
    answer = alice.post(f"{session_url(chat)}/messages/batch", json=batch)
    assert answer.status_code == 201
    assert "not now" in caplog.text
    with app.app_context():
        assert len(pending()) == 10
        run_write(db.session.execute, text("DROP TRIGGER obstacle"))
        background_worker_of(app).start()
        wait_until(lambda: pending() == [])


def test_a_server_that_starts_writes_what_a_killed_one_left(
    app, chat, database_url, tmp_path
):
    with app.app_context():
        append(chat)
        assert pending()
        with LiveServer(tmp_path, database_url=database_url):
            wait_until(lambda: pending() == [])
            assert violations() == []
