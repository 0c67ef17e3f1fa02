import re

import pytest

from chatstore.access.secret_tokens import (
    API_KEY_PREFIX,
    SHARE_PREFIX,
    is_same_secret,
    new_token,
    parse_token,
)


def test_a_new_token_is_read_back():
    text, token = new_token(API_KEY_PREFIX)
    assert re.fullmatch("chs_[0-9A-Za-z]{61}", text)
    assert text.startswith(f"chs_{token.id}")
    assert parse_token(API_KEY_PREFIX, text) == token


def test_two_tokens_share_nothing():
    (one, first), (other, second) = new_token(API_KEY_PREFIX), new_token(API_KEY_PREFIX)
    assert first.id != second.id
    assert one[16:59] != other[16:59]
    assert not is_same_secret(first, second.sha256)


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-1],
        lambda text: f"{text}0",
        lambda text: f"{text}\n",
        lambda text: text.replace("chs_", "CHS_"),
        lambda text: text[:30] + ("a" if text[30] != "a" else "b") + text[31:],
        lambda text: text[:30] + "é" + text[31:],
        lambda text: "",
    ],
)
def test_a_damaged_token_is_none(damage):
    text, _ = new_token(API_KEY_PREFIX)
    assert parse_token(API_KEY_PREFIX, damage(text)) is None


def test_a_token_is_none_of_another_kind():
    text, _ = new_token(SHARE_PREFIX)
    assert parse_token(API_KEY_PREFIX, text) is None
