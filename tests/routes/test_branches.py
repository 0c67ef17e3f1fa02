import pytest
from sqlalchemy import Integer, bindparam, text, update

from chatstore.db import db
from chatstore.models import ChatSession
from chatstore.store.messages import CHUNK_MESSAGES
from chatstore.web.auth import LOCAL_OWNER
from tests.support import (
    API,
    MISSING_ID,
    assert_problem,
    messages_url,
    session_url,
)
from tests.support.trees import plant


def say(client, chat, content, **others):
    answer = client.post(messages_url(chat), json={"content": content, **others})
    assert answer.status_code == 201, answer.data
    return answer.json


@pytest.fixture
def plan(alice, make_session):
    """A conversation whose second question was edited, and its last answer made twice.

    1 question, 2 answer, 3 question, 4 answer, 5 the edited question (of 3), 6 and 7
    its answers.
    """
    chat = make_session()
    for role in ("user", "assistant", "user", "assistant"):
        say(alice, chat, "x", role=role)
    say(alice, chat, "edited", parent_seq=2)
    say(alice, chat, "answer", role="assistant")
    say(alice, chat, "again", role="assistant", parent_seq=5)
    return chat


def grow_alternating(chat_id, size):
    """Let each new message follow the one before the last, up to `size` messages."""
    chat = bindparam("chat", type_=ChatSession.id.type)
    copies = text(
        "INSERT INTO chat_messages"
        " (session_id, seq, timestamp, role, content, parent_seq)"
        " WITH RECURSIVE added(seq) AS"
        " (SELECT :first UNION ALL SELECT seq + 1 FROM added WHERE seq < :last)"
        " SELECT session_id, added.seq, timestamp, role, 'x', added.seq - 2"
        " FROM added, chat_messages WHERE session_id = :chat AND chat_messages.seq = 1"
    ).bindparams(chat, bindparam("first", type_=Integer))
    for first in range(3, size + 1, 20_000):  # a step stays within statement_timeout
        last = min(first + 19_999, size)
        db.session.execute(copies, {"first": first, "last": last, "chat": chat_id})
    db.session.execute(update(ChatSession).values(last_seq=size, message_count=size))
    db.session.commit()


def path_url(chat):
    return f"{session_url(chat)}/path"


def seqs(response):
    assert response.status_code == 200, response.data
    return [each["seq"] for each in response.json["messages"]]


# Paths


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_path_is_answered_as_runs(alice, plan, slash):
    response = alice.get(path_url(plan) + slash)
    assert response.status_code == 200
    assert response.json == {
        "head_seq": 7,
        "length": 4,
        "runs": [[1, 2], [5, 5], [7, 7]],
    }


def test_a_path_is_answered_for_any_head(alice, plan):
    assert alice.get(f"{path_url(plan)}?head=4").json == {
        "head_seq": 4,
        "length": 4,
        "runs": [[1, 4]],
    }


def test_a_path_follows_the_head_of_the_session(alice, plan):
    alice.patch(session_url(plan), json={"head_seq": 6})
    assert alice.get(path_url(plan)).json["runs"] == [[1, 2], [5, 6]]


def test_the_path_of_an_empty_session_is_empty(alice, make_session):
    response = alice.get(path_url(make_session()))
    assert response.json == {"head_seq": None, "length": 0, "runs": []}


@pytest.mark.parametrize("head", [8, 2**31, 2**53 - 1])
def test_a_path_to_no_message_is_not_found(alice, plan, head):
    response = alice.get(f"{path_url(plan)}?head={head}")
    assert_problem(response, 404, detail=f"There is no message {head} ")


@pytest.mark.parametrize("head", ["0", "-1", "x", "head", "1.0", "", 2**53])
def test_a_head_that_is_no_seq_is_refused(alice, plan, head):
    response = alice.get(f"{path_url(plan)}?head={head}")
    assert_problem(response, 422, pointer="/head")


@pytest.mark.parametrize("query", ["path", "path?head=9", "messages?path=head"])
@pytest.mark.parametrize("owner_id", ["bob", None])
def test_a_path_of_no_session_of_mine_is_not_found(
    alice, make_session, query, owner_id
):
    chat_id = make_session(messages=2, owner_id="bob").id if owner_id else MISSING_ID
    response = alice.get(f"{API}/sessions/{chat_id}/{query}")
    assert_problem(response, 404, detail=f"^There is no session {chat_id}.$")


