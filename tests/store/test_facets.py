import pytest

from chatstore.db import run_write
from chatstore.models import SessionFacet
from chatstore.store.facets import FacetCount, list_models, list_tags
from chatstore.store.sessions import delete_session, update_session
from tests.support import count


def test_tags_are_counted_the_most_common_first(db_session, make_session):
    make_session(owner_id="alice", metadata_tags=["b", "a"])
    make_session(owner_id="alice", metadata_tags=["b", "c"], rag_document_ids=["a"])
    make_session(owner_id="bob", metadata_tags=["a", "theirs"])
    expected = [FacetCount("b", 2), FacetCount("a", 1), FacetCount("c", 1)]
    assert list_tags(owner_id="alice", limit=10) == expected
    assert list_tags(owner_id="alice", limit=2) == expected[:2]
    assert list_tags(owner_id="nobody", limit=10) == []


def test_models_are_counted_the_most_common_first(db_session, make_session):
    for model in ("m2", "m1", "m2", "m0"):
        make_session(owner_id="alice", llm_model_name=model)
    make_session(owner_id="bob", llm_model_name="m3")
    expected = [FacetCount("m2", 2), FacetCount("m0", 1), FacetCount("m1", 1)]
    assert list_models(owner_id="alice", limit=10) == expected
    assert list_models(owner_id="alice", limit=1) == expected[:1]


def test_what_a_session_loses_counts_no_more(db_session, make_session):
    chat = make_session(owner_id="alice", metadata_tags=["a", "b"])
    change = {"metadata_tags": ["b"]}
    run_write(update_session, chat.id, owner_id="alice", changes=change)
    assert list_tags(owner_id="alice", limit=10) == [FacetCount("b", 1)]
    run_write(delete_session, chat.id, owner_id="alice")
    assert list_tags(owner_id="alice", limit=10) == []
    assert count(db_session, SessionFacet) == 0


@pytest.mark.parametrize("tags", [["x", "x"], ["é", "e\u0301", "É"], ["t" * 512]])
def test_equal_tags_of_a_session_count_once_and_others_apart(
    db_session, make_session, tags
):
    make_session(owner_id="alice", metadata_tags=tags)
    found = list_tags(owner_id="alice", limit=10)
    assert {each.value for each in found} == set(tags)
    assert {each.sessions for each in found} == {1}
