import pytest
from flask import Flask

from chatstore.models import ChatSession
from chatstore.web.etags import etag_header, if_match_revisions, is_not_modified

CHAT = ChatSession(revision=7)


def asked_with(**headers):
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Flask("tests").test_request_context(headers=names)


def test_an_etag_is_the_revision_in_quotes():
    assert etag_header(CHAT) == {"ETag": '"7"'}


@pytest.mark.parametrize("tag", ['"7"', 'W/"7"', '"6", "7"', '"6",W/"7"', "*", ' "7" '])
def test_a_known_revision_is_not_modified(tag):
    with asked_with(If_None_Match=tag):
        assert is_not_modified(CHAT)


@pytest.mark.parametrize(
    "tag",
    ["", '""', '"6"', 'W/"6"', '"07"', '"77"', '"7', '7"', "garbage", ",", '"7 "'],
)
def test_another_revision_is_modified(tag):
    with asked_with(If_None_Match=tag):
        assert not is_not_modified(CHAT)


def test_without_if_none_match_everything_is_modified():
    with asked_with():
        assert not is_not_modified(CHAT)


@pytest.mark.parametrize(
    ("tags", "revisions"),
    [
        ('"7"', {7}),
        ('"6", "7"', {6, 7}),
        ('"6","7","6"', {6, 7}),
        (' "7" ', {7}),
        ('W/"7"', set()),
        ('W/"7", "8"', {8}),
        ('"garbage", "7"', {7}),
        ("garbage", set()),
        ('"garbage"', set()),
        ('"07"', set()),
        ('"+7"', set()),
        ('"7', set()),
        ('7"', set()),
        ('""', set()),
        ("", set()),
        (",", set()),
        ('"7" "8"', set()),
        ('"-1"', set()),
        ('"٣"'.encode().decode("latin-1"), set()),
        ('"99999999999999999999"', set()),
    ],
)
def test_if_match_names_revisions(tags, revisions):
    with asked_with(If_Match=tags):
        assert if_match_revisions() == revisions


@pytest.mark.parametrize("tags", ["*", " * "])
def test_a_star_allows_every_revision(tags):
    with asked_with(If_Match=tags):
        assert if_match_revisions() is None


def test_without_if_match_every_revision_is_allowed():
    with asked_with():
        assert if_match_revisions() is None
