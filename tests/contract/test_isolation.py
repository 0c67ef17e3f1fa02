"""Nobody reads, changes or notices what another owner has (design: P6).

The tests walk the URL map, so they hold for routes that are not written yet. They say
what to add if they cannot ask a new route.
"""

import pytest

from chatstore.enums import Scope
from tests.contract.isolation import (
    CANARY,
    CURSOR_LISTS,
    MISSING,
    READINGS,
    SHARED_WORD,
    asked,
    body_of,
    operations,
    seed,
    without_ids,
)
from tests.support import (
    API,
    SESSIONS,
    assert_problem,
    messages_url,
    session_url,
)
from tests.support.access import keyed_client

WHERE = "tests/contract/isolation.py"
# These answer 201 with an object of the caller's own, whoever else has one.
CREATES = {"PUT /sessions/by-external-id/{external_id}"}


@pytest.fixture
def app(make_app):
    return make_app(auth="api-key")


@pytest.fixture
def alice(app):
    return keyed_client(app, "alice")


@pytest.fixture
def bob(app):
    return keyed_client(app, "bob")


def all_of(client):
    """Return everything that an owner has, as the owner reads it."""
    found = []
    for path in ("?archived=any", "?trash=true"):
        page = client.get(f"{SESSIONS}{path}").json["sessions"]
        pages = [client.get(messages_url(each)).json for each in page]
        found += page + [each.get("messages") for each in pages]
        links = [client.get(f"{session_url(each)}/shares").json for each in page]
        found += [each.get("shares") for each in links]
    lists = ("tags", "models", "feedback", "usage")
    return found + [client.get(f"{API}/{each}").json for each in lists]


def readings(client):
    """Return the answers to everything that a caller can read, by URL."""
    found = {}
    for path, queries in READINGS.items():
        for query in queries:
            response = client.get(f"{API}{path}{query}")
            assert response.status_code in (200, 403), (path, query, response.text)
            found[path, query] = without_ids(response.text)
    return found


def tag_of(client, url):
    """Return the ETag of a page; PostgreSQL has none while a transaction runs."""
    return client.get(url).headers.get("ETag", '"1"')


def test_every_route_refuses_a_request_without_a_caller(app):
    for method, path, _, operation in operations(app):
        url = f"{API}{path.format(**MISSING)}"
        body = body_of(method, path, operation)
        response = app.test_client().open(url, method=method, json=body)
        assert_problem(response, 401)
        assert "Bearer" in response.headers["WWW-Authenticate"], (method, path)


def test_an_object_of_another_owner_is_answered_as_a_missing_one(app, alice, bob):
    hers, his = seed(alice, CANARY), seed(bob, "mine")
    before = all_of(alice)
    for method, path, names, operation in operations(app):
        if not names:
            continue
        body = body_of(method, path, operation)
        # In a session of bob's, alice's message or link is missing too.
        own = {"session_id": his["session_id"]}
        for base in ({}, own) if {"message_id", "share_id"} & {*names} else ({},):
            missing, ours = asked(bob, method, path, MISSING | base, body)
            answer, theirs = asked(bob, method, path, hers | base, body)
            assert answer == missing, (method, path)
            assert theirs == ours, (method, path)
            creates = f"{method} {path}" in CREATES
            assert missing[0] in ((201,) if creates else (403, 404)), (method, path)
            assert CANARY not in answer[1]
    assert all_of(alice) == before


def test_what_another_owner_has_in_the_trash_is_missing(app, alice, bob):
    hers = seed(alice, CANARY)
    before = all_of(alice)
    for method, path, names, operation in operations(app):
        if names == ["session_id"]:
            body = body_of(method, path, operation)
            missing, ours = asked(bob, method, path, MISSING, body)
            trashed = {"session_id": hers["trashed_id"]}
            answer, theirs = asked(bob, method, path, trashed, body)
            assert (answer, theirs) == (missing, ours), (method, path)
    assert all_of(alice) == before


def test_no_list_changes_with_what_another_owner_has(app, alice, bob):
    unread = {
        path
        for method, path, names, _ in operations(app)
        if method == "GET" and not names and path not in READINGS
    }
    assert not unread, f"Add {unread} to READINGS in {WHERE}."
    seed(bob, "mine")
    token = bob.get(f"{API}/changes").json["next"]
    before = readings(bob)
    seed(alice, CANARY)
    assert readings(bob) == before
    assert CANARY not in str(list(before.values()))
    assert bob.get(f"{API}/changes?since={token}").json["changes"] == []


