"""Edits, deletions and feedback, as a client sees them."""

import pytest

from chatstore.db import db
from chatstore.models import (
    IdempotencyRecord,
    Message,
    MessageFeedback,
    MessageRevision,
)
from tests.support import (
    API,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "get_plan", "arguments": '{"need": "travel"}'},
}
PARTS = [
    {"type": "text", "text": "Look:"},
    {"type": "image_url", "image_url": {"url": "data:,x"}},
]


@pytest.fixture
def chat(make_session):
    return make_session()


@pytest.fixture
def post(alice, chat):
    def send(content="hi", **fields):
        headers = fields.pop("headers", None)
        body = {"content": content, **fields}
        response = alice.post(messages_url(chat), json=body, headers=headers)
        assert response.status_code == 201, response.json
        return response.json

    return send


def url_of(message):
    return f"{messages_url({'id': message['session_id']})}/{message['id']}"


def found(client, word):
    hits = client.get(f"{API}/search", query_string={"q": word}).json["hits"]
    return [hit["message_id"] for hit in hits]


def revisions(client, message, query=""):
    response = client.get(f"{url_of(message)}/revisions{query}")
    assert response.status_code == 200, response.json
    return response.json


# Edit


def test_edit_returns_the_message_with_its_new_text(alice, post, clock):
    message = post("old", metadata={"a": 1})
    response = alice.patch(url_of(message), json={"content": "new"})
    assert response.status_code == 200
    assert response.headers["ETag"] == '"2"'
    assert response.json == message | {
        "content": "new",
        "revision": 2,
        "edited_at": clock.iso,
    }
    assert alice.get(url_of(message)).json == response.json


def test_edit_keeps_the_text_before(alice, post, clock):
    message = post("one", metadata={"n": 1e22}, name="ada")
    alice.patch(url_of(message), json={"content": "two", "metadata": None})
    edited_at = clock.iso
    alice.patch(url_of(message), json={"content": "three", "name": None})
    assert revisions(alice, message) == {
        "revisions": [
            {
                "revision": 2,
                "written_at": edited_at,
                "content": "two",
                "metadata": None,
                "name": "ada",
            },
            {
                "revision": 1,
                "written_at": message["timestamp"],
                "content": "one",
                "metadata": {"n": 1e22},
                "name": "ada",
            },
        ],
        "has_more": False,
    }


def test_edit_of_parts_and_tool_calls(alice, post):
    message = post(PARTS, role="assistant", tool_calls=[CALL])
    edited = alice.patch(url_of(message), json={"content": "text"}).json
    assert "parts" not in edited
    assert (edited["content"], edited["tool_calls"]) == ("text", [CALL])
    edited = alice.patch(url_of(message), json={"content": None}).json
    assert (edited["content"], edited["parts"]) == ("", None)
    edited = alice.patch(url_of(message), json={"content": PARTS}).json
    assert (edited["content"], edited["parts"]) == ("Look:", PARTS)
    edited = alice.patch(url_of(message), json={"tool_calls": None}).json
    assert "tool_calls" not in edited
    kept = revisions(alice, message)["revisions"]
    assert [each["revision"] for each in kept] == [4, 3, 2, 1]
    assert kept[-1]["parts"] == PARTS
    assert kept[-1]["tool_calls"] == [CALL]


@pytest.mark.parametrize(
    "changes",
    [{}, {"content": "same"}, {"metadata": {"a": 1}, "name": "ada"}, {"model": None}],
)
def test_edit_that_changes_nothing_writes_nothing(alice, chat, post, changes):
    message = post("same", metadata={"a": 1}, name="ada")
    before = alice.get(session_url(chat)).headers["ETag"]
    response = alice.patch(url_of(message), json=changes)
    assert response.json == message
    assert response.headers["ETag"] == '"1"'
    assert alice.get(session_url(chat)).headers["ETag"] == before
    assert revisions(alice, message)["revisions"] == []


@pytest.mark.parametrize(
    "metadata", [{"a": True}, {"a": 1.5}, {"a": "1"}, {"b": 2, "a": 1}]
)
def test_edit_tells_values_apart_that_python_does_not(alice, post, metadata):
    message = post("x", metadata={"a": 1, "b": 2} if "b" in metadata else {"a": 1})
    response = alice.patch(url_of(message), json={"metadata": metadata})
    assert response.json["revision"] == 2
    assert list(response.json["metadata"].items()) == list(metadata.items())


def test_edit_brings_the_session_up_to_date(alice, chat, post):
    first, last = post("first"), post("last")
    before = alice.get(session_url(chat))
    alice.patch(url_of(last), json={"content": "  edited "})
    after = alice.get(session_url(chat))
    assert after.json == before.json | {"last_message_preview": "edited"}
    assert after.headers["ETag"] != before.headers["ETag"]
    alice.patch(url_of(first), json={"content": "beginning"})
    assert alice.get(session_url(chat)).json == after.json


