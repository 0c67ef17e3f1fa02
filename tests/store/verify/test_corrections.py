from datetime import timedelta

import pytest

from chatstore.db import run_write
from chatstore.store.edits import edit_message
from chatstore.store.erasures import delete_message
from chatstore.store.feedback import set_feedback
from chatstore.store.verify.checks import CHECKS
from tests.support import messages_url, session_url
from tests.support.breakage import damage_rows

# Message 1 is edited twice, 2 is deleted after an edit, 3 is rated.
DAMAGES = {
    "a revision is lost": (
        "revisions",
        "DELETE FROM message_revisions WHERE message_id = 1 AND revision = 1",
        "message 1 is at revision 3, but 1 earlier revisions are kept",
    ),
    "a revision has a later number": (
        "revisions",
        "UPDATE message_revisions SET revision = 9 WHERE message_id = 1"
        " AND revision = 2",
        "message 1 is at revision 3, but 2 earlier revisions are kept",
    ),
    "a revision has number 0": (
        "revisions",
        "UPDATE message_revisions SET revision = 3 WHERE message_id = 1"
        " AND revision = 1",
        "message 1 is at revision 3, but 2 earlier revisions are kept",
    ),
    "a message forgot that it was edited": (
        "revisions",
        "UPDATE chat_messages SET revision = 1 WHERE id = 1",
        "message 1 is at revision 1, but 2 earlier revisions are kept",
    ),
    "a revision belongs to no message": (
        "revisions",
        "INSERT INTO message_revisions (message_id, revision, content, written_at)"
        " SELECT 99, 1, content, timestamp FROM chat_messages WHERE id = 1",
        "message 99 is missing, but its revisions are kept",
    ),
    **{
        f"a deleted message has {column}": (
            "deleted",
            f"UPDATE chat_messages SET {column} = {value} WHERE id = 2",
            "message 2 was deleted, but some of it is left",
        )
        for column, value in {
            "content": "'x'",
            "metadata": "'{}'",
            "extra": "'{}'",
            "search_text": "'x'",
            "edited_at": "timestamp",
        }.items()
    },
    "a deleted message has a revision": (
        "deleted",
        "INSERT INTO message_revisions (message_id, revision, content, written_at)"
        " SELECT 2, 1, 'x', timestamp FROM chat_messages WHERE id = 2",
        "message 2 was deleted, but some of it is left",
    ),
    "an answer holds a deleted message": (
        "deleted",
        "UPDATE idempotency_records SET answer = '{}' WHERE key = 'k2'",
        "session {chat}: the stored answer with key 'k2' holds a deleted message",
    ),
    "an old answer holds a deleted message": (
        "deleted",
        "UPDATE idempotency_records SET first_seq = NULL, last_seq = NULL, answer ="
        """ '{"id":2,"session_id":"CHAT"}' WHERE key = 'k2'""",
        "session {chat}: the stored answer with key 'k2' holds a deleted message",
    ),
    "the answer of a creation holds a deleted message": (
        "deleted",
        "UPDATE idempotency_records SET request = 'POST /api/v1/sessions', answer ="
        " '{}', session_id = (SELECT id FROM sessions), last_seq = 9"
        " WHERE key = 'k2'",
        "session {chat}: the stored answer with key 'k2' holds a deleted message",
    ),
    "a rated message is not listed": (
        "feedback",
        "DELETE FROM message_feedback WHERE message_id = 3",
        "message 3: its feedback is listed wrongly or not at all",
    ),
    "a message is listed and not rated": (
        "feedback",
        "UPDATE chat_messages SET feedback = NULL WHERE id = 3",
        "message 3: its feedback is listed wrongly or not at all",
    ),
    "a message is listed with another rating": (
        "feedback",
        "UPDATE message_feedback SET rating = -1 WHERE message_id = 3",
        "message 3: its feedback is listed wrongly or not at all",
    ),
    "a rated message is listed for another owner": (
        "feedback",
        "UPDATE message_feedback SET owner_id = 'bob' WHERE message_id = 3",
        "message 3: its feedback is listed wrongly or not at all",
    ),
    "feedback of a missing message is listed": (
        "feedback",
        "INSERT INTO message_feedback (message_id, owner_id) VALUES (99, 'x')",
        "message 99 is missing, but its feedback is listed",
    ),
}


@pytest.fixture
def chat(alice, make_session):
    chat = make_session()
    for number in range(1, 5):
        alice.post(
            messages_url(chat),
            json={"content": f"m{number}"},
            headers={"Idempotency-Key": f"k{number}"},
        )
    return chat


@pytest.fixture
def corrected(app, chat):
    """Edit, delete and rate messages of the session."""
    mine = {"owner_id": chat.owner_id}
    with app.app_context():
        for message_id, content in ((1, "a"), (1, "b"), (2, "c")):
            changes = {"content": content}
            run_write(edit_message, chat.id, message_id, changes=changes, **mine)
        run_write(delete_message, chat.id, 2, **mine)
        run_write(set_feedback, chat.id, 3, feedback={"rating": 1}, **mine)
    return chat


def violations():
    return [
        (check.name, sentence)
        for check in CHECKS
        if check.name != "search"
        for sentence in check.find()
    ]


def test_nothing_is_wrong_with_what_the_store_wrote(corrected, db_session):
    assert violations() == []
    (search,) = [check for check in CHECKS if check.name == "search"]
    assert list(search.find()) == []


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_found(corrected, db_session, database_url, what):
    check, statement, sentence = DAMAGES[what]
    damage_rows(database_url, statement.replace("CHAT", str(corrected.id)))
    assert violations() == [(check, sentence.format(chat=corrected.id))]


def test_words_of_a_deleted_message_are_found(corrected, db_session, database_url):
    # The entry of a deleted message is that of an empty text. The words of message 4
    # stay in the index.
    damage_rows(
        database_url,
        "UPDATE chat_messages SET content = '', deleted_at = timestamp WHERE id = 4",
    )
    (search,) = [check for check in CHECKS if check.name == "search"]
    assert list(search.find()) == [
        "message 4 has a missing or wrong entry in the search index"
    ]


def test_a_fork_of_deleted_messages_is_right_whatever_the_clock_says(
    alice, chat, app, clock
):
    url = session_url(chat)
    assert alice.post(f"{url}/clear").status_code == 200
    clock.now -= timedelta(days=1)
    forked = alice.post(f"{url}/fork", json={}, headers={"Idempotency-Key": "fork"})
    assert forked.status_code == 201
    with app.app_context():
        assert [line for check in CHECKS for line in check.find()] == []


def test_a_restored_session_may_have_lost_messages_before(alice, chat, app):
    url = session_url(chat)
    assert alice.post(f"{url}/clear").status_code == 200
    assert alice.delete(url).status_code == 204
    restored = alice.post(f"{url}/restore", headers={"Idempotency-Key": "undo"})
    assert restored.status_code == 200
    with app.app_context():
        assert [line for check in CHECKS for line in check.find()] == []
