"""The example client, against servers that are killed while it works."""

import os
import runpy
import signal
import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from chatstore.services.changes import renew_feed
from tests.support import ROOT, clean_environ, free_port, wait_until

SCRIPT = ROOT / "examples" / "synced_client.py"
SESSIONS, MESSAGES, KILLS = 2, 30, 3


@pytest.fixture(scope="module")
def script():
    """The names in the script."""
    return runpy.run_path(str(SCRIPT))


@pytest.fixture
def start(serve, database_url):
    """Start a server on the same port and database as the ones before."""
    port = free_port()

    def start():
        return serve(
            bind=f"127.0.0.1:{port}",
            database_url=database_url,
            secret_key="a secret of all servers of the test",
            workers="2",
        )

    start.url = f"http://127.0.0.1:{port}"
    return start


@pytest.fixture
def client(script, start, tmp_path):
    """Make a client with a copy of its own; clients of one name share it."""
    return lambda name: script["SyncedClient"](start.url, str(tmp_path / name))


def on_the_server(server):
    """Return the sessions and their messages, as they are read without the client."""
    page = server.request("GET", "/api/v1/sessions/?archived=any&limit=1000").json
    return {
        each["id"]: (
            each,
            server.request("GET", f"/api/v1/sessions/{each['id']}/messages").json[
                "messages"
            ],
        )
        for each in page["sessions"]
    }


def in_the_copy(client):
    return {
        id_: (session, client.messages(id_))
        for id_, session in client.sessions().items()
    }


def write(client, chats):
    """Write messages, and an edit of a session after each, through the outbox."""
    for number in range(MESSAGES):
        for chat in chats:
            client.say(chat, f"m{number}")
            client.change_session(chat, name=f"{number + 1} messages")
        client.run_once(pause=0.01)


def follow(script, client, chats):
    """Follow until all messages have come."""
    while True:
        client.run_once(pause=0.01)
        names = {each["name"] for each in client.sessions().values()}
        if names == {f"{MESSAGES} messages"}:
            return


def test_two_clients_stay_right_while_the_server_is_killed(
    script, client, start, tmp_path
):
    server = start()
    writer = client("writer.db")
    chats = [writer.create_session(name="new") for _ in range(SESSIONS)]
    writer.run_once()
    reader = client("reader.db")

    def count():
        with closing(sqlite3.connect(tmp_path / "reader.db")) as copy:
            return copy.execute("SELECT count(*) FROM messages").fetchone()[0]

    with ThreadPoolExecutor(2) as pool:
        # A connection of sqlite3 belongs to the thread that opened it.
        writing = pool.submit(lambda: write(client("writer.db"), chats))
        following = pool.submit(lambda: follow(script, client("reader.db"), chats))
        for number in range(KILLS):
            wanted = (number + 1) * SESSIONS * MESSAGES // (KILLS + 1)
            wait_until(lambda wanted=wanted: count() >= wanted)
            os.killpg(server.process.pid, signal.SIGKILL)
            server.process.wait()
            server = start()
        writing.result(timeout=120)
        following.result(timeout=120)
    for each in (writer, reader):
        each.run_once()
        assert (each.unsent(), each.refusals) == (0, [])
        assert in_the_copy(each) == on_the_server(server)
    texts = [f"m{number}" for number in range(MESSAGES)]
    for chat in chats:
        assert [each["content"] for each in reader.messages(chat)] == texts


