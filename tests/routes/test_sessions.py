from datetime import timedelta

import pytest

from chatstore.db import db
from chatstore.models import ChatSession, Message
from tests.support import (
    ANY_ID,
    API,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

WITH_AND_WITHOUT_SLASH = pytest.mark.parametrize("slash", ["", "/"])
# Ids that are not a UUID in its canonical form.
MALFORMED_IDS = (
    "nope",
    "0",
    MISSING_ID.replace("-", ""),
    f"{{{MISSING_ID}}}",
    f"{MISSING_ID}0",
    f"urn:uuid:{MISSING_ID}",
    "%00",
    "%ff",
)


def ids(page):
    return [each["id"] for each in page["sessions"]]


def walk(client, query):
    """Follow next_cursor to the end; return the ids of each page."""
    pages = []
    cursor = ""
    while cursor is not None:
        page = client.get(f"{SESSIONS}?{query}{cursor and f'&cursor={cursor}'}").json
        pages.append(ids(page))
        cursor = page["next_cursor"]
    return pages


# Create


def test_create_returns_the_session(alice, clock):
    body = {
        "name": "Plans",
        "llm_model_name": "gpt-x",
        "rag_document_ids": ["handbook", "handbook"],
        "metadata_tags": ["b", "a"],
    }
    response = alice.post(SESSIONS, json=body)
    assert response.status_code == 201
    assert response.json == {
        "id": ANY_ID,
        "name": "Plans",
        "created_at": clock.iso,
        "last_updated_at": clock.iso,
        "llm_model_name": "gpt-x",
        "rag_document_ids": ["handbook", "handbook"],
        "metadata_tags": ["b", "a"],
        "message_count": 0,
        "last_message_preview": None,
        "pinned": False,
        "archived": False,
        "archived_at": None,
        "expires_at": None,
        "metadata": {},
        "external_id": None,
        "forked_from": None,
        "head_seq": None,
        "input_tokens": 0,
        "output_tokens": 0,
    }


def test_create_from_nothing_fills_in_the_defaults(alice, clock):
    response = alice.post(SESSIONS, json={})
    assert response.status_code == 201
    assert response.json == {
        "id": ANY_ID,
        "name": None,
        "created_at": clock.iso,
        "last_updated_at": clock.iso,
        "llm_model_name": "test-model",
        "rag_document_ids": [],
        "metadata_tags": [],
        "message_count": 0,
        "last_message_preview": None,
        "pinned": False,
        "archived": False,
        "archived_at": None,
        "expires_at": None,
        "metadata": {},
        "external_id": None,
        "forked_from": None,
        "head_seq": None,
        "input_tokens": 0,
        "output_tokens": 0,
    }


def test_create_says_where_the_session_is(alice):
    response = alice.post(SESSIONS, json={"name": "Plans"})
    location = response.headers["Location"]
    assert location == f"{API}/sessions/{response.json['id']}"
    assert response.headers["ETag"] == '"1"'
    assert alice.get(location).json == response.json


@WITH_AND_WITHOUT_SLASH
def test_create_needs_no_redirect(alice, slash):
    response = alice.post(f"{API}/sessions{slash}", json={})
    assert response.status_code == 201
    assert response.headers["X-Request-Id"]


@pytest.mark.parametrize("name", [None, "", " ", "𝒳" * 255])
def test_create_keeps_the_name_as_it_is(alice, name):
    response = alice.post(SESSIONS, json={"name": name})
    assert alice.get(response.headers["Location"]).json["name"] == name


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"name": 1}, "/name"),
        ({"name": "x" * 256}, "/name"),
        ({"llm_model_name": ""}, "/llm_model_name"),
        ({"metadata_tags": [1]}, "/metadata_tags/0"),
        ({"owner_id": "bob"}, "/owner_id"),
    ],
)
def test_create_refuses_a_malformed_session(alice, body, pointer):
    response = alice.post(SESSIONS, json=body)
    assert_problem(response, 422, pointer=pointer)
    assert alice.get(SESSIONS).json["sessions"] == []


