"""Sessions by the ids of their owner's own records."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from chatstore.models import ChatSession, Message
from tests.support import (
    ANY_ID,
    API,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

URL = f"{API}/sessions/by-external-id/ticket/1"
BODY = {"name": "Plans", "metadata": {"team": "a"}, "messages": [{"content": "hi"}]}


def assert_taken(response):
    problem = assert_problem(response, 409)
    assert problem["type"] == "urn:chatstore:problem:external-id-taken"


def test_put_creates_the_session(alice, clock):
    response = alice.put(URL, json={"name": "Plans", "metadata": {"team": "a"}})
    assert response.status_code == 201
    assert response.json == {
        "id": ANY_ID,
        "name": "Plans",
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
        "metadata": {"team": "a"},
        "external_id": "ticket/1",
        "forked_from": None,
        "head_seq": None,
        "input_tokens": 0,
        "output_tokens": 0,
    }
    assert response.headers["Location"] == session_url(response.json)
    assert response.headers["ETag"] == '"1"'


def test_put_answers_the_session_that_is_there(alice):
    created = alice.put(URL, json=BODY)
    again = alice.put(URL, json=BODY | {"name": "other"})
    assert (created.status_code, again.status_code) == (201, 200)
    assert again.json == created.json
    assert again.headers["ETag"] == created.headers["ETag"]
    listing = alice.get(messages_url(created.json)).json
    assert [each["content"] for each in listing["messages"]] == ["hi"]


def test_racing_puts_create_one_session(app, db_session):
    def put(_):
        response = app.test_client().put(URL, json=BODY)
        return response.status_code, response.json["id"]

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(put, range(24)))
    assert sorted(status for status, _ in answers) == [200] * 23 + [201]
    assert len({session_id for _, session_id in answers}) == 1
    assert (count(db_session, ChatSession), count(db_session, Message)) == (1, 1)


def test_racing_posts_create_one_session(app, db_session):
    def post(_):
        body = BODY | {"external_id": "ticket/1"}
        return app.test_client().post(SESSIONS, json=body)

    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(16)))
    refused = [each for each in answers if each.status_code != 201]
    assert len(refused) == 15
    for each in refused:
        assert_taken(each)
    assert (count(db_session, ChatSession), count(db_session, Message)) == (1, 1)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"external_id": "ticket/1"}, "/external_id"),
        ({"pinned": True}, "/pinned"),
        ({"name": 1}, "/name"),
    ],
)
def test_put_refuses_a_malformed_session(alice, body, pointer):
    assert_problem(alice.put(URL, json=body), 422, pointer=pointer)
    assert_problem(alice.get(URL), 404)


def test_get_returns_the_session_unless_it_is_the_same(alice):
    created = alice.put(URL, json=BODY)
    found = alice.get(URL)
    assert (found.status_code, found.json) == (200, created.json)
    # The message is a change.
    etag = found.headers["ETag"]
    assert etag.startswith('"2-')
    assert alice.get(URL, headers={"If-None-Match": etag}).status_code == 304


def test_another_owners_external_id_is_free_and_unknown(alice, make_session):
    make_session(owner_id="bob", external_id="ticket/1")
    missing = assert_problem(alice.get(URL), 404, detail="ticket/1")
    assert missing["title"] == "Not found"
    assert alice.put(URL, json={}).status_code == 201


def test_an_external_id_belongs_to_one_session(alice):
    alice.put(URL, json={})
    other = alice.post(SESSIONS, json={"external_id": "ticket/2"}).json
    assert_taken(alice.post(SESSIONS, json={"external_id": "ticket/1"}))
    assert_taken(alice.patch(session_url(other), json={"external_id": "ticket/1"}))
    assert alice.get(session_url(other)).json == other


def test_an_external_id_can_be_changed_and_removed(alice):
    chat = alice.put(URL, json={}).json
    for external_id in ("ticket/1", "b", None, None, "c"):
        body = {"external_id": external_id}
        assert alice.patch(session_url(chat), json=body).json == chat | body
    assert_problem(alice.get(URL), 404)
    assert alice.put(URL, json={}).status_code == 201


def test_a_stale_or_missing_session_is_refused_before_its_external_id(alice):
    alice.put(URL, json={})
    other = alice.post(SESSIONS, json={}).json
    body = {"external_id": "ticket/1"}
    headers = {"If-Match": '"9"'}
    stale = alice.patch(session_url(other), json=body, headers=headers)
    assert_problem(stale, 412)
    missing = session_url({"id": "00000000-0000-4000-8000-000000000000"})
    assert_problem(alice.patch(missing, json=body), 404)


@pytest.mark.parametrize("external_id", ["", "x" * 256, 1, "a\0"])
def test_an_external_id_has_a_size(alice, external_id):
    for body in ({"external_id": external_id},):
        assert_problem(alice.post(SESSIONS, json=body), 422, pointer="/external_id")


def test_a_deleted_session_frees_its_external_id(alice):
    many = [{"content": "x"}] * 1000
    chat = alice.put(URL, json={"messages": many}).json
    alice.post(f"{messages_url(chat)}/batch", json={"messages": many})
    assert alice.delete(session_url(chat)).status_code == 204
    assert_problem(alice.get(URL), 404)
    assert alice.put(URL, json={}).status_code == 201


def test_a_tag_of_another_session_with_the_external_id_is_not_known(alice):
    first = alice.put(URL, json={"name": "old"}).json
    etag = alice.get(URL).headers["ETag"]
    assert alice.get(URL, headers={"If-None-Match": etag}).status_code == 304
    assert alice.delete(session_url(first)).status_code == 204
    alice.put(URL, json={"name": "new"})
    answer = alice.get(URL, headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json["name"]) == (200, "new")
