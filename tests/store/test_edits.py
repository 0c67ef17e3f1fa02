from concurrent.futures import ThreadPoolExecutor

import pytest

from chatstore.db import db, prepared, run_transaction, run_write
from chatstore.errors import MessageDeleted, TooManyRevisions
from chatstore.models import Message, MessageRevision
from chatstore.services.edits import edit_message as edit_again_if_changed
from chatstore.store.edits import EditBounds, edit_message
from chatstore.store.erasures import delete_message
from chatstore.store.messages import append_message
from tests.support import count, messages_url

ME = {"owner_id": "alice"}


@pytest.fixture
def message(db_session, make_session):
    chat = make_session(owner_id="alice")
    return run_write(append_message, chat.id, content="0", **ME)


def edit(message, content, **options):
    changes = {"content": content}
    return run_write(
        edit_message, message.session_id, message.id, changes=changes, **ME, **options
    )


def prepare(message, content):
    changes = {"content": content}
    return prepared(edit_message, message.session_id, message.id, changes=changes, **ME)


def texts(model):
    return db.session.query(model.content).order_by(model.revision).all()


def test_an_edit_of_what_changed_meanwhile_does_nothing(message):
    first, second = prepare(message, "first"), prepare(message, "second")
    assert run_transaction(first) is not None
    assert run_transaction(second) is None
    assert texts(Message) == [("first",)]
    assert texts(MessageRevision) == [("0",)]


def test_an_edit_of_what_was_deleted_meanwhile_does_nothing(message):
    late = prepare(message, "late")
    run_write(delete_message, message.session_id, message.id, **ME)
    assert run_transaction(late) is None
    with pytest.raises(MessageDeleted):
        prepare(message, "late")
    assert texts(Message) == [("",)]


def test_edits_at_once_take_place_one_after_the_other(app, message):
    def send(number):
        with app.app_context():
            return edit_again_if_changed(
                message.session_id,
                message.id,
                changes={"content": f"e{number}"},
                if_revisions=None,
                bounds=EditBounds(),
                **ME,
            ).revision

    db.session.remove()
    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(send, range(8))) == list(range(2, 10))
    said = {text for (text,) in texts(Message) + texts(MessageRevision)}
    assert said == {"0", *(f"e{number}" for number in range(8))}
    numbers = db.session.query(MessageRevision.revision).order_by("revision").all()
    assert numbers == [(number,) for number in range(1, 9)]


@pytest.mark.parametrize(
    "bounds", [EditBounds(revisions=2), EditBounds(revision_bytes=10)]
)
def test_a_message_keeps_a_bounded_number_of_revisions(message, bounds):
    edit(message, "x" * 50, bounds=bounds)
    edit(message, "y", bounds=bounds)
    with pytest.raises(TooManyRevisions):
        edit(message, "z", bounds=bounds)
    assert edit(message, "y", bounds=bounds).revision == 3  # changes nothing
    assert count(db.session, MessageRevision) == 2


def test_a_revision_keeps_numbers_as_they_were_sent(alice, app, make_session):
    chat = make_session()
    sent = b'{"content": "x", "metadata": {"b": 1e22, "a": 1.10}}'
    url = messages_url(chat)
    message = alice.post(url, data=sent, content_type="application/json").json
    alice.patch(f"{url}/{message['id']}", json={"content": "y", "metadata": {"c": 1}})
    stored = alice.get(f"{url}/{message['id']}/revisions")
    assert b'"metadata":{"b":1e+22,"a":1.1}' in stored.data
