import pytest

from tests.support.owned import fill_owner


@pytest.fixture
def run(database_url, make_app, run_command):
    fill_owner(make_app(auth="api-key"), "alice")

    def run(*arguments, exit_code=0):
        result = run_command(*arguments, database_url=database_url)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def test_an_owner_is_erased_and_the_proof_passes(run):
    assert run("owners", "list").stdout == "alice  1 session\n"
    refused = run("verify", "--erased", "alice", exit_code=1)
    assert "sessions.owner_id" in refused.stdout
    assert "alice is not erased" in refused.stderr
    assert "aborted" in run("owners", "erase", "alice", exit_code=1).stderr.lower()
    assert "erased alice" in run("owners", "erase", "alice", "--yes").stdout
    assert run("verify", "--erased", "alice").stdout.startswith("ok: nothing of alice")
    assert run("owners", "list").stdout == ""
    assert run("verify").stdout.startswith("ok: 0 sessions")
    assert run("audit", "--owner", "alice").stdout.count("owner.erased") == 2


def test_an_owner_is_shown_renamed_and_exported(run, tmp_path):
    shown = run("owners", "show", "alice").stdout
    assert "messages                             3\n" in shown
    assert run("owners", "rename", "alice", "bob").stdout == "renamed alice to bob\n"
    assert run("owners", "show", "bob").stdout == shown
    file = tmp_path / "bob.jsonl"
    wrote = run("owners", "export", "bob", str(file)).stdout
    assert wrote == f"wrote {file}: 2 sessions, 3 messages\n"
    assert (
        "already exists"
        in run("owners", "export", "bob", str(file), exit_code=1).stderr
    )


@pytest.mark.parametrize(
    "arguments",
    [("show", " "), ("rename", "alice", "alice"), ("erase", ""), ("rename", "a")],
)
def test_a_bad_owner_is_refused(run, arguments):
    run("owners", *arguments, exit_code=2)
