import re
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest
from flask import Response

from chatstore.models import ChatSession, IdempotencyRecord, Message
from chatstore.web.responses import messages_of
from tests.support import (
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

KEY = {"Idempotency-Key": "k1"}
HI = {"content": "hi"}


def counted(app, model):
    with app.app_context():
        from chatstore.db import db

        return count(db.session, model)


def test_a_repeated_append_is_made_once_and_answered_alike(app, alice, make_session):
    url = messages_url(make_session())
    first = alice.post(url, json=HI, headers=KEY)
    second = alice.post(url, json=HI, headers=KEY)
    assert (first.status_code, second.status_code) == (201, 201)
    assert second.data == first.data
    assert second.headers["Location"] == first.headers["Location"]
    assert second.content_type == "application/json"
    assert counted(app, Message) == 1


def test_only_the_repetition_says_that_it_is_one(alice, make_session):
    url = messages_url(make_session())
    assert "Idempotency-Replayed" not in alice.post(url, json=HI, headers=KEY).headers
    again = alice.post(url, json=HI, headers=KEY)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_a_repeated_creation_is_made_once(app, alice):
    first = alice.post(SESSIONS, json={"name": "n"}, headers=KEY)
    second = alice.post(SESSIONS, json={"name": "n"}, headers=KEY)
    assert second.json == first.json
    assert second.headers["ETag"] == first.headers["ETag"] == '"1"'
    assert counted(app, ChatSession) == 1


def test_a_repeated_batch_is_made_once(app, alice, make_session):
    url = f"{messages_url(make_session())}/batch"
    body = {"messages": [HI, HI], "expected_seq": 1}
    first = alice.post(url, json=body, headers=KEY)
    second = alice.post(url, json=body, headers=KEY)
    assert (first.status_code, second.data) == (201, first.data)
    assert counted(app, Message) == 2


def test_a_quoted_key_is_the_same_key(app, alice, make_session):
    url = messages_url(make_session())
    alice.post(url, json=HI, headers={"Idempotency-Key": '"k1"'})
    alice.post(url, json=HI, headers=KEY)
    assert counted(app, Message) == 1


def test_another_key_is_another_request(app, alice, make_session):
    url = messages_url(make_session())
    alice.post(url, json=HI, headers=KEY)
    alice.post(url, json=HI, headers={"Idempotency-Key": "k2"})
    assert counted(app, Message) == 2


def test_a_key_with_another_body_is_refused(app, alice, make_session):
    url = messages_url(make_session())
    alice.post(url, json=HI, headers=KEY)
    response = alice.post(url, json={"content": "ho"}, headers=KEY)
    problem = assert_problem(response, 422, pointer="")
    assert problem["type"].endswith("idempotency-key-reused")
    assert problem["detail"] == problem["errors"][0]["detail"]
    assert (
        "A request with another body has used Idempotency-Key 'k1'" in problem["detail"]
    )
    assert counted(app, Message) == 1


def test_a_body_in_another_order_is_another_body(app, alice, make_session):
    url = messages_url(make_session())
    first, second = b'{"content":"hi","role":"user"}', b'{"role":"user","content":"hi"}'
    sent = {"headers": KEY, "content_type": "application/json"}
    assert alice.post(url, data=first, **sent).status_code == 201
    answer = alice.post(url, data=second, **sent)
    assert_problem(answer, 422, detail="another body.*same order")
    assert counted(app, Message) == 1


def test_a_key_with_another_path_says_another_request(alice, make_session):
    alice.post(messages_url(make_session()), json=HI, headers=KEY)
    answer = alice.post(messages_url(make_session()), json=HI, headers=KEY)
    assert_problem(answer, 422, detail="Another request has used")


def test_a_key_with_another_path_is_refused(alice, make_session):
    alice.post(messages_url(make_session()), json=HI, headers=KEY)
    response = alice.post(messages_url(make_session()), json=HI, headers=KEY)
    assert_problem(response, 422, pointer="")


def test_the_slash_at_the_end_makes_no_other_request(app, alice, make_session):
    url = messages_url(make_session())
    alice.post(url, json=HI, headers=KEY)
    assert alice.post(f"{url}/", json=HI, headers=KEY).status_code == 201
    assert counted(app, Message) == 1


@pytest.mark.parametrize("key", ["", '""', "x" * 256, "naïve", "tab\tbed"])
def test_an_unfit_key_is_refused(app, alice, make_session, key):
    response = alice.post(
        messages_url(make_session()), json=HI, headers={"Idempotency-Key": key}
    )
    assert_problem(response, 400, detail="Idempotency-Key")
    assert counted(app, Message) == 0


@pytest.mark.parametrize("keys", [["a", "b"], ['"a"', '"b"'], ['"a', "b"], ["a,b"]])
def test_two_keys_are_refused(app, alice, make_session, keys):
    response = alice.post(
        messages_url(make_session()),
        json=HI,
        headers=[("Idempotency-Key", key) for key in keys],
    )
    assert_problem(response, 400, detail="Send one Idempotency-Key. .* double quotes")
    assert counted(app, Message) == 0


def test_a_quoted_key_may_have_a_comma(app, alice, make_session):
    url = messages_url(make_session())
    for key in ('"a,b"', '"a,b"', '"a"'):
        answer = alice.post(url, json=HI, headers={"Idempotency-Key": key})
        assert answer.status_code == 201
    assert counted(app, Message) == 2


def test_the_document_says_which_keys_are_taken(alice, make_session):
    url = messages_url(make_session())
    for key in ("k", "k 1", 'a"b', "-", "a-b.c/d", "~+", "x" * 255):
        assert re.search(documented_pattern(alice), key)
        answer = alice.post(url, json=HI, headers={"Idempotency-Key": key})
        assert answer.status_code == 201
    for key in ("", "a,b", "a,", ",", " a", '"a"', "ä", "x" * 256):
        assert not re.search(documented_pattern(alice), key)


def documented_pattern(client):
    parameters = client.get("/openapi.json").json["components"]["parameters"]
    return parameters["IDEMPOTENCY_KEY"]["schema"]["pattern"]


def test_the_longest_key_is_taken(alice, make_session):
    headers = {"Idempotency-Key": "x" * 255}
    url = messages_url(make_session())
    assert alice.post(url, json=HI, headers=headers).status_code == 201


@pytest.mark.parametrize("body", [{"content": 1}, {"content": "x", "expected_seq": 9}])
def test_an_error_leaves_the_key_free(app, alice, make_session, body):
    url = messages_url(make_session())
    assert alice.post(url, json=body, headers=KEY).status_code in (409, 422)
    assert counted(app, IdempotencyRecord) == 0
    assert alice.post(url, json=HI, headers=KEY).status_code == 201


def test_a_missing_session_leaves_the_key_free(app, alice):
    url = messages_url({"id": MISSING_ID})
    assert_problem(alice.post(url, json=HI, headers=KEY), 404)
    assert counted(app, IdempotencyRecord) == 0


def test_a_replay_outlives_its_session(alice, make_session):
    chat = make_session()
    first = alice.post(messages_url(chat), json=HI, headers=KEY)
    alice.delete(session_url(chat))
    assert alice.post(messages_url(chat), json=HI, headers=KEY).data == first.data
    alice.delete(f"{session_url(chat)}?purge=true")
    assert_problem(alice.post(messages_url(chat), json=HI, headers=KEY), 410)


def test_eight_clients_at_once_make_one_message(app, make_session):
    url = messages_url(make_session())

    def post(_):
        return app.test_client().post(url, json=HI, headers=KEY)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(post, range(8)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.data for answer in answers}) == 1
    replays = [a for a in answers if a.headers.get("Idempotency-Replayed") == "true"]
    assert len(replays) == 7
    assert counted(app, Message) == 1


@pytest.mark.parametrize(
    ("location", "count", "messages"),
    [
        (f"/api/v1/sessions/{MISSING_ID}", 2, (1, 2, UUID(MISSING_ID))),
        (f"/api/v1/sessions/{MISSING_ID}", 0, (None, None, UUID(MISSING_ID))),
        (f"/api/v1/sessions/{MISSING_ID}/messages/1", 2, (None, None, None)),
        ("", 2, (None, None, None)),
    ],
)
def test_the_answer_of_a_creation_shows_its_messages(location, count, messages):
    headers = {"Location": location} if location else {}
    body = f'{{"id":"{MISSING_ID}","message_count":{count}}}'
    response = Response(body, 201, headers)
    assert messages_of(response) == messages
