"""Row security: a query that forgets the owner, and each use that must go on."""

from typing import Any

import pytest
from sqlalchemy import delete, func, make_url, select, update

from chatstore.app import create_app
from chatstore.db import db, limit_rows_to, read_connection, run_read, run_write
from chatstore.db.row_owner import ALL_OWNERS, NO_OWNER, row_owner, rows_of
from chatstore.errors import NoRowSecurity
from chatstore.models import ChatSession, Message
from chatstore.store import row_security
from chatstore.store.messages import append_message
from chatstore.store.sessions import create_session
from chatstore.web.auth import identify_caller
from tests.support import API, SESSIONS, assert_problem, make_settings, on_postgresql
from tests.support.access import keyed_client

pytestmark = on_postgresql


@pytest.fixture
def database_url(database_kind, walled_url):
    return walled_url


# Through pgbouncer each transaction names its owner.
@pytest.fixture(params=["none", "pgbouncer"])
def walled(make_app, request):
    """An application with a view whose queries forget the owner."""
    app = make_app(row_security=1, auth="api-key", database_pooler=request.param)

    @app.get("/forgetful")
    def get_all() -> list[Any]:
        identify_caller()
        queries = [select(ChatSession.id), select(Message.content)]
        by_orm = [str(each) for query in queries for each in db.session.scalars(query)]
        db.session.remove()
        with read_connection() as reader:
            by_core = [str(each) for query in queries for each in reader.scalars(query)]
        return [by_orm, by_core]

    return app


@pytest.fixture
def alices(walled) -> ChatSession:
    with walled.app_context():
        chat = run_write(create_session, owner_id="alice", llm_model_name="m")
        run_write(append_message, chat.id, owner_id="alice", content="secret")
        return chat


CHANGES = [
    update(ChatSession).values(name="x"),
    update(Message).values(content="x"),
    delete(Message),
    delete(ChatSession),
]


def test_a_query_that_forgets_the_owner_sees_only_the_callers_rows(walled, alices):
    alice, bob = keyed_client(walled, "alice"), keyed_client(walled, "bob")
    bobs = bob.post(SESSIONS, json={}).json["id"]
    for _ in range(2):  # both on the same connections, in turn
        assert alice.get("/forgetful").json == [[str(alices.id), "secret"]] * 2
        assert bob.get("/forgetful").json == [[bobs]] * 2
    assert row_owner() == ALL_OWNERS  # for the next work of this thread


def test_before_the_caller_is_known_no_row_is_seen(walled, alices):
    with walled.app_context(), rows_of(NO_OWNER):
        assert run_read(db.session.scalar, select(func.count(ChatSession.id))) == 0


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_change_that_forgets_the_owner_changes_nothing_of_others(
    walled, alices, change
):
    with walled.app_context():
        with rows_of("bob"):
            result = run_write(lambda: db.session.execute(change).rowcount)
        assert result == 0
        with rows_of("alice"):
            assert run_read(db.session.scalar, select(func.count(Message.id))) == 1


def test_a_session_cannot_be_given_to_another_owner(walled, alices):
    with walled.app_context(), rows_of("alice"):
        gift = update(ChatSession).values(owner_id="bob")
        with pytest.raises(Exception, match="violates row-level security"):
            run_write(lambda: db.session.execute(gift))


def test_an_id_of_another_owner_is_taken(walled, alices):
    bob, body = keyed_client(walled, "bob"), {"id": str(alices.id)}
    for headers in ({}, {"Idempotency-Key": "k"}):
        assert_problem(bob.post(SESSIONS, json=body, headers=headers), 409)


def test_a_transaction_keeps_its_owner(walled):
    with walled.app_context(), pytest.raises(RuntimeError, match="owner of its rows"):
        run_write(lambda: limit_rows_to("bob"))


def test_a_stream_keeps_the_owner_of_its_request(walled, alices):
    messages = [{"content": "x" * 1000}] * 900
    alice = keyed_client(walled, "alice")
    url = f"{SESSIONS}{alices.id}/messages"
    assert alice.post(f"{url}/batch", json={"messages": messages}).status_code == 201
    assert len(alice.get(url).json["messages"]) == 901


def test_a_link_shows_its_session_without_a_caller(walled, alices):
    alice = keyed_client(walled, "alice")
    link = alice.post(f"{SESSIONS}{alices.id}/shares", json={})
    assert link.status_code == 201, link.json
    page = walled.test_client().get(f"{API}/shared/{link.json['token']}")
    assert [each["content"] for each in page.json["messages"]] == ["secret"]


def test_a_session_goes_to_the_trash_and_comes_back(walled, alices):
    alice, bob = keyed_client(walled, "alice"), keyed_client(walled, "bob")
    url = f"{SESSIONS}{alices.id}"
    assert alice.delete(url).status_code == 204
    assert bob.get(f"{SESSIONS}?trash=true").json["sessions"] == []
    assert len(alice.get(f"{SESSIONS}?trash=true").json["sessions"]) == 1
    assert alice.post(f"{url}/restore").status_code == 200
    assert alice.delete(f"{url}?purge=true").status_code == 204
    assert alice.get(url).status_code == 404


def test_without_the_setting_a_server_sees_all_rows(make_app, alices):
    with make_app().app_context(), rows_of("bob"):
        assert run_read(db.session.scalar, select(func.count(ChatSession.id))) == 1


def test_the_command_switches_the_policies(run_command, walled, database_url):
    def lines(action: str) -> list[str]:
        result = run_command("row-security", action, database_url=database_url)
        assert result.exit_code == 0, result.output
        return result.output.splitlines()

    assert {line.split()[1] for line in lines("status")} == {"on"}
    lines("disable")
    assert {line.split()[1] for line in lines("status")} == {"off"}
    with walled.app_context():
        with pytest.raises(NoRowSecurity, match="chatstore row-security enable"):
            row_security.check_row_security()
        lines("enable")
        lines("enable")
        row_security.check_row_security()


def test_a_superuser_whom_no_policy_limits_is_refused(postgres, database_url):
    name = make_url(database_url).database
    app = create_app(make_settings(postgres.url(name, is_limited=False)))
    with app.app_context():
        with pytest.raises(NoRowSecurity, match="superuser"):
            row_security.check_row_security()
        db.session.remove()
        db.engine.dispose()


def test_every_table_with_an_owner_has_a_policy_or_a_reason(walled):
    owned = {
        table.name for table in db.metadata.sorted_tables if "owner_id" in table.columns
    }
    reasons = row_security.__doc__ or ""
    without = owned - row_security.CONDITIONS.keys()
    assert {table for table in without if table not in reasons} == set()