def test_a_path_of_too_many_forks_is_refused(alice, app):
    size = 200_004  # two branches of 100,002 messages that alternate
    with app.app_context():
        (chat_id,) = plant([[None, 0]], owner_id=LOCAL_OWNER)
        grow_alternating(chat_id, size)
    url = f"{API}/sessions/{chat_id}"
    problem = assert_problem(alice.get(f"{url}/path"), 409, detail="100000 forks")
    assert problem["type"] == "urn:chatstore:problem:too-many-forks"
    assert alice.get(f"{url}/path?head=1000").json["length"] == 500
    page = alice.get(f"{url}/messages?path=head&order=desc&limit=2")
    assert seqs(page) == [size, size - 2]
    page = alice.get(
        f"{url}/messages?path={size - 2}&before={size - 2}&order=desc&limit=2"
    )
    assert seqs(page) == [size - 4, size - 6]


# Messages


@pytest.mark.parametrize(
    ("query", "expected", "has_more"),
    [
        ("path=head", [1, 2, 5, 7], False),
        ("path=4", [1, 2, 3, 4], False),
        ("path=7&order=desc&limit=3", [7, 5, 2], True),
        ("path=head&after=2", [5, 7], False),
        ("path=head&before=7&role=assistant", [2], False),
        ("around=5&limit=3", [4, 5, 6], True),
        ("around=5&limit=3&path=head", [2, 5, 7], False),
        ("around=5&path=head", [1, 2, 5, 7], False),
        ("around=5", [1, 2, 3, 4, 5, 6, 7], False),
        ("siblings=false", [1, 2, 3, 4, 5, 6, 7], False),
    ],
)
def test_messages_of_a_branch(alice, plan, query, expected, has_more):
    response = alice.get(f"{messages_url(plan)}?{query}")
    assert seqs(response) == expected
    assert response.json["has_more"] is has_more


def test_a_window_has_the_default_size_of_a_page(make_app, make_session):
    chat = make_session(messages=9)
    client = make_app(default_page_size=3).test_client()
    assert seqs(client.get(f"{messages_url(chat)}?around=5")) == [4, 5, 6]


def test_siblings_are_named(alice, plan):
    response = alice.get(f"{messages_url(plan)}?path=head&siblings=true")
    found = [each.get("siblings") for each in response.json["messages"]]
    assert found == [None, None, [3, 5], [6, 7]]
    plain = alice.get(f"{messages_url(plan)}?path=head").json["messages"]
    without = [
        {name: value for name, value in each.items() if name != "siblings"}
        for each in response.json["messages"]
    ]
    assert without == plain


def test_a_long_branch_is_streamed(alice, app):
    size = 2 * CHUNK_MESSAGES + 3
    with app.app_context():
        (chat_id,) = plant(
            [[*[None] * (size - 1), 1]], owner_id=LOCAL_OWNER, head_seq=size - 1
        )
    url = f"{API}/sessions/{chat_id}/messages?path=head"
    assert seqs(alice.get(f"{url}&siblings=true")) == list(range(1, size))
    # The first chunks have no message of this role.
    assert seqs(alice.get(f"{url}&role=system")) == []


def test_a_role_that_only_later_chunks_have_is_streamed(alice, app):
    size = 10 * CHUNK_MESSAGES
    with app.app_context():
        (chat_id,) = plant(
            [[None, 0, *range(1, size - 1)]],
            owner_id=LOCAL_OWNER,
            roles=["user"] * (size - 2) + ["tool", "user"],
        )
    url = f"{API}/sessions/{chat_id}/messages?path={size - 2}"
    assert seqs(alice.get(f"{url}&role=tool")) == [size - 2]
    assert seqs(alice.get(f"{url}&role=tool&limit=1")) == [size - 2]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("path=0", "/path"),
        ("path=-1", "/path"),
        ("path=Head", "/path"),
        ("path=head%0A", "/path"),
        ("path=", "/path"),
        ("path=1.0", "/path"),
        ("around=0", "/around"),
        ("around=head", "/around"),
        ("around=1&after=1", "/after"),
        ("around=1&before=1", "/before"),
        ("around=1&role=user", "/role"),
        ("siblings=1", "/siblings"),
    ],
)
def test_a_query_that_is_wrong_is_refused(alice, plan, query, pointer):
    response = alice.get(f"{messages_url(plan)}?{query}")
    assert_problem(response, 422, pointer=pointer)


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("path=8", "There is no message 8 in session"),
        ("path=9999999999999999", "There is no message 9999999999999999 in"),
        ("around=8", "There is no message 8 in session"),
        ("around=3&path=head", "Message 3 of session .* is not on this path"),
    ],
)
def test_a_message_that_is_not_there_is_not_found(alice, plan, query, detail):
    response = alice.get(f"{messages_url(plan)}?{query}")
    assert_problem(response, 404, detail=detail)
