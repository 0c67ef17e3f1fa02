import pytest
from sqlalchemy import select

from chatstore.db import db, run_read, run_write
from chatstore.errors import OwnerError
from chatstore.models import AuditEntry, ChatSession
from chatstore.services.owners import describe_owner, erase_owner, rename_owner
from chatstore.store import owner_moves, owners
from chatstore.store.verify.checks import CHECKS
from tests.support import API, SESSIONS, messages_url, session_url
from tests.support.owned import fill_owner

QUIET = {"progress": lambda text: None, "pause_seconds": 0}


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


def assert_promises_hold():
    assert [list(check.find()) for check in CHECKS] == [[] for _ in CHECKS]


def audited():
    db.session.rollback()
    entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id))
    return [(each.action, each.owner_id, each.details["state"]) for each in entries]


def test_an_erased_owner_has_nothing_and_others_lose_nothing(app):
    fill_owner(app, "alice")
    bob = fill_owner(app, "bob")
    with app.app_context():
        before = run_read(describe_owner, "bob")
        found = erase_owner("alice", **QUIET)
        assert (found["messages"], found["sessions.owner_id"]) == (3, 1)
        assert owners.find_traces("alice") == {}
        assert run_read(describe_owner, "bob") == before
        assert_promises_hold()
        states = [("owner.erased", "alice", state) for state in ("started", "finished")]
        assert audited() == states
    assert bob.get(f"{API}/search?q=edited").json["hits"]


def test_the_keys_are_gone_before_anything_else(app):
    fill_owner(app, "alice")
    seen = []
    with app.app_context():

        def note(text):
            left = owners.find_left("alice")
            seen.append(
                "api_keys.owner_id" in left or "login_sessions.owner_id" in left
            )

        erase_owner("alice", progress=note, pause_seconds=0)
    assert len(seen) > 3
    assert not any(seen)


def test_the_key_of_an_erased_owner_is_refused(make_app, app):
    alice = fill_owner(app, "alice")
    with app.app_context():
        erase_owner("alice", **QUIET)
    other = make_app(auth="api-key").test_client()  # which does not know the key yet
    other.environ_base.update(alice.environ_base)
    assert other.get(SESSIONS).status_code == 401


@pytest.fixture
def renamed(app):
    """Rename alice, who has something everywhere; return a client of the new name."""
    client = fill_owner(app, "alice")
    with app.app_context():
        before = run_read(describe_owner, "alice")
        rename_owner("alice", "alicia", **QUIET)
        assert run_read(describe_owner, "alicia") == before
        assert owners.find_left("alice") == {}
        assert_promises_hold()
    fresh = client.application.test_client()
    fresh.environ_base.update(client.environ_base)
    return fresh


def test_a_renamed_owner_keeps_everything(renamed, make_app):
    client = make_app(auth="api-key").test_client()
    client.environ_base.update(renamed.environ_base)
    assert client.get(f"{API}/me").json["owner"] == "alicia"
    (chat,) = client.get(SESSIONS).json["sessions"]
    assert client.get(f"{SESSIONS}by-external-id/chat 1").json["id"] == chat["id"]
    assert len(client.get(messages_url(chat)).json["messages"]) == 2
    for words in ("edited", "name"):
        assert client.get(f"{API}/search?q={words}").json["hits"]
    assert client.get(f"{API}/tags").json["tags"] == [{"tag": "Tag", "sessions": 1}]
    (trashed,) = client.get(f"{SESSIONS}?trash=true").json["sessions"]
    assert client.post(f"{session_url(trashed)}/restore").status_code == 200
    again = client.post(SESSIONS, json={"name": "x"}, headers={"Idempotency-Key": "k"})
    assert again.status_code == 422  # the record of the key came along


def test_a_token_of_the_former_owner_is_refused(app, make_app):
    client = fill_owner(app, "alice")
    token = client.get(f"{API}/changes").json["next"]
    with app.app_context():
        rename_owner("alice", "alicia", **QUIET)
    other = make_app(auth="api-key").test_client()
    other.environ_base.update(client.environ_base)
    assert other.get(f"{API}/changes?since={token}").status_code == 400


def test_an_interrupted_renaming_goes_on(app):
    fill_owner(app, "alice")
    with app.app_context():
        before = run_read(describe_owner, "alice")
        run_write(owner_moves.start_renaming, "alice", "alicia")
        seen = owners.sessions_of("alice")[0]
        assert run_write(owner_moves.move_sessions, seen, "alicia") == 1
        with pytest.raises(OwnerError, match="bob has nothing"):
            rename_owner("bob", "alicia", **QUIET)
        rename_owner("alice", "alicia", **QUIET)
        assert run_read(describe_owner, "alicia") == before
        assert_promises_hold()
        states = [("owner.renamed", "alicia", each) for each in ("started", "finished")]
        assert audited() == states


def test_nobody_is_renamed_to_an_owner_who_has_something(app, make_session):
    make_session(owner_id="alice")
    make_session(owner_id="bob")
    with app.app_context():
        with pytest.raises(OwnerError, match="bob has something already"):
            rename_owner("alice", "bob", **QUIET)
        with pytest.raises(OwnerError, match="nobody has nothing"):
            rename_owner("nobody", "carol", **QUIET)
        assert db.session.scalars(select(ChatSession.owner_id)).all().count("bob") == 1
        assert audited() == []