def test_search_finds_the_new_text_only(alice, post):
    message = post("apples", role="assistant", tool_calls=[CALL])
    alice.patch(url_of(message), json={"content": "pears"})
    assert found(alice, "pears") == [message["id"]]
    assert found(alice, "apples") == []
    alice.patch(url_of(message), json={"content": "plums", "tool_calls": None})
    assert found(alice, "plums") == [message["id"]]
    assert found(alice, "travel") == []


def test_edit_of_a_stale_revision_is_refused(alice, post):
    message = post("one")
    url, one = url_of(message), {"If-Match": '"1"'}
    assert alice.patch(url, json={"content": "2"}, headers=one).status_code == 200
    assert_problem(alice.patch(url, json={"content": "3"}, headers=one), 412)
    two = {"If-Match": '"2"'}
    assert alice.patch(url, json={"content": "3"}, headers=two).status_code == 200


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"role": "user"}, "/role"),
        ({"content": 1}, "/content"),
        ({"content": ""}, "/content"),
        ({"content": None}, "/content"),
        ({"content": []}, "/content"),
        ({"parent_seq": 0}, "/parent_seq"),
        ({"metadata": 1}, "/metadata"),
        ({"created_at": "9999-01-01T00:00:00Z"}, "/created_at"),
    ],
)
def test_edit_refuses_what_an_append_refuses(alice, post, body, pointer):
    message = post("x")
    assert_problem(alice.patch(url_of(message), json=body), 422, pointer=pointer)
    assert alice.get(url_of(message)).json == message


def test_edit_may_leave_only_metadata_or_tool_calls(alice, post):
    message = post("x", metadata={"a": 1})
    assert alice.patch(url_of(message), json={"content": ""}).status_code == 200
    answer = alice.patch(url_of(message), json={"metadata": {}})
    assert_problem(answer, 422, pointer="/content")
    spoken = post("x", role="assistant")
    assert alice.patch(url_of(spoken), json={"content": None}).status_code == 200


def test_edit_cannot_grow_a_message_beyond_its_limit(make_app, make_session):
    client = make_app(max_message_bytes=1024).test_client()
    url = messages_url(make_session())
    sent = {"content": "x", "tool_calls": [{"a": "x" * 600}]}
    message = client.post(url, json=sent).json
    answer = client.patch(f"{url}/{message['id']}", json={"refusal": "x" * 600})
    assert_problem(answer, 422, pointer="", detail="")
    answer = client.patch(f"{url}/{message['id']}", json={"refusal": "x" * 2000})
    assert_problem(answer, 422, pointer="/refusal")


# Read


def test_a_message_has_an_entity_tag(alice, post):
    url = url_of(post())
    response = alice.get(url)
    assert response.headers["ETag"] == '"1"'
    again = alice.get(url, headers={"If-None-Match": '"1"'})
    assert (again.status_code, again.data) == (304, b"")
    alice.patch(url, json={"content": "new"})
    assert alice.get(url, headers={"If-None-Match": '"1"'}).status_code == 200


def test_feedback_changes_the_entity_tag_but_not_the_revision(alice, post):
    url = url_of(post())
    rated = alice.put(f"{url}/feedback", json={"rating": 1})
    tag = rated.headers["ETag"]
    assert tag not in ('"1"', '"2"')
    assert alice.get(url).headers["ETag"] == tag
    assert alice.get(url, headers={"If-None-Match": '"1"'}).status_code == 200
    assert alice.get(url, headers={"If-None-Match": tag}).status_code == 304
    edit = alice.patch(url, json={"content": "new"}, headers={"If-Match": tag})
    assert edit.status_code == 200


def test_revisions_are_listed_page_by_page(alice, post):
    message = post("0")
    for number in range(1, 5):
        alice.patch(url_of(message), json={"content": str(number)})
    page = revisions(alice, message, "?limit=3")
    assert [each["content"] for each in page["revisions"]] == ["3", "2", "1"]
    assert page["has_more"]
    page = revisions(alice, message, "?limit=3&before=2")
    assert [each["content"] for each in page["revisions"]] == ["0"]
    assert not page["has_more"]
    assert_problem(alice.get(f"{url_of(message)}/revisions?limit=0"), 422)


# Delete


