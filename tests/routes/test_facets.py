import pytest

from tests.support import API, SESSIONS, assert_problem, session_url


@pytest.mark.parametrize("slash", ["", "/"])
def test_tags_are_listed_with_counts(alice, make_session, slash):
    make_session(metadata_tags=["a", "b"])
    make_session(metadata_tags=["b"])
    make_session(owner_id="bob", metadata_tags=["theirs"])
    response = alice.get(f"{API}/tags{slash}")
    assert response.status_code == 200
    assert response.json == {
        "tags": [{"tag": "b", "sessions": 2}, {"tag": "a", "sessions": 1}]
    }


def test_models_are_listed_with_counts(alice, make_session):
    for model in ("m2", "m1", "m2"):
        make_session(llm_model_name=model)
    make_session(owner_id="bob", llm_model_name="theirs")
    response = alice.get(f"{API}/models")
    assert response.status_code == 200
    assert response.json == {
        "models": [{"model": "m2", "sessions": 2}, {"model": "m1", "sessions": 1}]
    }


@pytest.mark.parametrize("what", ["tags", "models"])
def test_a_limit_is_heeded(alice, make_session, what):
    make_session(metadata_tags=["a", "b"], llm_model_name="m1")
    make_session(llm_model_name="m2")
    assert len(alice.get(f"{API}/{what}?limit=1").json[what]) == 1
    assert len(alice.get(f"{API}/{what}").json[what]) == 2


@pytest.mark.parametrize("what", ["tags", "models"])
@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "nope=1"])
def test_a_bad_query_is_refused(alice, what, query):
    pointer = f"/{query.partition('=')[0]}"
    assert_problem(alice.get(f"{API}/{what}?{query}"), 422, pointer=pointer)


def tags_of(alice, query=""):
    found = alice.get(f"{API}/tags{query}").json["tags"]
    return {each["tag"]: each["sessions"] for each in found}


def test_equal_tags_are_one(alice, make_session):
    chat = alice.post(SESSIONS, json={"metadata_tags": ["Support", "SUPPORT", "x"]})
    assert chat.json["metadata_tags"] == ["Support", "x"]
    other = make_session(metadata_tags=["support"])
    assert tags_of(alice) == {"Support": 2, "x": 1}
    found = alice.get(f"{SESSIONS}?tag=sUPPORT&tag_any=X&tag_any=support").json
    assert {each["id"] for each in found["sessions"]} == {
        chat.json["id"],
        str(other.id),
    }
    # What a session has is answered as it was sent.
    assert alice.get(session_url(other)).json["metadata_tags"] == ["support"]


def test_tags_are_listed_by_prefix_and_by_filters(alice, make_session):
    chat = make_session(metadata_tags=["Support", "sup"], llm_model_name="m1")
    make_session(metadata_tags=["support", "red"], llm_model_name="m2")
    alice.patch(session_url(chat), json={"archived": True})
    assert tags_of(alice, "?prefix=SUP") == {"Support": 2, "sup": 1}
    assert tags_of(alice, "?prefix=SUP&limit=1") == {"Support": 2}
    assert tags_of(alice, "?archived=false") == {"Support": 1, "red": 1}
    assert tags_of(alice, "?archived=any&model=m1") == {"Support": 1, "sup": 1}
    assert tags_of(alice, "?tag=RED&prefix=s") == {"Support": 1}
    assert tags_of(alice, "?created_before=2000-01-01T00:00:00Z") == {}


@pytest.mark.parametrize(
    "query", ["prefix=%00", f"prefix={'x' * 65}", "archived=x", "created_after=x"]
)
def test_a_bad_filter_of_tags_is_refused(alice, query):
    pointer = f"/{query.partition('=')[0]}"
    assert_problem(alice.get(f"{API}/tags?{query}"), 422, pointer=pointer)


CHANGES = {
    "rename": ({"from": "Support", "to": "Help"}, {"Help": 2, "x": 1}),
    "delete": ({"tag": "Support"}, {"x": 1}),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_tag_is_changed_in_all_sessions_once(alice, make_session, what):
    body, expected = CHANGES[what]
    chats = [make_session(metadata_tags=tags) for tags in (["support"], ["SUPPORT"])]
    make_session(metadata_tags=["x"])
    make_session(owner_id="bob", metadata_tags=["support"])
    before = alice.get(session_url(chats[0]))
    key = {"Idempotency-Key": "k"}
    answer = alice.post(f"{API}/tags/{what}", json=body, headers=key)
    assert (answer.status_code, answer.json) == (200, {"changed": 2})
    assert tags_of(alice) == expected
    after = alice.get(session_url(chats[0]))
    assert after.headers["ETag"] != before.headers["ETag"]
    assert after.json["last_updated_at"] == before.json["last_updated_at"]
    make_session(metadata_tags=["support"])
    again = alice.post(f"{API}/tags/{what}", json=body, headers=key)
    assert again.json == {"changed": 2}
    assert again.headers["Idempotency-Replayed"] == "true"
    assert tags_of(alice) == expected | {"support": 1}
    assert alice.post(f"{API}/tags/{what}", json=body).json == {"changed": 1}
    assert alice.post(f"{API}/tags/{what}", json=body).json == {"changed": 0}
    other = {"from": "x", "to": "y"} if what == "rename" else {"tag": "x"}
    refused = alice.post(f"{API}/tags/{what}", json=other, headers=key)
    assert_problem(refused, 422)
    assert tags_of(alice) == expected | ({"Help": 3} if what == "rename" else {})


@pytest.mark.parametrize(
    ("path", "body", "pointer"),
    [
        ("rename", {"from": "a"}, "/to"),
        ("rename", {"to": "a"}, "/from"),
        ("rename", {"from": "a", "to": " "}, "/to"),
        ("rename", {"from": "a", "to": "x" * 65}, "/to"),
        ("rename", {"from": 1, "to": "a"}, "/from"),
        ("rename", {"from": "a", "to": "b", "tag": "c"}, "/tag"),
        ("delete", {}, "/tag"),
        ("delete", {"tag": ""}, "/tag"),
        ("delete", {"tag": ["a"]}, "/tag"),
    ],
)
def test_a_bad_change_of_a_tag_is_refused(alice, path, body, pointer):
    response = alice.post(f"{API}/tags/{path}", json=body)
    assert_problem(response, 422, pointer=pointer)