# List


def test_list_returns_whole_sessions(alice, make_session, clock):
    chat = make_session(name="Plans", messages=1)
    updated = clock.iso
    response = alice.get(SESSIONS)
    assert response.status_code == 200
    assert response.json == {
        "sessions": [
            {
                "id": str(chat.id),
                "name": "Plans",
                "created_at": "2026-01-02T03:04:06.678901Z",
                "last_updated_at": updated,
                "llm_model_name": "test-model",
                "rag_document_ids": [],
                "metadata_tags": [],
                "message_count": 1,
                "last_message_preview": "m1",
                "pinned": False,
                "archived": False,
                "archived_at": None,
                "expires_at": None,
                "metadata": {},
                "external_id": None,
                "forked_from": None,
                "head_seq": 1,
                "input_tokens": 0,
                "output_tokens": 0,
            }
        ],
        "next_cursor": None,
        "previous_cursor": None,
    }


@WITH_AND_WITHOUT_SLASH
def test_list_needs_no_redirect(alice, slash):
    response = alice.get(f"{API}/sessions{slash}")
    assert response.status_code == 200
    assert response.json == {
        "sessions": [],
        "next_cursor": None,
        "previous_cursor": None,
    }


def test_list_puts_the_newest_activity_first(alice, make_session, clock):
    first, second, third = (str(make_session().id) for _ in range(3))
    assert ids(alice.get(SESSIONS).json) == [third, second, first]
    alice.post(messages_url({"id": first}), json={"content": "hi"})
    assert ids(alice.get(SESSIONS).json) == [first, third, second]


def test_a_change_does_not_move_a_session_up_the_list(alice, make_session, clock):
    first, second = make_session(), make_session()
    alice.patch(session_url(first), json={"name": "new"})
    assert ids(alice.get(SESSIONS).json) == [str(second.id), str(first.id)]


def test_list_has_fifty_sessions_by_default(alice, make_session):
    for _ in range(51):
        make_session()
    page = alice.get(SESSIONS).json
    rest = alice.get(f"{SESSIONS}?cursor={page['next_cursor']}").json
    assert (len(page["sessions"]), len(rest["sessions"])) == (50, 1)
    assert rest["next_cursor"] is None


def test_cursors_lead_through_every_session_once(alice, make_session, clock):
    stored = [str(make_session().id) for _ in range(5)][::-1]
    for limit in range(1, 7):
        pages = walk(alice, f"limit={limit}")
        assert [each for page in pages for each in page] == stored
        assert all(len(page) == limit for page in pages[:-1])
        assert pages[-1]


def test_cursors_lead_through_sessions_of_one_instant(alice, make_session, clock):
    clock.step = timedelta(0)
    expected = sorted((str(make_session().id) for _ in range(7)), reverse=True)
    assert ids(alice.get(SESSIONS).json) == expected
    pages = walk(alice, "limit=2")
    assert [each for page in pages for each in page] == expected


def test_a_cursor_goes_on_where_it_was(alice, make_session, clock):
    older, newer = make_session(), make_session()
    page = alice.get(f"{SESSIONS}?limit=1").json
    make_session()
    rest = alice.get(f"{SESSIONS}?cursor={page['next_cursor']}").json
    assert ids(page) + ids(rest) == [str(newer.id), str(older.id)]


OFFSETS = {
    "offset=0": [0, 1, 2, 3],
    "offset=1": [1, 2, 3],
    "limit=2&offset=1": [1, 2],
    "limit=2&offset=2": [2, 3],
    "offset=4": [],
    "limit=1&offset=99": [],
    "limit=1000&offset=100000": [],
}


def test_offset_passes_sessions_over(alice, make_session, clock):
    stored = [str(make_session().id) for _ in range(4)][::-1]
    for query, places in OFFSETS.items():
        page = alice.get(f"{SESSIONS}?{query}").json
        assert ids(page) == [stored[place] for place in places], query


