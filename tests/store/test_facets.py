import pytest
from sqlalchemy import select

from chatstore.db import run_write
from chatstore.enums import Facet
from chatstore.models import SessionFacet
from chatstore.settings import MAX_FACET_LENGTH
from chatstore.store.facets import (
    FacetCount,
    distinct_tags,
    facet_values,
    list_models,
    tag_value,
)
from chatstore.store.filters import SessionFilters
from chatstore.store.session_lists import SessionListing, list_sessions
from chatstore.store.sessions import delete_session, update_session
from chatstore.store.tags import list_tags
from tests.support import count
from tests.support.listings import ids_of


def test_models_are_counted_the_most_common_first(db_session, make_session):
    for model in ("m2", "m1", "m2", "m0"):
        make_session(owner_id="alice", llm_model_name=model)
    make_session(owner_id="bob", llm_model_name="m3")
    expected = [FacetCount("m2", 2), FacetCount("m0", 1), FacetCount("m1", 1)]
    assert list_models(owner_id="alice", limit=10).items == expected
    assert list_models(owner_id="alice", limit=1).items == expected[:1]


def test_what_a_session_loses_counts_no_more(db_session, make_session):
    chat = make_session(owner_id="alice", metadata_tags=["a", "b"])
    change = {"metadata_tags": ["b"]}
    run_write(update_session, chat.id, owner_id="alice", changes=change)
    assert list_tags(owner_id="alice", limit=10).items == [FacetCount("b", 1)]
    run_write(delete_session, chat.id, owner_id="alice")
    assert list_tags(owner_id="alice", limit=10).items == []
    assert count(db_session, SessionFacet) == 0


@pytest.mark.parametrize(
    ("tags", "values"),
    [
        (["x", "x"], {"x": None}),
        (["é", "e\u0301", "É", "E\u0301"], {"é": None}),
        (["É", "é"], {"é": "É"}),
        (["Straße", "STRASSE"], {"strasse": "Straße"}),
        (
            ["ﬁt", "FIT", "resume", "résumé"],
            {"fit": "ﬁt", "resume": None, "résumé": None},
        ),
        (["t" * 512], {"t" * 512: None}),
        (None, {}),
    ],
)
def test_equal_tags_of_a_session_count_once_and_others_apart(tags, values):
    assert facet_values(Facet.TAG, tags) == values
    assert distinct_tags(tags or []) == [
        label or value for value, label in values.items()
    ]


def test_the_longest_folded_tags_fit_their_index_and_stay_apart(
    db_session, make_session
):
    # This one character folds to 18.
    tags = ["\ufdfa" * 511 + end for end in "abA"]
    chat = make_session(owner_id="alice", metadata_tags=tags)
    assert list_tags(owner_id="alice", limit=9).items == [
        FacetCount(tag, 1) for tag in sorted(tags[:2], key=tag_value)
    ]
    assert all(len(tag_value(tag)) == MAX_FACET_LENGTH for tag in tags)
    for tag in tags:
        listing = SessionListing(SessionFilters(tag=(tag.upper(),)))
        page = list_sessions(owner_id="alice", limit=2, listing=listing)
        assert ids_of(page) == [chat.id]


def test_only_tags_have_labels_and_the_number_of_their_session(
    db_session, make_session
):
    chat = make_session(
        owner_id="alice",
        metadata_tags=["A", "b"],
        rag_document_ids=["D"],
        metadata={"K": "V"},
    )
    rows = db_session.scalars(select(SessionFacet).order_by(SessionFacet.value))
    found = {(row.kind, row.value, row.label, row.number) for row in rows}
    assert found == {
        ("tag", "a", "A", chat.number),
        ("tag", "b", None, chat.number),
        ("document", "D", None, None),
        ("metadata", "K:V", None, None),
    }
