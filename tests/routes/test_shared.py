import pytest

from chatstore.access.share_reads import ShareReads
from chatstore.app_state import get_from_app
from chatstore.schemas.shares import SharedMessageSchema
from tests.support import (
    ANY_ID,
    API,
    SESSIONS,
    assert_problem,
    messages_url,
    session_url,
)
from tests.support.access import bearer, keyed_client

PRIVATE = {
    "metadata_tags": ["canary"],
    "metadata": {"canary": 1},
    "rag_document_ids": ["canary"],
    "external_id": "canary",
}
MESSAGE = {"content": "hi", "metadata": {"canary": 1}, "usage": {"input_tokens": 7}}


@pytest.fixture
def chat(alice):
    chat = alice.post(SESSIONS, json={"name": "Plans", **PRIVATE}).json
    alice.post(messages_url(chat), json=MESSAGE)
    alice.post(messages_url(chat), json={"role": "assistant", "content": "ho"})
    return chat


@pytest.fixture
def url(alice, chat):
    return alice.post(f"{session_url(chat)}/shares", json={}).json["url"]


def test_a_link_shows_the_session_and_its_messages(alice, chat, url):
    message = {"seq": 1, "timestamp": ANY_ID, "role": "user", "content": "hi"}
    response = alice.get(url)
    assert response.status_code == 200
    assert response.json == {
        "session": {
            "name": "Plans",
            "llm_model_name": "test-model",
            "created_at": chat["created_at"],
            "message_count": 2,
        },
        "live": False,
        "expires_at": None,
        "messages": [
            message,
            message | {"seq": 2, "role": "assistant", "content": "ho"},
        ],
        "has_more": False,
    }


def test_nothing_private_is_shown(alice, app, chat, url):
    first = alice.get(messages_url(chat)).json["messages"][0]
    feedback = {"rating": 1, "comment": "canary"}
    alice.put(f"{messages_url(chat)}/{first['id']}/feedback", json=feedback)
    answer = alice.get(url).text
    for secret in ("canary", chat["id"], "local", "input_tokens"):
        assert secret not in answer


def test_a_new_field_of_messages_is_shown_on_purpose_only():
    shown = {"seq", "timestamp", "role", "content", "edited_at", "deleted_at"}
    shown |= {"parts", "tool_calls", "tool_call_id", "name", "refusal", "annotations"}
    shown |= {"audio", "function_call", "model", "finish_reason", "created_at"}
    assert set(SharedMessageSchema().fields) == shown


def test_no_login_is_asked_for(make_app):
    app = make_app(auth="api-key")
    alice = keyed_client(app, "alice")
    chat = alice.post(SESSIONS, json={}).json
    url = alice.post(f"{session_url(chat)}/shares", json={}).json["url"]
    stranger = app.test_client()
    assert stranger.get(url).status_code == 200
    assert_problem(stranger.get(session_url(chat)), 401)
    # A link is no credential for anything else.
    token = url.rpartition("/")[2]
    assert_problem(stranger.get(session_url(chat), headers=bearer(token)), 401)


def test_an_edit_is_shown_and_a_deletion_too(alice, chat, url):
    ids = [each["id"] for each in alice.get(messages_url(chat)).json["messages"]]
    alice.patch(f"{messages_url(chat)}/{ids[0]}", json={"content": "edited"})
    alice.delete(f"{messages_url(chat)}/{ids[1]}")
    edited, deleted = alice.get(url).json["messages"]
    assert (edited["content"], deleted["content"]) == ("edited", "")
    assert {"edited_at"} < edited.keys() and {"deleted_at"} < deleted.keys()


@pytest.mark.parametrize(
    ("query", "seqs", "has_more"),
    [
        ({"limit": 1}, [1], True),
        ({"limit": 2}, [1, 2], False),
        ({"after": 1}, [2], False),
        ({"after": 2**53 - 1}, [], False),
    ],
)
def test_pages_are_asked_for_by_seq(alice, url, query, seqs, has_more):
    page = alice.get(url, query_string=query).json
    assert [each["seq"] for each in page["messages"]] == seqs
    assert page["has_more"] is has_more


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"limit": 0}, "/limit"),
        ({"limit": 1001}, "/limit"),
        ({"after": -1}, "/after"),
        ({"after": 2**53}, "/after"),
        ({"fields": "metadata"}, "/fields"),
    ],
)
def test_a_wrong_query_is_refused(alice, url, query, pointer):
    assert_problem(alice.get(url, query_string=query), 422, pointer=pointer)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_neither_caches_nor_search_engines_keep_it(alice, url, method):
    for place, query, status in (
        (url, "", 200),
        (f"{API}/shared/nope", "", 404),
        (url, "nope=1", 422),
    ):
        response = alice.open(place, query_string=query, method=method)
        assert response.status_code == status
        assert response.headers["Cache-Control"] == "private, no-store"
        assert response.headers["X-Robots-Tag"] == "noindex, nofollow"
        assert response.headers["Referrer-Policy"] == "no-referrer"


def test_an_address_reads_a_bounded_number_of_times(make_app):
    client = make_app(max_shared_reads=2).test_client()
    url = f"{API}/shared/nope"
    answers = [client.get(url) for _ in range(3)]
    assert [each.status_code for each in answers] == [404, 404, 429]
    assert_problem(answers[2], 429, detail="CHATSTORE_MAX_SHARED_READS")
    wait = answers[2].headers["Retry-After"]
    assert answers[2].headers["RateLimit"] == f'"shared-reads";r=0;t={wait}'
    assert answers[2].headers["RateLimit-Policy"] == '"shared-reads";q=2;w=60'
    other = {"REMOTE_ADDR": "192.0.2.9"}
    assert client.get(url, environ_overrides=other).status_code == 404
    assert client.get(SESSIONS).status_code == 200


def test_first_pages_count_as_reads(alice, app, url):
    alice.get(url)
    alice.get(f"{url}?limit=1")
    alice.get(f"{url}?after=1")
    alice.get(f"{url}?limit=0")
    reads = get_from_app(ShareReads, app).take()
    assert [(key, each.count) for key, each in reads.items()] == [
        (url.rpartition("/")[2][4:16], 2)
    ]


def test_no_log_line_and_no_metric_has_the_token(capfd, make_app):
    client = make_app(log_level="debug").test_client()  # it logs to capfd
    chat = client.post(SESSIONS, json={}).json
    url = client.post(f"{session_url(chat)}/shares", json={}).json["url"]
    secret = url.rpartition("/")[2][16:]
    capfd.readouterr()
    for method, place, status in (
        ("GET", url, 200),
        ("HEAD", url, 200),
        ("GET", f"{url}/", 200),
        ("GET", f"{url}?no={secret}", 422),
        ("GET", f"{url}x", 404),
        ("GET", f"{url}/more", 404),
        ("POST", url, 405),
        ("OPTIONS", url, 200),
    ):
        with client.open(place, method=method, buffered=True) as response:
            assert response.status_code == status
    logged = "".join(capfd.readouterr())
    assert logged.count(f'"route": "{API}/shared/<token:token>"') == 6
    assert secret not in logged
    assert secret not in client.get("/metrics").text
