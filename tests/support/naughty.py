"""Texts that break careless programs."""

import json

from tests.support.environment import SHARED_DATA, shared_data

NAUGHTY = "naughty_strings.json"


def naughty_strings():
    strings = json.loads(shared_data(NAUGHTY).read_text("utf-8"))
    assert len(strings) > 500
    return strings


def naughty_strings_if_any():
    return naughty_strings() if (SHARED_DATA / NAUGHTY).exists() else []


def cannot_be_stored(text):
    return "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)
