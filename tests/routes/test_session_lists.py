"""Filters, order and pages of the list of sessions, over HTTP."""

import uuid
from urllib.parse import urlencode

import pytest

from tests.support import SESSIONS, assert_problem, session_url
from tests.support.statements import MOST_TO_READ, recorded_statements


def names(client, **query):
    answer = client.get(f"{SESSIONS}?{urlencode(query, doseq=True)}")
    assert answer.status_code == 200, answer.data
    return "".join(chat["name"] for chat in answer.json["sessions"])


@pytest.fixture
def chats(alice, make_session, clock):
    made = [
        make_session(name="a", metadata_tags=["red", "big"], rag_document_ids=["d"]),
        make_session(
            name="b",
            metadata_tags=["red"],
            llm_model_name="other",
            metadata={"team": "a:b", "rank": 1},
        ),
        make_session(
            name="c",
            metadata_tags=["big"],
            metadata={"team": "a:b", "rank": None},
            external_id="e/1",
        ),
    ]
    alice.patch(session_url(made[0]), json={"pinned": True})
    archived = make_session(name="x", metadata_tags=["red"])
    alice.patch(session_url(archived), json={"archived": True})
    make_session(name="y", owner_id="bob", metadata_tags=["red"])
    return made


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, "cba"),
        ({"tag": "red"}, "ba"),
        ({"tag": ["red", "big"]}, "a"),
        ({"tag": " red "}, "ba"),
        ({"tag_any": ["red", "big"]}, "cba"),
        ({"document": "d"}, "a"),
        ({"metadata": "team:a:b"}, "cb"),
        ({"metadata": ["rank:1", "team:a:b"]}, "b"),
        ({"metadata": "rank:null", "tag": "big"}, "c"),
        ({"external_id": "e/1"}, "c"),
        ({"external_id": "e"}, ""),
        ({"model": "other"}, "b"),
        ({"pinned": "true"}, "a"),
        ({"pinned": "false"}, "cb"),
        ({"archived": "true"}, "x"),
        ({"archived": "any"}, "xcba"),
        ({"archived": "any", "tag": "red"}, "xba"),
        ({"name": "B"}, "b"),
        ({"name": ""}, "cba"),
        ({"created_after": "2026-01-02T03:04:06.678901Z"}, "cb"),
        ({"created_before": "2026-01-02T04:04:07.678901+01:00"}, "a"),
        ({"updated_after": "2026-01-02T03:04:07.678901Z"}, "c"),
        ({"updated_before": "2026-01-02T03:04:06.678901Z"}, ""),
        ({"sort": "name"}, "abc"),
        ({"sort": "name", "order": "desc"}, "cba"),
        ({"sort": "created_at"}, "cba"),
        ({"order": "asc"}, "abc"),
        ({"pinned_first": "true"}, "acb"),
        ({"pinned_first": "true", "limit": 2, "offset": 1}, "cb"),
        ({"pinned_first": "false"}, "cba"),
    ],
)
def test_the_list_heeds_its_query(alice, chats, query, expected):
    assert names(alice, **query) == expected


def test_the_total_is_given_when_asked_for(alice, chats):
    assert alice.get(f"{SESSIONS}?count=true&tag=red&limit=1").json["total"] == 2
    assert "total" not in alice.get(f"{SESSIONS}?count=false").json


@pytest.mark.parametrize(
    "query", ["", "&pinned_first=true", "&sort=name&tag=red", "&metadata=team:a:b"]
)
def test_cursors_lead_on_and_back(alice, chats, query):
    first = alice.get(f"{SESSIONS}?limit=1{query}").json
    second = alice.get(f"{SESSIONS}?cursor={first['next_cursor']}&limit=1{query}").json
    back = alice.get(f"{SESSIONS}?cursor={second['previous_cursor']}{query}").json
    assert first["sessions"] != second["sessions"]
    assert back["sessions"] == first["sessions"]
    assert (first["previous_cursor"], back["previous_cursor"]) == (None, None)
    assert back["next_cursor"]


