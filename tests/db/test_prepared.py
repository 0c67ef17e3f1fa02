import pytest
from sqlalchemy import Integer, Text, bindparam, literal, select, text, update

from chatstore.db import db, read_connection
from chatstore.db.prepared import MissingParameter, Prepared
from chatstore.models import ChatSession

NAMED = update(ChatSession).values(name=bindparam("the_name", type_=Text))


@pytest.fixture
def connection(app):
    with app.app_context(), read_connection() as connection:
        yield connection


def test_a_read_without_one_of_its_parameters_is_our_mistake(connection):
    owned = select(ChatSession.id).where(
        ChatSession.owner_id == bindparam("the_owner", type_=Text)
    )
    with pytest.raises(MissingParameter, match="the_owner"):
        Prepared(owned).rows(connection, {"owner": "local"})


@pytest.mark.parametrize("rows", [[{}], [{"the_name": "a"}, {}]])
def test_a_write_without_one_of_its_parameters_changes_nothing(app, make_session, rows):
    chat = make_session(name="before")
    with app.app_context():
        with (
            db.engine.connect() as connection,
            pytest.raises(MissingParameter, match="the_name"),
        ):
            Prepared(NAMED).run(connection, rows)
        assert db.session.get(ChatSession, chat.id).name == "before"


def test_a_parameter_may_be_given_as_none(app, make_session):
    chat = make_session(name="before")
    with app.app_context(), db.engine.begin() as connection:
        Prepared(NAMED).run(connection, [{"the_name": None}])
    with app.app_context():
        assert db.session.get(ChatSession, chat.id).name is None


def test_constants_of_the_statement_need_not_be_given(connection):
    statement = select(
        literal(7),
        literal(None, Text),
        bindparam("default", "kept", type_=Text),
        bindparam("given", type_=Integer),
    )
    assert Prepared(statement).rows(connection, {"given": 1}) == [(7, None, "kept", 1)]


def test_a_parameter_in_plain_text_must_be_given_too(connection):
    with pytest.raises(MissingParameter, match="size"):
        Prepared(text("SELECT :size")).rows(connection, {})
