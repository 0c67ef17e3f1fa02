import pytest

from tests.support import API, MISSING_ID, assert_problem, messages_url, session_url

URL = f"{API}/feedback"


@pytest.fixture
def rated(alice, make_session):
    """Three rated messages: 1, -1 and 1."""
    chat = make_session()
    messages = []
    for rating in (1, -1, 1):
        url = messages_url(chat)
        message = alice.post(url, json={"content": f"r{rating}"}).json
        feedback = alice.put(f"{url}/{message['id']}/feedback", json={"rating": rating})
        messages.append(feedback.json)
    return messages


def test_the_list_has_whole_messages_newest_first(alice, rated):
    response = alice.get(URL)
    assert response.status_code == 200
    assert response.json == {"messages": rated[::-1], "next_cursor": None}


def test_the_list_continues_at_the_cursor(alice, rated):
    page = alice.get(URL, query_string={"rating": 1, "limit": 1}).json
    assert page["messages"] == [rated[2]]
    query = {"rating": 1, "limit": 1, "cursor": page["next_cursor"]}
    page = alice.get(URL, query_string=query).json
    assert page == {"messages": [rated[0]], "next_cursor": None}
    answer = alice.get(URL, query_string=query | {"rating": -1})
    assert_problem(answer, 400, detail="other filters")


def test_an_archived_session_is_listed_if_it_is_named(alice, rated):
    session_id = rated[0]["session_id"]
    alice.patch(session_url({"id": session_id}), json={"archived": True})
    assert alice.get(URL).json["messages"] == []
    for query in ({"archived": "true"}, {"session_id": session_id}):
        assert len(alice.get(URL, query_string=query).json["messages"]) == 3
    assert_problem(alice.get(URL, query_string={"session_id": MISSING_ID}), 404)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ({"rating": 0}, "/rating"),
        ({"rating": "up"}, "/rating"),
        ({"since": "yesterday"}, "/since"),
        ({"limit": 0}, "/limit"),
        ({"session_id": "x"}, "/session_id"),
    ],
)
def test_a_wrong_query_is_refused(alice, query, pointer):
    assert_problem(alice.get(URL, query_string=query), 422, pointer=pointer)
