"""Appends that name their parent or expect a head, and their refusals."""

import pytest

from tests.support import assert_problem, messages_url, session_url

FORMS = pytest.mark.parametrize("form", ["one", "batch"])
KEYED = pytest.mark.parametrize("key", [None, "k1"], ids=["plain", "keyed"])


def append(client, chat, form, key=None, **place):
    """Post one message or a batch of two; return the response."""
    headers = {"Idempotency-Key": key} if key else {}
    turn, url = {"content": "x"}, messages_url(chat)
    if form == "one":
        return client.post(url, json=turn | place, headers=headers)
    body = {"messages": [turn, turn]} | place
    return client.post(f"{url}/batch", json=body, headers=headers)


def messages_of(response):
    assert response.status_code == 201, response.data
    return response.json.get("messages", [response.json])


def parents(client, chat):
    messages = client.get(messages_url(chat)).json["messages"]
    return [each.get("parent_seq", each["seq"] - 1) for each in messages]


@FORMS
@KEYED
def test_a_message_follows_its_parent(alice, make_session, form, key):
    chat = make_session(messages=3)
    response = append(alice, chat, form, key, parent_seq=1)
    first, *others = messages_of(response)
    assert (first["seq"], first["parent_seq"]) == (4, 1)
    assert not any("parent_seq" in each for each in others)
    assert alice.get(messages_url(chat), query_string={"after": 3}).json[
        "messages"
    ] == [first, *others]
    if key:
        assert append(alice, chat, form, key, parent_seq=1).data == response.data
    follower = append(alice, chat, "one").json
    assert "parent_seq" not in follower
    assert follower["seq"] == 5 + len(others)


@pytest.mark.parametrize(("parent", "stored"), [(0, 0), (1, 1), (2, None)])
def test_a_parent_that_comes_right_before_is_left_out(
    alice, make_session, parent, stored
):
    chat = make_session(messages=2)
    (message,) = messages_of(append(alice, chat, "one", parent_seq=parent))
    assert message.get("parent_seq") == stored
    assert parents(alice, chat) == [0, 1, parent]


def test_the_first_message_may_say_that_it_begins(alice, make_session):
    (message,) = messages_of(append(alice, make_session(), "one", parent_seq=0))
    assert message["seq"] == 1 and "parent_seq" not in message


@FORMS
@KEYED
@pytest.mark.parametrize("parent", [3, 10**12])
def test_a_parent_must_be_there(alice, make_session, form, key, parent):
    chat = make_session(messages=2)
    before = alice.get(session_url(chat)).json
    problem = assert_problem(append(alice, chat, form, key, parent_seq=parent), 409)
    assert problem["type"].endswith(":parent-missing")
    assert problem["last_seq"] == 2 and "head_seq" not in problem
    assert alice.get(session_url(chat)).json == before
    assert messages_of(append(alice, chat, form, key, parent_seq=2))


@FORMS
@KEYED
@pytest.mark.parametrize("head", [0, 1, 3, 10**12])
def test_the_head_must_be_the_expected_one(alice, make_session, form, key, head):
    chat = make_session(messages=2)
    problem = assert_problem(append(alice, chat, form, key, expected_head=head), 409)
    assert problem["type"].endswith(":head-conflict")
    assert problem["head_seq"] == 2 and "last_seq" not in problem
    assert messages_of(append(alice, chat, form, key, expected_head=2))


def test_the_head_moves_to_the_new_message(alice, make_session):
    chat = make_session(messages=3)
    assert_problem(append(alice, chat, "one", expected_head=0), 409)
    messages_of(append(alice, chat, "one", parent_seq=1, expected_head=3))
    messages_of(append(alice, chat, "batch", expected_head=4))
    messages_of(append(alice, chat, "one", expected_head=6, expected_seq=7))
    assert parents(alice, chat) == [0, 1, 2, 1, 4, 5, 6]


def test_an_empty_session_has_head_0(alice, make_session):
    chat = make_session()
    problem = assert_problem(append(alice, chat, "one", expected_head=1), 409)
    assert problem["head_seq"] == 0
    messages_of(append(alice, chat, "one", expected_head=0))


@pytest.mark.parametrize(
    ("place", "slug"),
    [
        ({"expected_seq": 2, "expected_head": 2}, "seq-conflict"),
        ({"expected_seq": 3, "expected_head": 1}, "head-conflict"),
        ({"expected_seq": 2, "expected_head": 1}, "seq-conflict"),
        ({"expected_seq": 2, "parent_seq": 9}, "parent-missing"),
        ({"expected_head": 1, "parent_seq": 9}, "parent-missing"),
        ({"expected_seq": 2, "parent_seq": 1}, "seq-conflict"),
    ],
)
@FORMS
def test_the_refusal_names_what_is_wrong(alice, make_session, form, place, slug):
    chat = make_session(messages=2)
    problem = assert_problem(append(alice, chat, form, **place), 409)
    assert problem["type"].endswith(f":{slug}")


@FORMS
@pytest.mark.parametrize("field", ["parent_seq", "expected_head"])
@pytest.mark.parametrize("value", [-1, 1.5, "1", True, None, 2**53])
def test_a_place_that_is_no_seq_is_refused(alice, make_session, form, field, value):
    response = append(alice, make_session(messages=2), form, **{field: value})
    assert_problem(response, 422, pointer=f"/{field}")


def test_the_parent_stands_next_to_the_messages_of_a_batch(alice, make_session):
    body = {"messages": [{"content": "x", "parent_seq": 1}]}
    response = alice.post(f"{messages_url(make_session(messages=2))}/batch", json=body)
    assert_problem(response, 422, pointer="/messages/0/parent_seq")


@FORMS
def test_another_owners_session_is_not_found(alice, make_session, form):
    chat = make_session(owner_id="bob", messages=2)
    for place in ({"parent_seq": 1}, {"parent_seq": 9}, {"expected_head": 1}):
        assert_problem(append(alice, chat, form, **place), 404)
