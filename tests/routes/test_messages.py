import pytest

from tests.support import ANY_ID, MISSING_ID, assert_problem, messages_url


def test_append_returns_the_stored_message(alice, make_session, clock):
    chat = make_session()
    response = alice.post(messages_url(chat), json={"role": "user", "content": "hi"})
    assert response.status_code == 201
    assert response.json == {
        "id": ANY_ID,
        "session_id": str(chat.id),
        "seq": 1,
        "timestamp": clock.iso,
        "role": "user",
        "content": "hi",
        "metadata": None,
    }


@pytest.mark.parametrize(
    ("body", "field"), [({}, "content"), ({"content": "x", "role": "king"}, "role")]
)
def test_append_refuses_a_malformed_message(alice, make_session, body, field):
    response = alice.post(messages_url(make_session()), json=body)
    assert_problem(response, 422, pointer=f"/{field}")


def test_append_to_another_owners_session_is_not_found(alice, make_session):
    response = alice.post(
        messages_url(make_session(owner_id="bob")), json={"content": "hi"}
    )
    assert_problem(response, 404)


def test_append_to_a_missing_session_is_not_found(alice):
    response = alice.post(messages_url({"id": MISSING_ID}), json={"content": "hi"})
    assert_problem(response, 404)