def test_a_page_of_another_owner_is_no_page_of_yours(app, alice, bob):
    """Neither a cursor, nor a token, nor a tag of one owner is taken from another."""
    paged = {
        path
        for method, path, _, operation in operations(app)
        if operation is not None
        and operation.query is not None
        and "cursor" in operation.query().fields
    }
    assert paged == CURSOR_LISTS.keys(), f"Add its pages to CURSOR_LISTS in {WHERE}."
    seed(alice, CANARY), seed(bob, "mine")
    for path, queries in CURSOR_LISTS.items():
        for query in queries:
            cursor = alice.get(f"{API}{path}?{query}").json["next_cursor"]
            assert cursor is not None, (path, query)
            url = f"{API}{path}?{query}&cursor={cursor}"
            assert alice.get(url).status_code == 200
            assert_problem(bob.get(url), 400)
    token = alice.get(f"{API}/changes").json["next"]
    assert_problem(bob.get(f"{API}/changes?since={token}"), 400)
    for path in ("sessions", "tags", "models"):
        tag = {"If-None-Match": tag_of(alice, f"{API}/{path}")}
        assert alice.get(f"{API}/{path}", headers=tag).status_code == 304
        assert bob.get(f"{API}/{path}", headers=tag).status_code == 200


def test_a_tag_of_a_session_of_another_owner_is_no_304(alice, bob):
    hers = seed(alice, CANARY)
    for url in (
        session_url({"id": hers["session_id"]}),
        f"{API}/sessions/by-external-id/{hers['external_id']}",
        f"{messages_url({'id': hers['session_id']})}?limit=1",
    ):
        for tag in (tag_of(alice, url), "*"):
            assert_problem(bob.get(url, headers={"If-None-Match": tag}), 404)


@pytest.mark.parametrize("action", ["archive", "delete", "purge", "restore"])
def test_a_bulk_change_of_anothers_sessions_is_one_of_missing_ones(alice, bob, action):
    hers = seed(alice, CANARY)
    before = all_of(alice)
    answers = []
    for ids in ([hers["session_id"], hers["trashed_id"]], [MISSING["session_id"]] * 2):
        body = {"action": action, "ids": sorted(set(ids))}
        response = bob.post(f"{SESSIONS}bulk", json=body)
        text = response.text
        for each in ids:
            text = text.replace(each, "<place>")
        answers.append((response.status_code, without_ids(text)))
    assert [status for status, _ in answers] == [200, 200]
    assert '"changed":0' in answers[0][1]
    for filters in ({"tag": [f"{CANARY}-tag"]}, {"archived": "any"}):
        if action in ("archive", "delete", "purge"):
            body = {"action": action, "filter": filters}
            assert bob.post(f"{SESSIONS}bulk", json=body).json["changed"] == 0
    assert all_of(alice) == before


def test_tags_of_another_owner_do_not_change(alice, bob):
    seed(alice, CANARY)
    before = all_of(alice)
    tag = f"{CANARY}-tag"
    renamed = bob.post(f"{API}/tags/rename", json={"from": tag, "to": "mine"})
    assert renamed.json == {"changed": 0}
    assert bob.post(f"{API}/tags/delete", json={"tag": tag}).json == {"changed": 0}
    assert all_of(alice) == before
    seed(bob, "mine")
    tags = bob.get(f"{API}/tags").json["tags"]
    assert {each["tag"] for each in tags} == {"mine-tag", SHARED_WORD}


def test_two_owners_may_use_the_same_idempotency_key(alice, bob):
    key = {"Idempotency-Key": "the same"}
    body = {"name": "x"}
    hers = alice.post(SESSIONS, json=body, headers=key)
    his = bob.post(SESSIONS, json=body, headers=key)
    assert "Idempotency-Replayed" not in his.headers
    assert his.json["id"] != hers.json["id"]
    # Another body would tell that the key is known.
    other = bob.post(SESSIONS, json={"name": CANARY}, headers={"Idempotency-Key": "2"})
    again = alice.post(SESSIONS, json=body, headers={"Idempotency-Key": "2"})
    assert (other.status_code, again.status_code) == (201, 201)


def test_a_session_does_not_take_the_id_or_say_the_external_id_of_another(alice, bob):
    hers = seed(alice, CANARY)
    body = {"external_id": hers["external_id"], "name": "his"}
    response = bob.post(SESSIONS, json=body)
    assert response.status_code == 201
    assert CANARY not in response.json["name"]
    taken = bob.post(SESSIONS, json={"id": hers["session_id"]})
    assert_problem(taken, 409)
    assert CANARY not in taken.text


def test_an_admin_without_the_header_sees_only_his_own(app, alice):
    seed(alice, CANARY)
    admin = keyed_client(app, "root", Scope.ADMIN)
    assert CANARY not in str(list(readings(admin).values()))