@pytest.mark.parametrize("query", ["tag=red", "sort=name", "order=asc", "archived=any"])
def test_a_cursor_of_another_list_is_refused(alice, chats, query):
    cursor = alice.get(f"{SESSIONS}?limit=1").json["next_cursor"]
    answer = alice.get(f"{SESSIONS}?cursor={cursor}&{query}")
    assert_problem(answer, 400, detail="other filters")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("tag=", "/tag/0"),
        ("tag=%20", "/tag/0"),
        ("tag=" + "x" * 65, "/tag/0"),
        ("&".join(f"tag_any={n}" for n in range(51)), "/tag_any"),
        ("tag=a&tag=%00", "/tag/1"),
        ("metadata=a", "/metadata/0"),
        ("metadata=", "/metadata/0"),
        ("metadata=a:%00", "/metadata/0"),
        ("metadata=" + "x:" * 257, "/metadata/0"),
        ("&".join(f"metadata=a:{n}" for n in range(21)), "/metadata"),
        ("external_id=", "/external_id"),
        ("external_id=" + "x" * 256, "/external_id"),
        ("external_id=a&external_id=b", "/external_id"),
        ("name=%00", "/name"),
        ("model=%00", "/model"),
        ("document=%00", "/document"),
        ("name=" + "x" * 256, "/name"),
        ("pinned=1", "/pinned"),
        ("pinned=True", "/pinned"),
        ("archived=maybe", "/archived"),
        ("sort=id", "/sort"),
        ("order=up", "/order"),
        ("count=yes", "/count"),
        ("pinned_first=", "/pinned_first"),
        ("created_after=yesterday", "/created_after"),
        ("created_after=2026-01-01T00:00:00", "/created_after"),
        ("updated_before=0001-01-01T00:00:00%2B01:00", "/updated_before"),
        ("updated_before=9999-12-31T23:59:59-01:00", "/updated_before"),
        ("model=a&model=b", "/model"),
        ("name=a&name=b", "/name"),
    ],
)
def test_a_bad_query_is_refused(alice, query, pointer):
    assert_problem(alice.get(f"{SESSIONS}?{query}"), 422, pointer=pointer)


@pytest.mark.parametrize("offset", ["", "&offset=1"])
@pytest.mark.parametrize("pinned_first", ["", "&pinned_first=true"])
@pytest.mark.parametrize("count", ["", "&count=true"])
@pytest.mark.parametrize("query", ["sort=name", "tag=red", "tag=red&document=d"])
def test_a_list_costs_three_statements_at_most(
    app, alice, chats, query, count, pinned_first, offset
):
    with app.app_context(), recorded_statements() as statements:
        alice.get(f"{SESSIONS}?{query}{count}{pinned_first}{offset}")
    reads = [each for each in statements if not each.startswith("BEGIN")]
    assert 1 <= len(reads) <= MOST_TO_READ


# Pinned and archived


def test_a_session_is_pinned_and_archived_by_patch(alice, make_session, clock):
    chat = make_session()
    url = session_url(chat)
    after = alice.patch(url, json={"pinned": True, "archived": True}).json
    assert (after["pinned"], after["archived"]) == (True, True)
    assert after["archived_at"] == clock.iso
    again = alice.patch(url, json={"archived": True, "name": "n"}).json
    assert again["archived_at"] == after["archived_at"]
    assert again["last_updated_at"] == after["last_updated_at"]
    last = alice.patch(url, json={"pinned": False, "archived": False}).json
    assert (last["pinned"], last["archived"]) == (False, False)
    assert last["archived_at"] is None


@pytest.mark.parametrize("field", ["pinned", "archived"])
@pytest.mark.parametrize("value", [None, 1, 0, "true", "", []])
def test_pinned_and_archived_are_true_or_false(alice, make_session, field, value):
    answer = alice.patch(session_url(make_session()), json={field: value})
    assert_problem(answer, 422, pointer=f"/{field}")


def test_tags_are_trimmed_and_kept_once(alice, make_session):
    body = {"metadata_tags": [" a", "b", "a\n", "b"]}
    assert alice.post(SESSIONS, json=body).json["metadata_tags"] == ["a", "b"]
    url = session_url(make_session())
    assert alice.patch(url, json=body).json["metadata_tags"] == ["a", "b"]


# Many sessions at once

BULK = f"{SESSIONS}bulk"
UUID_HEX = "507de50be29c4a258b8ad2d7410a926d"


@pytest.mark.parametrize(
    ("filters", "rest"),
    [
        ({"metadata": ["team:a:b"]}, "a"),
        ({"metadata": ["team:a:b", "rank:1"]}, "ca"),
        ({"external_id": "e/1", "metadata": ["rank:null"]}, "ba"),
    ],
)
def test_bulk_selects_by_metadata_and_external_id(alice, chats, filters, rest):
    body = {"action": "delete", "filter": filters}
    assert alice.post(BULK, json=body).status_code == 200
    assert names(alice) == rest


def test_bulk_changes_what_the_filter_matches(alice, chats):
    body = {"action": "archive", "filter": {"tag": ["red"], "pinned": False}}
    answer = alice.post(BULK, json=body | {"dry_run": True})
    assert answer.status_code == 200
    expected = {"action": "archive", "matched": 1, "changed": 1}
    expected["changed_ids"] = [str(chats[1].id)]
    assert answer.json == expected | {"dry_run": True}
    assert names(alice) == "cba"
    assert alice.post(BULK, json=body).json == expected | {"dry_run": False}
    assert names(alice) == "ca"
    assert names(alice, archived="true") == "xb"


def test_bulk_changes_the_ids_it_is_given(alice, chats):
    ids = [str(chats[0].id), str(chats[1].id), "00000000-0000-4000-8000-000000000000"]
    body = {"action": "add_tags", "ids": ids, "tags": [" new ", "red"]}
    answer = alice.post(BULK, json=body).json
    assert (answer["matched"], answer["changed"]) == (2, 2)
    assert names(alice, tag="new") == "ba"
    assert alice.post(BULK, json={"action": "delete", "ids": ids}).json["changed"] == 2
    assert names(alice) == "c"