def test_a_cursor_goes_on_from_an_offset(alice, make_session, clock):
    expected = [str(make_session().id) for _ in range(4)][::-1]
    page = alice.get(f"{SESSIONS}?limit=1&offset=1").json
    rest = alice.get(f"{SESSIONS}?cursor={page['next_cursor']}").json
    assert ids(page) + ids(rest) == expected[1:]


def test_list_leaves_out_another_owners_sessions(alice, make_session, clock):
    mine = [str(make_session().id)]
    make_session(owner_id="bob")
    mine.insert(0, str(make_session().id))
    make_session(owner_id="bob")
    assert ids(alice.get(SESSIONS).json) == mine
    assert walk(alice, "limit=1") == [mine[:1], mine[1:]]
    assert ids(alice.get(f"{SESSIONS}?offset=1").json) == mine[1:]


def damaged_cursors():
    yield "forged", lambda one, other: "x"
    yield "empty", lambda one, other: ""
    yield "not ASCII", lambda one, other: "%C3%A9.%FF"
    yield "truncated", lambda one, other: one[:-1]
    yield "without its signature", lambda one, other: one.rpartition(".")[0]
    yield (
        "with another's signature",
        lambda one, other: f"{one.rpartition('.')[0]}.{other.rpartition('.')[2]}",
    )
    yield "lengthened", lambda one, other: f"x{one}"
    yield "twice", lambda one, other: one + one


@pytest.mark.parametrize(
    "damage", [pytest.param(damage, id=name) for name, damage in damaged_cursors()]
)
def test_list_refuses_a_damaged_cursor(alice, make_session, damage):
    for _ in range(3):
        make_session()
    one, other = (
        alice.get(f"{SESSIONS}?limit=1&offset={offset}").json["next_cursor"]
        for offset in (0, 1)
    )
    response = alice.get(f"{SESSIONS}?cursor={damage(one, other)}")
    assert_problem(response, 400, detail="cursor")


def test_a_cursor_signed_with_another_secret_is_refused(alice, make_app, make_session):
    make_session(), make_session()
    cursor = alice.get(f"{SESSIONS}?limit=1").json["next_cursor"]
    restarted, stranger = make_app(), make_app()
    stranger.config["SECRET_KEY"] = "another secret"
    url = f"{SESSIONS}?cursor={cursor}"
    assert len(restarted.test_client().get(url).json["sessions"]) == 1
    assert_problem(stranger.test_client().get(url), 400, detail="cursor")


@pytest.mark.parametrize("offset", [0, 1])
def test_list_refuses_an_offset_beside_a_cursor(alice, make_session, offset):
    make_session(), make_session()
    cursor = alice.get(f"{SESSIONS}?limit=1").json["next_cursor"]
    response = alice.get(f"{SESSIONS}?cursor={cursor}&offset={offset}")
    assert_problem(response, 422, pointer="/offset")


# Read


@WITH_AND_WITHOUT_SLASH
def test_get_returns_the_session(alice, make_session, clock, slash):
    chat = make_session(name="Plans", rag_document_ids=["d"], metadata_tags=["t"])
    response = alice.get(session_url(chat) + slash)
    assert response.status_code == 200
    assert response.headers["ETag"] == '"1"'
    assert response.headers["X-Request-Id"]
    assert response.json == {
        "id": str(chat.id),
        "name": "Plans",
        "created_at": clock.iso,
        "last_updated_at": clock.iso,
        "llm_model_name": "test-model",
        "rag_document_ids": ["d"],
        "metadata_tags": ["t"],
        "message_count": 0,
        "last_message_preview": None,
        "pinned": False,
        "archived": False,
        "archived_at": None,
        "expires_at": None,
        "metadata": {},
        "external_id": None,
        "forked_from": None,
        "head_seq": None,
        "input_tokens": 0,
        "output_tokens": 0,
    }


