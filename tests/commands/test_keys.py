import pytest

from chatstore.cli import main
from tests.support import SESSIONS
from tests.support.access import bearer


@pytest.fixture
def run(database_url, make_app, run_command):
    def run(*arguments, exit_code=0):
        result = run_command(*arguments, database_url=database_url)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def test_an_issued_key_works_until_it_is_revoked(run, make_app):
    client = make_app(auth="api-key").test_client()
    text = run("keys", "issue", "--owner", "alice", "--name", "bot").stdout.strip()
    assert client.get(SESSIONS, headers=bearer(text)).status_code == 200
    line = run("keys", "list").stdout
    assert line.startswith(text[4:16])
    assert "alice  bot" in line
    run("keys", "revoke", text[4:16])
    assert "revoked" in run("keys", "list", "--owner", "alice").stdout
    assert run("keys", "list", "--owner", "bob").stdout == ""


def test_a_rotated_key_is_replaced(run, make_app):
    client = make_app(auth="api-key").test_client()
    old = run("keys", "issue", "--owner", "alice").stdout.strip()
    new = run("keys", "rotate", old[4:16]).stdout.strip()
    assert client.get(SESSIONS, headers=bearer(new)).status_code == 200
    assert client.get(SESSIONS, headers=bearer(old)).status_code == 401


@pytest.mark.parametrize(
    "arguments",
    [("issue",), ("issue", "--owner", " "), ("issue", "--owner", "a", "--scope", "x")]
    + [("issue", "--owner", "a", "--name", "x\n"), ("revoke",)],
)
def test_a_bad_argument_is_refused(run, arguments):
    run("keys", *arguments, exit_code=2)


def test_a_missing_key_is_an_error(run):
    assert "no API key x" in run("keys", "revoke", "x", exit_code=1).stderr
    assert main.commands["keys"] is not None