def test_bulk_with_a_key_has_its_effect_once(alice, chats):
    headers = {"Idempotency-Key": "k"}
    body = {"action": "pin", "all": True}
    first, second = (alice.post(BULK, json=body, headers=headers) for _ in range(2))
    assert first.json["changed"] == 2
    assert first.data == second.data
    assert second.headers["Idempotency-Replayed"] == "true"


def test_bulk_of_all_leaves_the_archived_ones(alice, chats):
    answer = alice.post(BULK, json={"action": "delete", "all": True}).json
    assert (answer["matched"], answer["changed"]) == (3, 3)
    assert names(alice, archived="any") == "x"


def test_bulk_takes_true_and_any_for_archived(alice, chats):
    for archived, matched in ((True, 1), ("any", 4), (False, 3)):
        body = {"action": "pin", "filter": {"archived": archived}, "dry_run": True}
        assert alice.post(BULK, json=body).json["matched"] == matched, archived


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "/action"),
        ({"action": "sink", "ids": []}, "/action"),
        ({"action": "pin"}, ""),
        ({"action": "pin", "ids": [], "filter": {}}, ""),
        ({"action": "pin", "ids": [], "all": True}, ""),
        ({"action": "pin", "filter": {"pinned": True}, "all": True}, ""),
        ({"action": "delete", "filter": {}}, "/filter"),
        ({"action": "pin", "filter": {}}, "/filter"),
        ({"action": "delete", "filter": {"name": ""}}, "/filter/name"),
        ({"action": "delete", "filter": {"name": "\u0301"}}, "/filter/name"),
        ({"action": "delete", "all": False}, "/all"),
        ({"action": "delete", "all": "true"}, "/all"),
        ({"action": "delete", "all": 1}, "/all"),
        ({"action": "delete", "filter": {"pinned": "false"}}, "/filter/pinned"),
        ({"action": "delete", "filter": {"pinned": 0}}, "/filter/pinned"),
        ({"action": "delete", "filter": {"archived": "false"}}, "/filter/archived"),
        ({"action": "delete", "filter": {"archived": None}}, "/filter/archived"),
        ({"action": "pin", "filter": {"created_after": 1}}, "/filter/created_after"),
        ({"action": "pin", "ids": [UUID_HEX]}, "/ids/0"),
        ({"action": "pin", "ids": [f"urn:uuid:{uuid.UUID(UUID_HEX)}"]}, "/ids/0"),
        ({"action": "pin", "ids": [f"{{{uuid.UUID(UUID_HEX)}}}"]}, "/ids/0"),
        ({"action": "pin", "ids": ["x"]}, "/ids/0"),
        ({"action": "pin", "ids": None}, "/ids"),
        ({"action": "pin", "filter": {"nope": 1}}, "/filter/nope"),
        ({"action": "pin", "filter": {"tag": "red"}}, "/filter/tag"),
        ({"action": "pin", "filter": {"tag": []}}, "/filter/tag"),
        ({"action": "pin", "filter": {"metadata": []}}, "/filter/metadata"),
        ({"action": "pin", "filter": {"metadata": ["a"]}}, "/filter/metadata/0"),
        ({"action": "pin", "filter": {"external_id": ""}}, "/filter/external_id"),
        ({"action": "delete", "filter": {"tag_any": []}}, "/filter/tag_any"),
        ({"action": "pin", "filter": {"name": 1}}, "/filter/name"),
        ({"action": "pin", "ids": [], "tags": ["t"]}, "/tags"),
        ({"action": "add_tags", "ids": []}, "/tags"),
        ({"action": "add_tags", "ids": [], "tags": []}, "/tags"),
        ({"action": "add_tags", "ids": [], "tags": [" "]}, "/tags/0"),
        ({"action": "pin", "ids": [], "dry_run": "true"}, "/dry_run"),
    ],
)
def test_bulk_refuses_a_malformed_body(alice, body, pointer):
    assert_problem(alice.post(BULK, json=body), 422, pointer=pointer)


def test_bulk_refuses_more_than_it_may_change(make_app, make_session):
    client = make_app(max_bulk_sessions=1).test_client()
    ids = [str(make_session().id) for _ in range(2)]
    for body, pointer in (({"ids": ids}, "/ids"), ({"all": True}, "/all")):
        answer = client.post(BULK, json={"action": "delete"} | body)
        problem = assert_problem(answer, 422, pointer=pointer)
        assert "CHATSTORE_MAX_BULK_SESSIONS" in problem["errors"][0]["detail"]
    assert len(client.get(SESSIONS).json["sessions"]) == 2


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_bulk_is_no_session(alice, method):
    assert_problem(alice.open(BULK, method=method), 405)
