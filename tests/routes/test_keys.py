from datetime import timedelta
from unittest.mock import ANY

import pytest
from sqlalchemy import select

from chatstore.clock import format_instant
from chatstore.db import db
from chatstore.enums import Scope
from chatstore.models import AuditEntry, IdempotencyRecord
from tests.support import API, assert_problem, count
from tests.support.access import bearer, keyed_client
from tests.support.statements import (
    MOST_TO_READ,
    MOST_TO_WRITE,
    recorded_statements,
)

KEYS = f"{API}/keys"
BODY = {"owner": "alice", "scope": "write"}


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


@pytest.fixture
def admin(app):
    return keyed_client(app, "root", Scope.ADMIN)


def me(app, text):
    return app.test_client().get(f"{API}/me", headers=bearer(text))


def acts(app):
    with app.app_context():
        entries = db.session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
        return [(each.action, each.owner_id, each.target) for each in entries]


def test_an_issued_key_is_shown_once(app, admin, clock):
    body = BODY | {
        "name": "bot",
        "expires_at": format_instant(clock.now + timedelta(1)),
    }
    response = admin.post(KEYS, json=body)
    assert response.status_code == 201
    assert response.headers["Cache-Control"] == "no-store"
    shown = response.json
    text = shown.pop("key")
    assert shown == body | {
        "id": text[4:16],
        "created_at": ANY,
        "revoked_at": None,
        "last_used_at": None,
    }
    listed = admin.get(f"{KEYS}?owner=alice")
    assert listed.json == {"keys": [shown], "has_more": False}
    assert listed.headers["Cache-Control"] == "no-store"
    assert me(app, text).json["owner"] == "alice"
    assert acts(app) == [("key.issued", "alice", shown["id"])]


def test_pages_of_keys_have_all_of_them(admin):
    issued = {admin.post(KEYS, json=BODY).json["id"] for _ in range(3)}
    first = admin.get(f"{KEYS}?owner=alice&limit=2").json
    after = first["keys"][-1]["id"]
    rest = admin.get(f"{KEYS}?owner=alice&limit=2&after={after}").json
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert [each["id"] for each in first["keys"] + rest["keys"]] == sorted(issued)
    assert len(admin.get(KEYS).json["keys"]) == 4  # the administrator's own


def test_a_rotated_key_is_replaced(app, admin):
    old = admin.post(KEYS, json=BODY | {"name": "bot"}).json
    response = admin.post(f"{KEYS}/{old['id']}/rotate")
    assert response.status_code == 201
    same = {"owner": "alice", "scope": "write", "name": "bot", "expires_at": None}
    assert response.json == response.json | same
    assert me(app, response.json["key"]).status_code == 200
    assert_problem(me(app, old["key"]), 401)
    assert_problem(admin.post(f"{KEYS}/{old['id']}/rotate"), 404)
    assert acts(app)[1:] == [("key.rotated", "alice", old["id"])]


def test_a_revoked_key_is_refused_and_stays_in_the_list(app, admin, clock):
    key = admin.post(KEYS, json=BODY).json
    for _ in range(2):
        response = admin.delete(f"{KEYS}/{key['id']}")
        assert (response.status_code, response.data) == (204, b"")
    assert_problem(me(app, key["key"]), 401)
    (listed,) = admin.get(f"{KEYS}?owner=alice").json["keys"]
    assert listed["revoked_at"] is not None
    assert acts(app)[1:] == [("key.revoked", "alice", key["id"])]


@pytest.mark.parametrize("place", ["0" * 12, "short", "0" * 11 + "%00"])
def test_a_missing_key_is_404(admin, place):
    assert_problem(admin.delete(f"{KEYS}/{place}"), 404)
    assert_problem(admin.post(f"{KEYS}/{place}/rotate"), 404)


@pytest.mark.parametrize("scope", [Scope.READ, Scope.WRITE])
def test_only_an_admin_manages_keys(app, scope):
    client = keyed_client(app, "alice", scope)
    for method, path in [("GET", ""), ("POST", ""), ("DELETE", f"/{'0' * 12}")]:
        response = client.open(f"{KEYS}{path}", method=method, json=BODY)
        assert_problem(response, 403)
    assert acts(app) == []


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"owner": " x"}, "owner"),
        ({"owner": "a\nb"}, "owner"),
        ({"scope": "x"}, "scope"),
    ]
    + [({"name": ""}, "name"), ({"name": "a\tb"}, "name"), ({"key": "x"}, "key")]
    + [({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at")],
)
def test_a_malformed_key_is_refused(admin, change, field):
    response = admin.post(KEYS, json=BODY | change)
    assert_problem(response, 422, pointer=f"/{field}")


@pytest.mark.parametrize("query", ["after=x", "limit=0", f"owner={'a' * 256}"])
def test_a_malformed_query_is_refused(admin, query):
    assert_problem(admin.get(f"{KEYS}?{query}"), 422)


def test_no_record_of_a_retry_keeps_a_key(app, admin):
    headers = {"Idempotency-Key": "once"}
    assert_problem(
        admin.post(KEYS, json=BODY, headers=headers), 422, detail="Idemp|see"
    )
    key = admin.post(KEYS, json=BODY).json
    response = admin.post(f"{KEYS}/{key['id']}/rotate", headers=headers)
    assert_problem(response, 422)
    assert me(app, key["key"]).status_code == 200
    with app.app_context():
        assert count(db.session, IdempotencyRecord) == 0


def test_it_takes_few_statements(app, admin):
    admin.get(KEYS)  # from now on the process knows the administrator's key
    key = admin.post(KEYS, json=BODY).json
    with app.app_context(), recorded_statements() as statements:
        admin.get(KEYS)
        assert 0 < len(statements) <= MOST_TO_READ
        for request in (
            lambda: admin.post(KEYS, json=BODY),
            lambda: admin.post(f"{KEYS}/{key['id']}/rotate"),
        ):
            statements.clear()
            assert request().status_code == 201
            assert len(statements) < MOST_TO_WRITE, statements