def test_head_answers_like_get_without_the_body(alice, make_session):
    url = session_url(make_session())
    head, get = alice.head(url), alice.get(url)
    assert head.status_code == 200
    assert head.data == b""
    for name in ("ETag", "Content-Type", "Content-Length"):
        assert head.headers[name] == get.headers[name]


def test_get_finds_the_id_in_capitals(alice, make_session):
    chat = make_session()
    response = alice.get(f"{API}/sessions/{str(chat.id).upper()}")
    assert response.json["id"] == str(chat.id)


@pytest.mark.parametrize("tag", ['"2"', 'W/"2"', '"1", W/"2"', "*"])
def test_get_of_a_known_revision_is_not_modified(alice, make_session, tag):
    chat = make_session(messages=1)
    response = alice.get(session_url(chat), headers={"If-None-Match": tag})
    assert response.status_code == 304
    assert response.data == b""
    assert response.headers["ETag"] == '"2"'
    assert response.headers["X-Request-Id"]


@pytest.mark.parametrize("tag", ['"1"', 'W/"1"', '"02"', '""', '"2', "garbage", ","])
def test_get_of_an_unknown_revision_returns_it(alice, make_session, tag):
    chat = make_session(messages=1)
    response = alice.get(session_url(chat), headers={"If-None-Match": tag})
    assert response.status_code == 200
    assert response.json["message_count"] == 1


# Change


@WITH_AND_WITHOUT_SLASH
def test_patch_returns_the_changed_session(alice, make_session, clock, slash):
    chat = make_session(messages=1)
    made = alice.get(session_url(chat)).json
    changes = {
        "name": "New",
        "llm_model_name": "gpt-y",
        "rag_document_ids": ["d2", "d1"],
        "metadata_tags": ["t2", "t1"],
    }
    response = alice.patch(session_url(chat) + slash, json=changes)
    assert response.status_code == 200
    assert response.headers["ETag"] == '"3"'
    assert response.json == {
        "id": str(chat.id),
        "name": "New",
        "created_at": made["created_at"],
        "last_updated_at": made["last_updated_at"],
        "llm_model_name": "gpt-y",
        "rag_document_ids": ["d2", "d1"],
        "metadata_tags": ["t2", "t1"],
        "message_count": 1,
        "last_message_preview": "m1",
        "pinned": False,
        "archived": False,
        "archived_at": None,
        "expires_at": None,
        "metadata": {},
        "external_id": None,
        "forked_from": None,
        "head_seq": 1,
        "input_tokens": 0,
        "output_tokens": 0,
    }
    assert alice.get(session_url(chat)).json == response.json


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "New"),
        ("name", None),
        ("llm_model_name", "gpt-y"),
        ("rag_document_ids", []),
        ("metadata_tags", []),
    ],
)
def test_patch_changes_one_field(alice, make_session, field, value):
    chat = make_session(name="Plans", rag_document_ids=["d"], metadata_tags=["t"])
    before = alice.get(session_url(chat)).json
    response = alice.patch(session_url(chat), json={field: value})
    assert response.status_code == 200
    assert response.json == before | {field: value}
    assert alice.get(session_url(chat)).json == response.json


@pytest.mark.parametrize(("head_seq", "stored"), [(1, 1), (2, 2), (3, None)])
def test_patch_switches_branches_and_moves_nothing_else(
    alice, app, make_session, head_seq, stored
):
    chat = make_session(messages=3)
    before = alice.get(session_url(chat)).json
    for _ in range(2):
        response = alice.patch(session_url(chat), json={"head_seq": head_seq})
        assert response.status_code == 200
        assert response.json == before | {"head_seq": head_seq}
        assert alice.get(session_url(chat)).json == response.json
        assert alice.get(SESSIONS).json["sessions"] == [response.json]
    with app.app_context():
        assert db.session.get(ChatSession, chat.id).head_seq == stored


