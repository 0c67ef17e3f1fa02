import re
import subprocess
import sys
from itertools import chain

import pytest

from chatstore.shell import BANNER, RECIPES, shell_names
from tests.support import ROOT, clean_environ

SHELLS = {
    "chatstore shell": [sys.executable, "-m", "chatstore", "shell"],
    "flask shell": [sys.executable, "-m", "flask", "shell"],  # finds wsgi.py
}
# For each recipe, code that prints its effect, seen from another connection.
PROBES = [
    "print(chat.name, chat.message_count)",
    "",
    "with db.engine.connect() as other: print(other.execute(select(ChatSession.name)"
    ".order_by(ChatSession.name)).scalars().all())\n",
    "with db.engine.connect() as other: print(other.execute(select(func.count())"
    ".select_from(ChatSession)).scalar(), other.execute(select(func.count())"
    ".select_from(Message)).scalar())\n",
    "",
]


def run_shell(command, database_url, lines):
    """Type the lines into a shell; return its output after each line."""
    typed = [f"{line.rstrip()}\n\nprint('--')" for line in lines]
    shell = subprocess.run(
        command,
        cwd=ROOT,
        env=clean_environ(
            CHATSTORE_DATABASE_URL=database_url, CHATSTORE_SECRET_KEY="of the tests"
        ),
        input="\n".join(typed) + "\n",
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert shell.returncode == 0, shell.stderr
    assert "Traceback" not in shell.stderr, shell.stderr
    banner, found, shown = shell.stdout.partition(BANNER + "\n")
    assert (banner, found) == ("", BANNER + "\n")
    return [part.replace(">>> ", "").replace("... ", "") for part in shown.split("--")]


@pytest.mark.parametrize("shell", SHELLS)
def test_the_recipes_work_as_printed(make_session, database_url, shell):
    make_session(messages=2, name="Choosing a plan")
    make_session(messages=3, name="Another")
    printed = [line for line in BANNER.splitlines()[1:] if line]
    recipes = printed[1::2]
    lines = chain.from_iterable(zip(recipes, PROBES, strict=True))
    shown = run_shell(SHELLS[shell], database_url, lines)
    assert shown[1].strip() == "Choosing a plan 2"
    assert shown[2].split("\n")[1:3] == ["1 user m1", "2 user m2"]
    assert shown[5].strip() == "['Another', 'New name']"
    assert shown[7].strip() == "1 3"
    assert re.fullmatch(r"\[\(.*2\d\d\d.*, 3\)\]", shown[8].strip())


def test_the_banner_shows_five_recipes_whole():
    assert len(RECIPES) == 5
    for title, recipe in RECIPES:
        assert f"\n# {title}\n{recipe}" in BANNER


def test_the_shell_offers_all_that_the_store_can_do():
    names = shell_names()
    for name in ("create", "get", "update", "delete"):
        assert callable(names[f"{name}_session"])
    for name in ("db", "ChatSession", "Message", "append_message", "run_write"):
        assert name in names
