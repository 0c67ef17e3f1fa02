"""Texts that break careless programs."""

import json
from pathlib import Path

from tests.support.environment import OWN_DATA

NAUGHTY = "naughty_strings.json"


def read_naughty_strings(path: Path = OWN_DATA / NAUGHTY) -> list[str]:
    """Return the strings of a JSON file, by default of the tests' own file."""
    strings = json.loads(path.read_text("utf-8"))
    assert len(strings) > 200
    return strings


def cannot_be_stored(text: str) -> bool:
    return "\0" in text or any("\ud800" <= each <= "\udfff" for each in text)
