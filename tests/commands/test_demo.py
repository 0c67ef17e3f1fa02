import pytest

from chatstore.demo.conversations import load_conversations

TOTAL = f"{len(load_conversations())} sessions"


@pytest.fixture
def run(database_url, run_command):
    def run(*arguments, exit_code=0, **settings):
        settings = {"database_url": database_url} | settings
        result = run_command(*arguments, **settings)
        assert result.exit_code == exit_code, result.output
        return result

    return run


def test_the_demo_says_where_to_look_and_goes_again(run, app, make_session):
    added = run("demo", bind="127.0.0.1:8123")
    assert added.stdout == (
        f"added {TOTAL} to the store of local\n"
        "Run chatstore serve, and look at http://127.0.0.1:8123/\n"
    )
    assert added.stderr == "Take it out with: chatstore demo --remove\n"
    assert run("verify").stdout.startswith(f"ok: {TOTAL}, ")
    again = run("demo", bind="unix:/run/chat.sock").stdout
    assert again == (
        f"The demo is there already: {TOTAL}.\n"
        "Run chatstore serve, and look at unix:/run/chat.sock\n"
    )
    make_session(messages=1)
    assert run("demo", "--remove").stdout == f"removed {TOTAL} of the demo\n"
    assert run("verify").stdout.startswith("ok: 1 session, 1 message, ")
    assert run("demo", "--remove").stdout == "removed 0 sessions of the demo\n"
    assert run("audit").stdout.count("sessions.deleted") == 1


def test_the_demo_leaves_a_store_with_sessions_alone(run, app, make_session):
    make_session(owner_id="alice")
    refused = run("demo", "--owner", "alice", exit_code=1)
    assert "alice has sessions already" in refused.stderr
    assert run("verify").stdout.startswith("ok: 1 session, ")
    added = run("demo", "--owner", "alice", "--force")
    assert TOTAL in added.stdout
    assert added.stderr.endswith(" demo --remove --owner alice\n")
    run("demo", "--owner", " ", exit_code=2)


def test_the_demo_migrates_an_empty_database(run, empty_database_url):
    assert TOTAL in run("demo", database_url=empty_database_url).stdout
    assert "ok" in run("verify", database_url=empty_database_url).stdout