def test_a_copy_follows_every_kind_of_change(client, start):
    server = start()
    writer, reader = client("writer.db"), client("reader.db")
    chats = [writer.create_session(name=f"s{number}") for number in range(3)]
    for number in range(205):
        writer.say(chats[0], f"m{number}")
    writer.say(chats[1], "other")
    writer.run_once()
    reader.run_once()
    assert in_the_copy(reader) == on_the_server(server)
    first = reader.messages(chats[0])[0]
    path = f"/api/v1/sessions/{chats[0]}/messages/{first['id']}"
    server.request("PATCH", path, {"content": "edited"})
    server.request("PUT", f"{path}/feedback", {"rating": 1})
    server.request("DELETE", path.replace(str(first["id"]), str(first["id"] + 1)))
    writer.change_session(chats[1], archived=True)
    writer.delete_session(chats[2])
    writer.delete_session(chats[2])
    writer.create_session(name="late")
    writer.run_once()
    assert reader.sync()
    assert not reader.sync()
    for each in (writer, reader):
        assert in_the_copy(each) == on_the_server(server)
    assert len(reader.sessions()) == 3
    assert reader.messages(chats[0])[0]["content"] == "edited"


def test_a_changed_message_hides_no_message_before_it(client, start):
    server = start()
    writer, reader = client("writer.db"), client("reader.db")
    chat = writer.create_session(name="a")
    writer.run_once()
    reader.run_once()
    for number in range(3):
        writer.say(chat, f"m{number}")
    writer.run_once()
    last = writer.messages(chat)[-1]
    path = f"/api/v1/sessions/{chat}/messages/{last['id']}"
    server.request("PUT", f"{path}/feedback", {"rating": 1})
    # Now the message's change comes before that of its session.
    writer.say(chat, "m3")
    writer.run_once()
    assert reader.sync()
    assert in_the_copy(reader) == on_the_server(server)


def test_a_refused_change_is_told_and_does_not_stop_the_others(client, start):
    server = start()
    writer = client("writer.db")
    writer.say("00000000-0000-4000-8000-000000000000", "to nobody")
    chat = writer.create_session(name="x" * 256)
    chat = writer.create_session(name="good")
    writer.run_once()
    assert [each.status for each in writer.refusals] == [404, 422]
    assert list(on_the_server(server)) == [chat]
    assert in_the_copy(writer) == on_the_server(server)


def test_a_client_that_is_killed_goes_on_with_its_copy(client, start):
    writer = client("writer.db")
    chat = writer.create_session(name="offline")
    writer.say(chat, "hello")
    with pytest.raises(Exception, match="refused"):
        writer.flush()
    server = start()
    again = client("writer.db")
    assert again.unsent() == 2
    again.run_once()
    assert [each["content"] for each in again.messages(chat)] == ["hello"]
    assert in_the_copy(again) == on_the_server(server)


def test_a_client_reads_everything_again_with_a_token_that_is_gone(client, start, app):
    server = start()
    writer = client("writer.db")
    writer.say(writer.create_session(name="a"), "x")
    writer.run_once()
    with app.app_context():
        renew_feed()  # as a restored database does
    server.request("POST", "/api/v1/sessions/", {"name": "b"})
    assert writer.sync()
    assert len(writer.sessions()) == 2
    assert in_the_copy(writer) == on_the_server(server)
    assert not writer.sync()


def test_the_command(start, tmp_path):
    start()
    command = [sys.executable, str(SCRIPT), start.url, str(tmp_path / "copy.db")]

    def run(*arguments):
        return subprocess.run(
            [*command, *arguments],
            capture_output=True,
            text=True,
            env=clean_environ(),
            timeout=120,
        )

    for count in (1, 2):
        said = run("say", "Hello")
        assert (said.stdout, said.stderr) == (
            f"{count} sessions, {count} messages\n",
            "",
        )
    assert run("sync").stdout == "2 sessions, 2 messages\n"


def test_a_change_of_a_message_past_the_copy_leaves_no_gap(client, start):
    server = start()
    writer, reader = client("writer.db"), client("reader.db")
    chat = writer.create_session(name="chat")
    writer.run_once()
    reader.run_once()
    url = f"/api/v1/sessions/{chat}/messages"
    server.request("POST", url, {"content": "first"})
    second = server.request("POST", url, {"content": "second"}).json
    server.request("PATCH", f"{url}/{second['id']}", {"content": "edited"})
    # The change of the session now comes after that of the message.
    server.request("POST", url, {"content": "third"})
    reader.run_once()
    assert in_the_copy(reader) == on_the_server(server)
