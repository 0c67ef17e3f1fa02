from datetime import UTC, datetime, timedelta, timezone

import pytest
from marshmallow import Schema, ValidationError

from chatstore.schemas.fields import (
    BodyInteger,
    Instant,
    Limits,
    QueryInteger,
    at_most,
    json_bytes,
    parse_instant,
    string_list,
    utf8_bytes,
    within,
)
from chatstore.settings import Settings

INSTANT = datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)


def sent(value):
    return Schema.from_dict({"at": Instant()})().dump({"at": value})["at"]


@pytest.fixture
def limits():
    """Small limits for the duration of the test."""
    with Limits(Settings(max_tags=2, max_tag_length=3, max_page_size=50)):
        yield


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (INSTANT, "2026-01-02T03:04:05.000006Z"),
        (INSTANT.replace(microsecond=0), "2026-01-02T03:04:05.000000Z"),
        (INSTANT.replace(year=9999), "9999-01-02T03:04:05.000006Z"),
        (None, None),
    ],
)
def test_an_instant_is_sent_with_six_decimals_and_a_z(instant, text):
    assert sent(instant) == text


def test_an_instant_says_its_offset_if_it_is_not_utc():
    # The column type returns UTC only, so another offset must stay visible.
    elsewhere = INSTANT.astimezone(timezone(timedelta(hours=2)))
    assert sent(elsewhere) == "2026-01-02T05:04:05.000006+02:00"


@pytest.mark.parametrize(
    ("text", "number"), [("0", 0), ("12", 12), ("-3", -3), ("007", 7), ("9" * 16, None)]
)
def test_a_query_integer_is_made_of_digits(text, number):
    assert QueryInteger().deserialize(text) == (int(text) if number is None else number)


@pytest.mark.parametrize(
    "text",
    ["", " 1", "1 ", "+1", "1_0", "1.0", "x", "0x1", "٣", "1\n", "--1", "9" * 17],
)
def test_a_query_integer_is_nothing_else(text):
    with pytest.raises(ValidationError, match="Not a valid integer"):
        QueryInteger().deserialize(text)


def test_within_names_its_setting_and_the_sizes(limits):
    validate = within("max_tags", len, "items")
    validate(["a", "b"])
    with pytest.raises(ValidationError) as caught:
        validate(["a", "b", "c"])
    assert caught.value.messages == [
        "It has 3 items, more than 2 (CHATSTORE_MAX_TAGS)."
    ]


def test_at_most_names_its_setting_and_the_bound(limits):
    validate = at_most("max_page_size")
    validate(50)
    with pytest.raises(ValidationError) as caught:
        validate(51)
    assert caught.value.messages == ["It must be at most 50 (CHATSTORE_MAX_PAGE_SIZE)."]


@pytest.mark.parametrize(
    ("text", "size"), [("", 0), ("a", 1), ("é", 2), ("€", 3), ("😀", 4), ("e\u0301", 3)]
)
def test_utf8_bytes_are_counted(text, size):
    assert utf8_bytes(text) == size


@pytest.mark.parametrize(
    ("value", "size"), [({}, 2), ({"a": 1}, 7), ({"a": [1, 2]}, 11), ({"é": "€"}, 12)]
)
def test_json_bytes_are_those_of_compact_json(value, size):
    assert json_bytes(value) == size


@pytest.mark.parametrize(
    ("value", "messages"),
    [
        (["abc", ""], {}),
        ([], {}),
        (["a", "b", "c"], ["It has 3 items, more than 2 (CHATSTORE_MAX_TAGS)."]),
        (
            ["a", "abcd"],
            {1: ["It has 4 characters, more than 3 (CHATSTORE_MAX_TAG_LENGTH)."]},
        ),
        (["a", 1], {1: ["Not a valid string."]}),
        ("ab", ["Not a valid list."]),
        (None, ["Field may not be null."]),
    ],
)
def test_a_list_of_strings_is_bounded(limits, value, messages):
    field = string_list(
        max_items="max_tags", max_length="max_tag_length", example=["a"]
    )
    errors = Schema.from_dict({"tags": field})().validate({"tags": value})
    assert errors.get("tags", {}) == messages


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-28T10:00:00Z", "2026-11-28T10:00:00.000000Z"),
        ("2026-11-28t10:00:00z", "2026-11-28T10:00:00.000000Z"),
        ("2026-11-28T10:00:00.1234569Z", "2026-11-28T10:00:00.123456Z"),
        ("2026-11-28T10:00:00.5+05:30", "2026-11-28T04:30:00.500000Z"),
        ("2026-11-28T10:00:00-00:00", "2026-11-28T10:00:00.000000Z"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ("2016-12-31T18:59:60.7-05:00", "2017-01-01T00:00:00.000000Z"),
    ],
)
def test_an_instant_is_read_as_rfc_3339_says(text, expected):
    assert sent(parse_instant(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["2026-11-28", "2026-11-28T10:00:00", "2026-11-28T10:00Z", "2026-11-28 10:00:00Z"]
    + ["2026-W48-6", "2026-W48-6T10:00:00Z", "2026-332T10:00:00Z", "20260101T00Z"]
    + ["2026-11-28T10:00:00,5Z", "2026-11-28T10:00:00.Z", "2026-11-28T24:00:00Z"]
    + ["2026-11-28T10:00:00+0530", "2026-11-28T10:00:00+05", "2026-02-30T00:00:00Z"]
    + ["2026-11-28T10:00:00+05:30:10", "2026-11-28T10:00:00+24:00", "0001-01-01"]
    + ["2026-11-28T10:00:61Z", "2026-11-28T10:00:00Z\n", "٢٠٢٦-11-28T10:00:00Z"]
    + ["9999-12-31T23:59:60Z", "0001-01-01T00:00:00+10:00", "", 1, None, True],
)
def test_what_rfc_3339_does_not_know_is_no_instant(text):
    with pytest.raises(ValidationError):
        Instant().deserialize(text)


@pytest.mark.parametrize(
    ("text", "detail"),
    [
        ("2026-11-28", "with a time and a zone, such as 2026-11-28T10:00:00Z"),
        ("2026-11-28T10:00:00 02:00", r"Write \+ as %2B"),
        ("2026-11-28T10:00:00.5 0200", r"Write \+ as %2B"),
    ],
)
def test_an_instant_says_what_is_missing(text, detail):
    with pytest.raises(ValidationError, match=detail):
        Instant().deserialize(text)


@pytest.mark.parametrize("value", [True, "1", 1.5, None, [1], 1e400])
def test_a_whole_number_in_a_body_is_a_json_number(value):
    with pytest.raises(ValidationError):
        BodyInteger().deserialize(value)
    assert [BodyInteger().deserialize(each) for each in (1, 1.0)] == [1, 1]