def test_an_append_follows_the_head_and_becomes_it(alice, make_session):
    chat = make_session(messages=3)
    alice.patch(session_url(chat), json={"head_seq": 1})
    message = alice.post(messages_url(chat), json={"content": "x"}).json
    assert (message["seq"], message["parent_seq"]) == (4, 1)
    assert alice.get(session_url(chat)).json["head_seq"] == 4


@pytest.mark.parametrize("head_seq", [4, 2**31, 2**53 - 1])
def test_patch_refuses_a_head_that_is_not_there(alice, make_session, head_seq):
    chat = make_session(messages=3)
    before = alice.get(session_url(chat)).json
    body = {"head_seq": head_seq, "name": "New"}
    response = alice.patch(session_url(chat), json=body)
    problem = assert_problem(response, 409, detail=f"no message {head_seq} to show")
    assert problem["type"] == "urn:chatstore:problem:head-missing"
    assert problem["last_seq"] == 3
    assert alice.get(session_url(chat)).json == before


def test_patch_refuses_a_head_in_an_empty_session(alice, make_session):
    response = alice.patch(session_url(make_session()), json={"head_seq": 1})
    assert_problem(response, 409, detail="the last seq is 0")


@pytest.mark.parametrize("head_seq", [0, -1, None, "1", 1.5, True, 2**53])
def test_patch_refuses_a_head_that_is_no_seq(alice, make_session, head_seq):
    chat = make_session(messages=3)
    response = alice.patch(session_url(chat), json={"head_seq": head_seq})
    assert_problem(response, 422, pointer="/head_seq")


@pytest.mark.parametrize(("head_seq", "status"), [(1, 412), (9, 412)])
def test_a_head_is_not_moved_at_another_revision(alice, make_session, head_seq, status):
    chat = make_session(messages=3)
    response = alice.patch(
        session_url(chat), json={"head_seq": head_seq}, headers={"If-Match": '"1"'}
    )
    assert_problem(response, status)


@pytest.mark.parametrize("head_seq", [1, 9])
def test_somebody_elses_head_is_not_moved(alice, make_session, head_seq):
    chat = make_session(messages=3, owner_id="bob")
    response = alice.patch(session_url(chat), json={"head_seq": head_seq})
    assert_problem(response, 404, detail=f"There is no session {chat.id}")


def test_an_empty_patch_bumps_no_revision(alice, make_session):
    chat = make_session(messages=1)
    before = alice.get(session_url(chat))
    response = alice.patch(session_url(chat), json={})
    assert response.status_code == 200
    assert response.json == before.json
    assert response.headers["ETag"] == before.headers["ETag"] == '"2"'


@pytest.mark.parametrize("field", ["id", "message_count", "revision", "owner_id"])
def test_patch_refuses_what_is_not_the_callers_to_set(alice, make_session, field):
    chat = make_session()
    response = alice.patch(session_url(chat), json={field: "1"})
    assert_problem(response, 422, pointer=f"/{field}")
    assert alice.get(session_url(chat)).headers["ETag"] == '"1"'


# Delete


@WITH_AND_WITHOUT_SLASH
def test_delete_removes_the_session_and_its_messages(alice, app, make_session, slash):
    chat, other = make_session(messages=2), make_session(messages=1)
    response = alice.delete(f"{session_url(chat)}{slash}?purge=true")
    assert (response.status_code, response.data) == (204, b"")
    assert_problem(alice.get(session_url(chat)), 404)
    assert_problem(alice.get(messages_url(chat)), 404)
    assert_problem(alice.delete(session_url(chat)), 404)
    with app.app_context():
        assert count(db.session, ChatSession) == 1
        assert count(db.session, Message) == 1
    assert alice.get(session_url(other)).json["message_count"] == 1


# Preconditions


CHANGES = pytest.mark.parametrize(
    ("method", "json", "status"),
    [("PATCH", {"name": "New"}, 200), ("DELETE", None, 204)],
)


