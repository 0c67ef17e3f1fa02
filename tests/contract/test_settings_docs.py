"""docs/settings.md and the settings agree."""

import re
from dataclasses import fields

import pytest

from chatstore.settings import PREFIX, Settings
from tests.support import ROOT
from tests.support.settings_table import documented_table, settings_table

SETTINGS = {f"{PREFIX}{each.name.upper()}": each for each in fields(Settings)}
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
SOURCES = [*(ROOT / "chatstore").rglob("*.py"), *(ROOT / "migrations").rglob("*.py")]


def table():
    """Return the rows of docs/settings.md: variable to default and meaning."""
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*?) \| (.*?) \|$", text, re.MULTILINE)
    return {variable: (default, meaning) for variable, default, meaning in rows}


@pytest.mark.parametrize("variable", SETTINGS)
def test_a_setting_is_documented_with_its_default(variable):
    default, meaning = table()[variable]
    assert default.strip("`") == str(SETTINGS[variable].default) or (
        default.strip("`") == "empty" and SETTINGS[variable].default == ""
    )
    assert len(meaning) > 10


def test_the_table_is_written_from_the_settings():
    # `make settings-docs` writes it.
    assert documented_table() == settings_table()


def test_the_table_names_settings_only():
    assert set(table()) == set(SETTINGS)


@pytest.mark.parametrize("path", DOCUMENTS + SOURCES, ids=lambda path: path.name)
def test_a_variable_that_is_named_exists(path):
    named = set(re.findall(rf"{PREFIX}[A-Z_]*[A-Z]", path.read_text("utf-8")))
    assert named <= set(SETTINGS)


def test_a_choice_is_documented():
    for variable, setting in SETTINGS.items():
        for choice in setting.metadata["choices"]:
            assert f"`{choice}`" in table()[variable][1], variable
