import pytest

from chatstore.db import run_write
from chatstore.enums import AuditAction, Scope
from chatstore.store.audit import record_act
from tests.support import API, SESSIONS, assert_problem
from tests.support.access import keyed_client

AUDIT = f"{API}/audit"


@pytest.fixture
def entries(app, clock):
    with app.app_context():
        for owner_id, count in (("alice", 1), ("bob", 2), ("alice", 3)):
            run_write(
                record_act,
                AuditAction.SESSIONS_DELETED,
                actor=f"key {count}",
                owner_id=owner_id,
                details={"count": count},
            )


def counts(response):
    assert response.status_code == 200
    return [entry["details"]["count"] for entry in response.json["entries"]]


def test_entries_are_listed_newest_first_by_pages(alice, entries):
    page = alice.get(f"{AUDIT}?limit=2")
    assert counts(page) == [3, 2]
    assert page.json["has_more"]
    last = page.json["entries"][-1]
    assert last == {
        "id": last["id"],
        "at": last["at"],
        "action": "sessions.deleted",
        "actor": "key 2",
        "owner": "bob",
        "target": None,
        "address": None,
        "request_id": None,
        "details": {"count": 2},
    }
    assert page.headers["Cache-Control"] == "no-store"
    page = alice.get(f"{AUDIT}?limit=2&before={last['id']}")
    assert (counts(page), page.json["has_more"]) == ([1], False)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("owner=alice", [3, 1]),
        ("actor=key+2", [2]),
        ("action=key.issued", []),
        ("action=sessions.deleted&owner=bob", [2]),
        ("since=2999-01-01T00:00:00Z", []),
        ("until=2999-01-01T00:00:00Z", [3, 2, 1]),
    ],
)
def test_entries_are_filtered(alice, entries, query, found):
    assert counts(alice.get(f"{AUDIT}?{query}")) == found


@pytest.mark.parametrize("query", ["action=x", "limit=0", "before=0", "since=today"])
def test_a_bad_filter_is_refused(alice, query):
    assert_problem(alice.get(f"{AUDIT}?{query}"), 422)


def test_only_administrators_read_the_log(make_app):
    app = make_app(auth="api-key")
    assert keyed_client(app, "root", Scope.ADMIN).get(AUDIT).status_code == 200
    assert_problem(keyed_client(app, "alice").get(AUDIT), 403)
    assert_problem(app.test_client().get(AUDIT), 401)


@pytest.mark.parametrize("action", ["delete", "purge"])
def test_a_bulk_deletion_is_an_entry(alice, make_session, action):
    body = {"action": action, "ids": [str(make_session().id)]}
    alice.post(f"{SESSIONS}bulk", json=body | {"dry_run": True})
    alice.post(f"{SESSIONS}bulk", json=body | {"action": "pin"})
    answer = alice.post(f"{SESSIONS}bulk", json=body)
    assert answer.json["changed"] == 1
    (entry,) = alice.get(AUDIT).json["entries"]
    assert (entry["action"], entry["owner"]) == ("sessions.deleted", "local")
    assert entry["details"] == {"change": action, "count": 1}
    assert entry["request_id"] == answer.headers["X-Request-Id"]