@CHANGES
@pytest.mark.parametrize("tag", ['"2"', '"1", "2"', '"garbage", "2"', "*"])
def test_a_change_at_the_right_revision_is_made(
    alice, make_session, method, json, status, tag
):
    url = session_url(make_session(messages=1))
    response = alice.open(url, method=method, json=json, headers={"If-Match": tag})
    assert response.status_code == status


@CHANGES
@pytest.mark.parametrize(
    "tag", ['"1"', 'W/"2"', '"1", "3"', "garbage", '"2', '""', '"02"', ","]
)
def test_a_change_at_another_revision_is_not_made(
    alice, make_session, method, json, status, tag
):
    url = session_url(make_session(messages=1))
    before = alice.get(url)
    response = alice.open(url, method=method, json=json, headers={"If-Match": tag})
    assert_problem(response, 412)
    after = alice.get(url)
    assert (after.json, after.headers["ETag"]) == (before.json, '"2"')


@pytest.mark.parametrize(("tag", "status"), [('"2"', 200), ("*", 200), ('"1"', 412)])
def test_an_empty_patch_heeds_its_precondition(alice, make_session, tag, status):
    url = session_url(make_session(messages=1))
    response = alice.patch(url, json={}, headers={"If-Match": tag})
    assert response.status_code == status
    assert alice.get(url).headers["ETag"] == '"2"'


def test_the_second_of_two_changes_to_one_revision_is_refused(alice, make_session):
    url = session_url(make_session())
    seen = {"If-Match": alice.get(url).headers["ETag"]}
    first = alice.patch(url, json={"name": "first"}, headers=seen)
    second = alice.patch(url, json={"name": "second"}, headers=seen)
    assert first.status_code == 200
    assert_problem(second, 412)
    assert alice.get(url).json["name"] == "first"


@pytest.mark.parametrize("tag", ['"1"', "*"])
@CHANGES
def test_a_precondition_on_nothing_is_not_found(alice, method, json, status, tag):
    url = session_url({"id": MISSING_ID})
    response = alice.open(url, method=method, json=json, headers={"If-Match": tag})
    assert_problem(response, 404)


# Missing resources


READS_AND_CHANGES = pytest.mark.parametrize(
    ("method", "json"), [("GET", None), ("PATCH", {"name": "x"}), ("DELETE", None)]
)


@READS_AND_CHANGES
def test_another_owners_session_is_not_found(alice, app, make_session, method, json):
    chat = make_session(owner_id="bob", name="Bob's", messages=1)
    response = alice.open(session_url(chat), method=method, json=json)
    problem = assert_problem(response, 404)
    assert "Bob" not in response.text
    missing = alice.open(session_url({"id": MISSING_ID}), method=method, json=json)
    assert problem["detail"] == missing.json["detail"].replace(MISSING_ID, str(chat.id))
    with app.app_context():
        assert db.session.get(ChatSession, chat.id).revision == 2


def test_a_missing_or_malformed_id_is_not_found(alice):
    for session_id in (MISSING_ID, *MALFORMED_IDS):
        url = f"{API}/sessions/{session_id}"
        assert_problem(alice.get(url), 404)
        assert_problem(alice.patch(url, json={"name": "x"}), 404)
        assert_problem(alice.delete(url), 404)


@pytest.mark.parametrize(
    ("method", "url", "allowed"),
    [
        ("PUT", f"{API}/sessions/", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("DELETE", f"{API}/sessions", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("PATCH", f"{API}/sessions/", {"GET", "HEAD", "OPTIONS", "POST"}),
        (
            "POST",
            f"{API}/sessions/{MISSING_ID}",
            {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"},
        ),
        (
            "PUT",
            f"{API}/sessions/{MISSING_ID}/",
            {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH"},
        ),
    ],
)
def test_a_wrong_method_is_told_the_right_ones(alice, method, url, allowed):
    response = alice.open(url, method=method, json={})
    assert_problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) == allowed
