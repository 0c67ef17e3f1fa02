"""The table in docs/settings.md, which says what chatstore/settings.py says.

`python -m tests.support.settings_table` writes it into the document.
"""

import re
from dataclasses import fields

from chatstore.settings import PREFIX, Settings
from tests.support import ROOT

DOCUMENT = ROOT / "docs" / "settings.md"
_TABLE = re.compile(r"^\| variable \|.*?(?=\n\n)", re.MULTILINE | re.DOTALL)


def settings_table() -> str:
    """Return the table: a row for each setting, in the order of the class."""
    rows = ["| variable | default | meaning |", "|---|---|---|"]
    for setting in fields(Settings):
        default = setting.default if setting.default != "" else "empty"
        meaning = setting.metadata["meaning"]
        choices = setting.metadata["choices"]
        sentences = [f"{meaning[0].upper()}{meaning[1:]}."]
        if choices:
            sentences.append(f"One of {', '.join(f'`{each}`' for each in choices)}.")
        name = f"{PREFIX}{setting.name.upper()}"
        rows.append(f"| `{name}` | `{default}` | {' '.join(sentences)} |")
    return "\n".join(rows)


def documented_table() -> str:
    """Return the table that the document has."""
    table = _TABLE.search(DOCUMENT.read_text("utf-8"))
    assert table is not None
    return table[0]


def write_table() -> None:
    """Replace the table in the document."""
    text = DOCUMENT.read_text("utf-8")
    DOCUMENT.write_text(text.replace(documented_table(), settings_table()), "utf-8")


if __name__ == "__main__":
    write_table()
