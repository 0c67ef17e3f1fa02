"""The contract tests of the first release still pass, but for differences by intent."""

import re
import subprocess
import sys

from tests.support import ROOT, clean_environ
from tests.support.history import extract_before

# Its only other tests of the contract are about its own files and its document. They
# have changed since with the code, and so has the model of its state machine.
FILES = (
    "test_bad_input.py",
    "test_error_shape.py",
    "test_naughty_strings.py",
    "test_roundtrip.py",
)
# What the first release answered otherwise. CHANGELOG.md gives the reasons.
DIFFERENCES = {
    "a client may choose the id of a session": (
        "test_bad_input.py::test_a_session_that_breaks_the_contract[sqlite-id]",
    ),
    "messages can be edited and deleted": (
        "test_bad_input.py::test_a_method_that_is_not_possible"
        "[sqlite-DELETE-/api/v1/sessions/{chat}/messages/{message}]",
        "test_bad_input.py::test_a_method_that_is_not_possible"
        "[sqlite-PATCH-/api/v1/sessions/{chat}/messages/{message}]",
    ),
    "the text of a 500 is another sentence": (
        "test_error_shape.py::test_a_message_that_the_database_refuses_is_a_500[sqlite]",
    ),
    "previews have no white space around them": (
        "test_roundtrip.py::test_content_comes_back_character_for_character[sqlite]",
    ),
    "tags are trimmed, and not empty": (
        "test_roundtrip.py::test_a_session_comes_back_as_it_was_sent[sqlite]",
    ),
}
HERE = "first_release/contract"


def test_the_contract_tests_of_the_first_release_pass(tmp_path):
    # The first release had the migrations 0001 and 0002.
    extract_before("0003", tmp_path, "tests/contract", "tests/support.py")
    folder = (tmp_path / "tests").rename(tmp_path / "first_release")
    (folder / "__init__.py").touch()
    # Only the name of the package changes, as today's tests have the same.
    for path in folder.rglob("*.py"):
        text = path.read_text("utf-8")
        path.write_text(text.replace("from tests.", "from first_release."), "utf-8")
    imports = "from tests.support import make_settings\n"
    (folder / "conftest.py").write_text(imports, "utf-8")
    different = [f"{HERE}/{each}" for ids in DIFFERENCES.values() for each in ids]
    # Today's tests compare the answers of the two databases, so one is enough here.
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--tb=short"]
        + ["-p", "tests.conftest", "-p", "tests.support.first_contract"]
        + ["-k", "not postgresql", *(f"--deselect={each}" for each in different)]
        + [f"{HERE}/{name}" for name in FILES],
        cwd=tmp_path,
        # The shared data, which these tests need under CI, is an extra.
        env=clean_environ(PYTHONPATH=f"{tmp_path}:{ROOT}", CI=""),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) > 300, done.stdout
