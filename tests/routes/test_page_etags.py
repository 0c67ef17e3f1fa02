"""Entity tags of pages: lists of sessions, tags and models, pages of messages."""

from datetime import timedelta

import pytest

from chatstore.db import run_write
from chatstore.store.changes import create_feed
from tests.support import (
    API,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    messages_url,
    session_url,
)
from tests.support.breakage import taken_away
from tests.support.statements import recorded_statements

LISTS = [
    SESSIONS,
    f"{SESSIONS}?limit=2&pinned_first=true",
    f"{API}/tags",
    f"{API}/models",
]


@pytest.fixture(autouse=True)
def feed(app):
    """Give the database the row that it has after its migration."""
    with app.app_context():
        run_write(create_feed)


def pages_of(chat):
    url = messages_url(chat)
    return [f"{url}?limit=2", f"{url}?limit=1&order=desc", f"{url}?limit=9&path=head"]


def get(client, url, etag=None):
    return client.get(url, headers={} if etag is None else {"If-None-Match": etag})


def assert_known(client, url, etag):
    answer = get(client, url, etag)
    assert (answer.status_code, answer.data) == (304, b"")
    assert answer.headers["ETag"] == etag


@pytest.mark.parametrize("query", ["trash=true", "count=true"])
def test_the_trash_and_a_list_with_a_count_have_no_tag(alice, query):
    answer = get(alice, f"{SESSIONS}?{query}", "*")
    assert (answer.status_code, "ETag" in answer.headers) == (200, False)


@pytest.mark.parametrize("url", LISTS)
def test_a_list_has_a_tag_until_a_session_changes(alice, make_session, url):
    chat = make_session(metadata_tags=["a"])
    for change in (
        lambda: alice.patch(session_url(chat), json={"name": "New"}),
        lambda: alice.post(messages_url(chat), json={"content": "hi"}),
        lambda: alice.post(SESSIONS, json={}),
        lambda: alice.delete(session_url(chat)),
    ):
        etag = get(alice, url).headers["ETag"]
        assert_known(alice, url, etag)
        assert change().status_code < 300
        answer = get(alice, url, etag)
        assert answer.status_code == 200
        assert answer.json == get(alice, url).json
        assert answer.headers["ETag"] != etag


@pytest.mark.parametrize("place", range(3))
def test_a_page_of_messages_has_a_tag_until_one_changes(alice, make_session, place):
    chat = make_session(messages=3)
    url = pages_of(chat)[place]
    message = alice.get(f"{messages_url(chat)}?limit=1").json["messages"][0]
    one = f"{messages_url(chat)}/{message['id']}"
    for change in (
        lambda: alice.patch(one, json={"content": "edited"}),
        lambda: alice.put(f"{one}/feedback", json={"rating": 1}),
        lambda: alice.post(messages_url(chat), json={"content": "hi"}),
        lambda: alice.delete(one),
        lambda: alice.patch(session_url(chat), json={"name": "New"}),
    ):
        etag = get(alice, url).headers["ETag"]
        assert_known(alice, url, etag)
        assert change().status_code < 300
        answer = get(alice, url, etag)
        assert answer.status_code == 200
        assert answer.json == get(alice, url).json


def test_a_page_stays_known_when_another_session_gets_messages(alice, make_session):
    chat, other = make_session(messages=3), make_session()
    etags = {url: get(alice, url).headers["ETag"] for url in pages_of(chat)}
    assert alice.post(messages_url(other), json={"content": "hi"}).status_code == 201
    for url, etag in etags.items():
        assert_known(alice, url, etag)


def test_each_page_has_its_own_tag(alice, make_session):
    chat, other = make_session(messages=3), make_session(messages=3)
    urls = [*LISTS, *pages_of(chat), *pages_of(other), f"{API}/tags?limit=5"]
    etags = [get(alice, url).headers["ETag"] for url in urls]
    assert len(set(etags)) == len(urls)
    assert all(each.startswith('W/"') for each in etags)


@pytest.mark.parametrize("form", ["{}", '"x", {}', '{} , W/"7"', "*", '"x",{},"a,b"'])
def test_the_tag_is_found_among_others(alice, form):
    etag = get(alice, SESSIONS).headers["ETag"]
    assert get(alice, SESSIONS, form.format(etag)).status_code == 304
    assert get(alice, SESSIONS, form.format(etag.removeprefix("W/"))).status_code == 304


@pytest.mark.parametrize("etag", ["", "x", '"7"', 'W/"7"', ",", '"'])
def test_another_tag_gets_the_page(alice, etag):
    assert get(alice, SESSIONS, etag).status_code == 200


def test_the_stream_of_all_messages_has_no_tag(alice, make_session):
    chat = make_session(messages=2)
    answer = get(alice, messages_url(chat), "*")
    assert answer.status_code == 200
    assert "ETag" not in answer.headers


@pytest.mark.parametrize("place", range(6))
def test_a_tag_costs_a_page_no_statement(app, alice, make_session, place):
    chat = make_session(messages=3, metadata_tags=["a"])
    url = [*LISTS, *pages_of(chat)[:2]][place]
    etag = get(alice, url).headers["ETag"]
    for asked, count in ((None, 1), (etag, 1), ('"x"', 2)):
        with app.app_context(), recorded_statements() as statements:
            assert get(alice, url, asked).headers["ETag"] == etag
        assert len(statements) == count


def test_errors_come_before_tags(alice, make_session):
    missing = f"{messages_url({'id': MISSING_ID})}?limit=2"
    assert_problem(get(alice, missing, "*"), 404)
    assert "ETag" not in get(alice, missing).headers
    for etag in ('"x"', "*"):
        answer = get(alice, f"{SESSIONS}?limit=0", etag)
        assert_problem(answer, 422)
        assert "ETag" not in answer.headers


def test_a_wrong_query_is_told_without_the_database(app, alice, request):
    with taken_away(app, request):
        assert_problem(get(alice, f"{SESSIONS}?limit=0"), 422)
        assert_problem(get(alice, SESSIONS, "*"), 503)


def test_a_tag_is_good_for_a_day(alice, clock):
    etag = get(alice, SESSIONS).headers["ETag"]
    assert_known(alice, SESSIONS, etag)
    clock.now += timedelta(days=1)
    assert get(alice, SESSIONS, etag).status_code == 200


def test_other_settings_give_other_tags(make_app):
    etags = {
        get(make_app(default_page_size=size).test_client(), SESSIONS).headers["ETag"]
        for size in (10, 20)
    }
    assert len(etags) == 2
