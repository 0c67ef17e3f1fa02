import hashlib
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import pytest
from flask import Flask, g
from itsdangerous import URLSafeSerializer

from chatstore.errors import MalformedRequest
from chatstore.store.paging import SessionPlace
from chatstore.store.session_lists import SessionListing
from chatstore.web.auth import Caller
from chatstore.web.cursors import decode_cursor, encode_cursor, read_cursor, sign_cursor

SECRET = "a secret of the tests"
LISTING = SessionListing()
KEY = SessionPlace(
    datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
    UUID("507de50b-e29c-4a25-9b8a-d2d7410a926d"),
)


@pytest.fixture
def context():
    with signing():
        yield


@contextmanager
def signing(secret=SECRET, *, owner_id="alice"):
    """Enter a request of `owner_id` to a server with this secret."""
    app = Flask("tests")
    app.config["SECRET_KEY"] = secret
    with app.app_context():
        g.caller = Caller(owner_id=owner_id, scopes=(), actor=owner_id)
        yield


@pytest.mark.parametrize("microsecond", [0, 6, 999_999])
def test_a_cursor_leads_back_to_its_key(context, microsecond):
    instant = KEY.value.replace(microsecond=microsecond)
    key = SessionPlace(instant, KEY.id)
    assert decode_cursor(encode_cursor(key, LISTING), LISTING) == key


def test_no_key_is_no_cursor(context):
    assert encode_cursor(None, LISTING) is None
    assert decode_cursor(None, LISTING) is None


def test_a_cursor_needs_no_escaping_in_a_url(context):
    assert set("&=+/?#% \"'").isdisjoint(encode_cursor(KEY, LISTING))


def test_a_cursor_of_another_secret_is_refused(context):
    cursor = encode_cursor(KEY, LISTING)
    with signing("another"), pytest.raises(MalformedRequest, match="cursor"):
        decode_cursor(cursor, LISTING)


def test_a_cursor_of_another_owner_is_refused(context):
    cursor = encode_cursor(KEY, LISTING)
    with signing(owner_id="bob"), pytest.raises(MalformedRequest, match="owner"):
        decode_cursor(cursor, LISTING)


def test_every_changed_character_is_noticed(context):
    cursor = encode_cursor(KEY, LISTING)
    for place in range(len(cursor)):
        other = "A" if cursor[place] != "A" else "B"
        changed = cursor[:place] + other + cursor[place + 1 :]
        try:
            # The last character of base64 may carry unused bits.
            assert decode_cursor(changed, LISTING) == KEY
        except MalformedRequest:
            continue
        assert place == len(cursor) - 1


@pytest.mark.parametrize("cursor", ["", ".", "x", "x.y", "é.é", "\0", "😀", "." * 5000])
def test_what_is_no_cursor_is_refused(context, cursor):
    with pytest.raises(MalformedRequest, match="cursor"):
        decode_cursor(cursor, LISTING)


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        "text",
        [],
        ["2026-01-02T03:04:05+00:00"],
        ["yesterday", KEY.id.hex],
        ["2026-01-02T03:04:05+00:00", "nobody"],
        ["2026-01-02T03:04:05+00:00", None],
        [1, 2],
        [KEY.value.isoformat(), KEY.id.hex, "more"],
    ],
)
def test_a_signature_over_something_else_is_refused(context, content):
    cursor = URLSafeSerializer(SECRET, salt="cursor-2").dumps(content)
    with pytest.raises(MalformedRequest, match="cursor"):
        decode_cursor(cursor, LISTING)


@dataclass(frozen=True)
class Listed:
    since: datetime | None = None
    tag: str | None = None


def test_a_list_is_known_by_its_values_not_by_their_order_or_zone(context):
    @dataclass(frozen=True)
    class Other:
        tag: str | None = None
        added: int | None = None
        since: datetime | None = None

    Other.__name__ = "Listed"
    here = datetime(2026, 1, 2, 5, tzinfo=timezone(timedelta(hours=2)))
    there = datetime(2026, 1, 2, 3, tzinfo=UTC)
    cursor = sign_cursor(["place"], listing=Listed(since=there, tag="t"))
    assert read_cursor(cursor, listing=Other(since=here, tag="t")) == ["place"]
    for other in (Listed(since=there), Listed(since=there, tag="u"), LISTING):
        with pytest.raises(MalformedRequest, match="other filters"):
            read_cursor(cursor, listing=other)


def test_a_cursor_of_the_old_form_is_refused(context):
    digest = hashlib.sha256(repr(LISTING).encode()).hexdigest()[:16]
    place = [digest, KEY.value.isoformat(), KEY.id.hex, None, False]
    cursor = URLSafeSerializer(SECRET, salt="cursor").dumps(place)
    with pytest.raises(MalformedRequest, match="did not create the cursor"):
        decode_cursor(cursor, LISTING)
