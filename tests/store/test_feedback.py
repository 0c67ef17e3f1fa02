import json
from datetime import timedelta
from uuid import UUID

import pytest

from chatstore.db import run_write
from chatstore.errors import NotFound
from chatstore.store.erasures import delete_message
from chatstore.store.feedback import (
    FeedbackBounds,
    FeedbackListing,
    list_feedback,
    set_feedback,
)
from chatstore.store.filters import SessionFilters
from chatstore.store.messages import append_message
from chatstore.store.sessions import delete_session
from tests.support import MISSING_ID

ME = {"owner_id": "alice"}
ALL = FeedbackListing()


@pytest.fixture
def rate(db_session):
    """Append a rated message to the session, and return it."""

    def make(chat, *, rating=1, **fields):
        mine = {"owner_id": chat.owner_id}
        fields = {"content": "x", **fields}
        message = run_write(append_message, chat.id, **fields, **mine)
        feedback = {"rating": rating} if rating else {"comment": "?"}
        run_write(set_feedback, chat.id, message.id, feedback=feedback, **mine)
        return message

    return make


def ids(listing=ALL, **options):
    page = list_feedback(listing, **{"limit": 10, **ME, **options})
    return [json.loads(each)["id"] for each in page.messages]


def test_filters_of_the_list(rate, make_session):
    chat = make_session(owner_id="alice", llm_model_name="m1", metadata_tags=["t"])
    other = make_session(owner_id="alice", llm_model_name="m2")
    first = rate(chat, rating=-1)
    second = rate(other, extra={"model": "m1"})
    third = rate(other, rating=None)
    assert ids() == [third.id, second.id, first.id]
    for listing, found in (
        (FeedbackListing(rating=1), [second]),
        (FeedbackListing(rating=-1), [first]),
        (FeedbackListing(model="m1"), [second, first]),
        (FeedbackListing(model="m2"), [third]),
        (FeedbackListing(session_id=chat.id), [first]),
        (FeedbackListing(filters=SessionFilters(tag=("t",))), [first]),
        (FeedbackListing(since=second.timestamp), [third, second]),
        (FeedbackListing(until=second.timestamp), [first]),
        (FeedbackListing(since=third.timestamp + timedelta(seconds=1)), []),
    ):
        assert ids(listing) == [each.id for each in found], listing


def test_the_list_is_paged_by_number_and_by_bytes(rate, make_session):
    chat = make_session(owner_id="alice")
    wanted = [rate(chat, content="x" * 100).id for _ in range(5)][::-1]
    for options in (
        {"limit": 2},
        {"bounds": FeedbackBounds(looked_at=2)},
        {"bounds": FeedbackBounds(page_bytes=250)},
        {"bounds": FeedbackBounds(page_bytes=1)},
    ):
        found, before, pages = [], None, 0
        while pages == 0 or before is not None:
            page = list_feedback(
                FeedbackListing(), **{"limit": 10, **options}, before=before, **ME
            )
            found += [json.loads(each)["id"] for each in page.messages]
            before, pages = page.next_before, pages + 1
        assert found == wanted
        assert pages >= 3, options


def test_a_page_without_a_match_is_not_the_last(rate, make_session):
    chat = make_session(owner_id="alice")
    bad = rate(chat, rating=-1)
    for _ in range(3):
        rate(chat)
    listing = FeedbackListing(rating=-1)
    bounds = FeedbackBounds(looked_at=3)
    page = list_feedback(listing, limit=9, bounds=bounds, **ME)
    assert (page.messages, page.next_before) == ([], bad.id + 1)
    assert ids(listing, bounds=bounds, before=page.next_before) == [bad.id]


def test_feedback_of_others_and_of_what_is_gone_is_not_listed(rate, make_session):
    chat, gone = make_session(owner_id="alice"), make_session(owner_id="alice")
    rate(make_session(owner_id="bob"))
    rate(gone)
    run_write(delete_session, gone.id, **ME)
    deleted = rate(chat)
    run_write(delete_message, chat.id, deleted.id, **ME)
    assert ids() == []
    with pytest.raises(NotFound):
        ids(FeedbackListing(session_id=UUID(MISSING_ID)))