def test_delete_leaves_the_place_and_nothing_else(app, alice, post, clock):
    message = post(PARTS, role="assistant", tool_calls=[CALL], metadata={"a": "secret"})
    url = url_of(message)
    alice.patch(url, json={"content": "edited"})
    alice.put(f"{url}/feedback", json={"comment": "no"})
    assert alice.delete(url).status_code == 204
    assert alice.get(url).json == {
        "id": message["id"],
        "session_id": message["session_id"],
        "seq": 1,
        "timestamp": message["timestamp"],
        "role": "assistant",
        "content": "",
        "metadata": None,
        "revision": 3,
        "deleted_at": clock.iso,
    }
    assert revisions(alice, message)["revisions"] == []
    with app.app_context():
        assert count(db.session, MessageRevision) == 0
        assert count(db.session, MessageFeedback) == 0
        row = db.session.query(Message).one()
        assert (row.content, row.extra, row.search_text) == ("", None, None)


def test_delete_keeps_seqs_counts_and_parents(alice, chat, post):
    first, second = post("1"), post("2")
    branch = post("3", parent_seq=1)
    alice.delete(url_of(first))
    alice.delete(url_of(branch))
    listed = alice.get(messages_url(chat)).json["messages"]
    assert [each["seq"] for each in listed] == [1, 2, 3]
    assert [each["content"] for each in listed] == ["", "2", ""]
    assert listed[2]["parent_seq"] == 1
    session = alice.get(session_url(chat)).json
    assert session["message_count"] == 3
    assert session["last_message_preview"] == second["content"]
    assert post("4")["seq"] == 4


def test_delete_twice_is_done_once(alice, chat, post):
    url = url_of(post())
    alice.delete(url)
    before = alice.get(url).json
    tag = alice.get(session_url(chat)).headers["ETag"]
    assert alice.delete(url).status_code == 204
    assert alice.get(url).json == before
    assert alice.get(session_url(chat)).headers["ETag"] == tag


def test_a_deleted_message_is_not_found(alice, post):
    message = post("apples", role="assistant", tool_calls=[CALL])
    alice.delete(url_of(message))
    assert found(alice, "apples") == found(alice, "travel") == []


def test_the_preview_is_the_last_text_that_is_left(alice, chat, post):
    post("first")
    second, tool = post("second", role="assistant"), post("{}", role="tool")

    def preview():
        return alice.get(session_url(chat)).json["last_message_preview"]

    alice.delete(url_of(tool))
    assert preview() == "second"
    alice.delete(url_of(second))
    assert preview() == "first"
    alice.post(f"{session_url(chat)}/clear")
    assert preview() is None


def test_a_deleted_message_does_not_change(alice, post):
    url = url_of(post())
    alice.delete(url)
    for answer in (
        alice.patch(url, json={"content": "new"}),
        alice.put(f"{url}/feedback", json={"rating": 1}),
    ):
        problem = assert_problem(answer, 410)
        assert problem["type"].endswith("message-deleted")


# Late retries


def records(app):
    with app.app_context():
        return {each.key: each for each in db.session.query(IdempotencyRecord)}


KEY = {"Idempotency-Key": "k1"}


def assert_refused(app, response):
    problem = assert_problem(response, 410)
    assert problem["type"].endswith("message-deleted")
    (record,) = records(app).values()
    assert (record.answer, record.body_sha256, record.headers) == ("", "", {})


def test_a_late_retry_of_a_deleted_message_is_refused(app, alice, chat, post):
    alice.delete(url_of(post("hi", headers=KEY)))
    retry = alice.post(messages_url(chat), json={"content": "hi"}, headers=KEY)
    assert_refused(app, retry)
    other = alice.post(messages_url(chat), json={"content": "ho"}, headers=KEY)
    assert_refused(app, other)
    elsewhere = alice.post(SESSIONS, json={}, headers=KEY)
    assert_problem(elsewhere, 422)
    assert len(alice.get(messages_url(chat)).json["messages"]) == 1


def test_a_late_retry_of_a_batch_with_a_deleted_message_is_refused(app, alice, chat):
    url = f"{messages_url(chat)}/batch"
    body = {"messages": [{"content": each} for each in "abc"]}
    first = alice.post(url, json=body, headers=KEY).json["messages"]
    alice.delete(url_of(first[1]))
    assert_refused(app, alice.post(url, json=body, headers=KEY))


def test_a_retry_with_an_id_in_capitals_is_refused_too(app, alice, chat):
    url = messages_url({"id": str(chat.id).upper()})
    message = alice.post(url, json={"content": "hi"}, headers=KEY).json
    alice.delete(url_of(message))
    assert_refused(app, alice.post(url, json={"content": "hi"}, headers=KEY))


def test_other_answers_are_repeated(alice, chat, post):
    other = {"Idempotency-Key": "k2"}
    kept = post("kept", headers=other)
    alice.delete(url_of(post("gone", headers=KEY)))
    retry = alice.post(messages_url(chat), json={"content": "kept"}, headers=other)
    assert (retry.status_code, retry.json) == (201, kept)


# Clear


