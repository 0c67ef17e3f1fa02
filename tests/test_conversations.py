"""The example script, run on real conversations and a real server."""

import json
import runpy
import subprocess
import sys

import pytest

from tests.support import ROOT, clean_environ

SCRIPT = ROOT / "examples" / "load_conversations.py"
TREES = "conversation_trees.jsonl"
SENT = [
    {"role": "user", "content": "Which plan?"},
    {"role": "assistant", "content": "The first.", "metadata": {"model": "m"}},
]
CHAT = {"name": "Which plan?", "message_count": 2}
READ = [
    {"seq": 1, "role": "user", "content": "Which plan?", "metadata": None},
    {
        "seq": 2,
        "role": "assistant",
        "content": "The first.",
        "metadata": {"model": "m"},
    },
]


@pytest.fixture(scope="module")
def script():
    """The functions of the script by name."""
    return runpy.run_path(str(SCRIPT))


def run(*command, **environ):
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_conversations_are_read_back_equal(serve, database_url, script, data):
    trees = data(TREES)
    server = serve(database_url=database_url)
    loading = run(SCRIPT, f"http://127.0.0.1:{server.port}", trees)
    lines = trees.read_text().splitlines()
    count = sum(len(script["best_path"](json.loads(line))) for line in lines)
    size = f"{len(lines)} sessions, {count} messages"
    assert loading.stdout == f"{size}: read back equal\n", loading.stderr
    assert (loading.stderr, loading.returncode) == ("", 0)
    verifying = run(
        "-m",
        "chatstore",
        "verify",
        CHATSTORE_DATABASE_URL=database_url,
        CHATSTORE_SECRET_KEY="a secret of the tests",
    )
    assert verifying.stdout.startswith(f"ok: {size}"), verifying.stdout
    assert verifying.returncode == 0


def test_a_refused_message_ends_the_script(serve, tmp_path):
    server = serve(max_content_bytes="20")
    trees = tmp_path / "trees.jsonl"
    root = {"role": "user", "content": "x" * 21, "replies": []}
    trees.write_text(json.dumps({"id": "1", "root": root}))
    done = run(SCRIPT, f"http://127.0.0.1:{server.port}", trees)
    assert done.returncode == 1
    assert "422" in done.stderr
    assert "CHATSTORE_MAX_CONTENT_BYTES" in done.stderr


@pytest.mark.parametrize("url", ["http://127.0.0.1:1", "127.0.0.1:1", "no address"])
def test_a_service_that_is_not_there_is_one_line(tmp_path, url):
    trees = tmp_path / "trees.jsonl"
    trees.write_text('{"root": {"role": "user", "content": "x", "replies": []}}')
    done = run(SCRIPT, url, trees)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1


def test_the_best_path_follows_rank_0_or_else_the_first_reply(script):
    def turn(content, *replies, **others):
        return {"role": "user", "content": content, "replies": replies, **others}

    worse = turn("b", turn("lost"), rank=1)
    best = turn("c", turn("d", model="m"), turn("lost"), rank=0)
    path = script["best_path"]({"root": turn("a", worse, best, turn("unranked"))})
    assert [message["content"] for message in path] == ["a", "c", "d"]
    assert [message.get("metadata") for message in path] == [None, None, {"model": "m"}]


def test_an_equal_session_has_no_differences(script):
    assert list(script["differences"](SENT, CHAT, READ)) == []


@pytest.mark.parametrize(
    ("chat", "read", "difference"),
    [
        ({**CHAT, "name": "Other"}, READ, "name is 'Other'"),
        ({**CHAT, "message_count": 3}, READ, "2 read, 3 counted"),
        (CHAT, READ[:1], "1 read, 2 counted"),
        (CHAT, [READ[0], {**READ[1], "seq": 3}], "message 2 has seq 3"),
        (CHAT, [READ[0], {**READ[1], "role": "tool"}], "role of message 2 is 'tool'"),
        (CHAT, [{**READ[0], "content": "?"}, READ[1]], "content of message 1 is '?'"),
        (CHAT, [{**READ[0], "metadata": {}}, READ[1]], "metadata of message 1 is {}"),
    ],
)
def test_a_difference_is_named(script, chat, read, difference):
    (found,) = script["differences"](SENT, chat, read)
    assert difference in found
