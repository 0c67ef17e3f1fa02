import pytest

from tests.support import API, assert_problem


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
