import pytest
from sqlalchemy import update

from chatstore.db import db, run_write, transaction
from chatstore.models import ChatSession
from chatstore.store.messages import append_message
from chatstore.store.verify.previews import find_wrong_previews


@pytest.fixture
def preview_of(db_session, make_session):
    """Append messages, given as (role, content), and return the session's preview.

    With `preview`, an earlier version has stored this one.
    """

    def preview_of(*turns, preview=None):
        chat = make_session()
        for role, content in turns:
            run_write(
                append_message,
                chat.id,
                owner_id=chat.owner_id,
                role=role,
                content=content,
                metadata={"a": 1},
            )
        if preview is not None:
            with transaction():
                db.session.execute(
                    update(ChatSession).values(last_message_preview=preview)
                )
        return db.session.get(ChatSession, chat.id).last_message_preview

    return preview_of


QUESTION = ("user", " \n plan")
TOOL = ("tool", '{"a": 1}')


@pytest.mark.parametrize(
    ("turns", "preview"),
    [
        ([], None),
        ([QUESTION], "plan"),
        ([QUESTION, TOOL], "plan"),
        ([QUESTION, ("assistant", ""), ("assistant", "\u3000")], "plan"),
        ([QUESTION, ("system", "be kind"), ("developer", "be brief")], "plan"),
        ([TOOL], None),
        ([QUESTION, ("assistant", "x" * 201)], "x" * 200),
        ([QUESTION, ("user", [{"type": "text", "text": "a"}])], "a"),
    ],
)
def test_the_preview_is_the_last_text_that_a_person_reads(preview_of, turns, preview):
    assert preview_of(*turns) == preview
    assert list(find_wrong_previews()) == []


@pytest.mark.parametrize(
    ("turns", "preview"),
    [
        ([QUESTION], " \n plan"),
        ([QUESTION, TOOL], '{"a": 1}'),
        ([QUESTION, TOOL, ("tool", "later")], '{"a": 1}'),
        ([QUESTION, ("user", " ")], " "),
        ([QUESTION, ("user", "")], ""),
    ],
)
def test_the_preview_of_an_earlier_version_is_right(preview_of, turns, preview):
    assert preview_of(*turns, preview=preview) == preview
    assert list(find_wrong_previews()) == []


@pytest.mark.parametrize(
    ("turns", "preview"),
    [
        ([], "plan"),
        ([QUESTION], "pla"),
        ([QUESTION], ""),
        ([QUESTION, ("user", "no")], "plan"),
        ([TOOL, QUESTION], '{"a": 1}'),
        ([("assistant", "x" * 201)], "x" * 199),
    ],
)
def test_a_preview_of_another_text_is_wrong(preview_of, turns, preview):
    preview_of(*turns, preview=preview)
    assert len(list(find_wrong_previews())) == 1