def test_clear_deletes_what_all_messages_say(app, alice, chat, post):
    for number in range(3):
        post(f"secret {number}", headers={"Idempotency-Key": f"k{number}"})
    response = alice.post(f"{session_url(chat)}/clear")
    assert (response.status_code, response.json) == (200, {"cleared": 3})
    listed = alice.get(messages_url(chat)).json["messages"]
    assert [each["content"] for each in listed] == [""] * 3
    assert all(each["deleted_at"] for each in listed)
    assert {each.answer for each in records(app).values()} == {""}
    assert found(alice, "secret") == []
    assert post("more")["seq"] == 4


def test_clear_counts_what_it_deletes(alice, chat, post):
    assert alice.post(f"{session_url(chat)}/clear").json == {"cleared": 0}
    post("1")
    alice.delete(url_of(post("2")))
    assert alice.post(f"{session_url(chat)}/clear").json == {"cleared": 1}
    assert alice.post(f"{session_url(chat)}/clear").json == {"cleared": 0}


def test_a_retry_of_clear_deletes_no_later_messages(alice, chat, post):
    post("1")
    url = f"{session_url(chat)}/clear"
    first = alice.post(url, headers=KEY)
    later = post("later")
    retry = alice.post(url, headers=KEY)
    assert retry.json == first.json == {"cleared": 1}
    assert retry.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert alice.get(url_of(later)).json == later


# Rate


def test_feedback_is_part_of_the_message(alice, chat, post):
    message = post("x", role="assistant")
    url = f"{url_of(message)}/feedback"
    feedback = {"rating": -1, "comment": "wrong", "labels": ["math"]}
    tag = alice.get(session_url(chat)).headers["ETag"]
    response = alice.put(url, json=feedback)
    assert response.status_code == 200
    assert response.json == message | {"feedback": feedback}
    assert alice.get(url_of(message)).json == response.json
    assert alice.get(session_url(chat)).headers["ETag"] == tag
    assert alice.put(url, json={"rating": 1}).json["feedback"] == {"rating": 1}


@pytest.mark.parametrize(
    "nothing", [{}, {"rating": None}, {"comment": "", "labels": [], "rating": None}]
)
def test_empty_feedback_removes_it(app, alice, post, nothing):
    message = post("x")
    url = f"{url_of(message)}/feedback"
    alice.put(url, json={"rating": 1})
    assert alice.put(url, json=nothing).json == message
    with app.app_context():
        assert count(db.session, MessageFeedback) == 0


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"rating": 2}, "/rating"),
        ({"rating": "1"}, "/rating"),
        ({"rating": True}, "/rating"),
        ({"comment": "x" * 10_001}, "/comment"),
        ({"labels": [""]}, "/labels/0"),
        ({"stars": 5}, "/stars"),
    ],
)
def test_feedback_of_another_form_is_refused(alice, post, body, pointer):
    answer = alice.put(f"{url_of(post())}/feedback", json=body)
    assert_problem(answer, 422, pointer=pointer)


def test_an_edit_keeps_the_feedback(alice, post):
    message = post("x")
    alice.put(f"{url_of(message)}/feedback", json={"rating": 1})
    edited = alice.patch(url_of(message), json={"content": "y"}).json
    assert edited["feedback"] == {"rating": 1}
    assert "feedback" not in revisions(alice, message)["revisions"][0]


# Missing resources


def requests(client, url):
    yield client.patch(url, json={"content": "x"})
    yield client.delete(url)
    yield client.get(f"{url}/revisions")
    yield client.put(f"{url}/feedback", json={"rating": 1})


@pytest.mark.parametrize("message_id", ["999999", "9223372036854775808", "x"])
def test_corrections_of_a_missing_message_are_not_found(alice, chat, message_id):
    for response in requests(alice, f"{messages_url(chat)}/{message_id}"):
        assert_problem(response, 404)


def test_corrections_of_another_owners_message_are_not_found(
    app, alice, make_session, chat
):
    other = make_session(owner_id="bob", messages=1)
    with app.app_context():
        message_id = db.session.query(Message.id).scalar()
    details = set()
    for session in (other, {"id": MISSING_ID}):
        for response in requests(alice, f"{messages_url(session)}/{message_id}"):
            detail = assert_problem(response, 404)["detail"]
            details.add(detail.replace(str(other.id), MISSING_ID))
        clear = alice.post(f"{session_url(session)}/clear")
        details.add(
            assert_problem(clear, 404)["detail"].replace(str(other.id), MISSING_ID)
        )
    assert details == {
        f"There is no message {message_id} in session {MISSING_ID}.",
        f"There is no session {MISSING_ID}.",
    }
    with app.app_context():
        assert db.session.query(Message.content).scalar() == "m1"
