from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from chatstore.db import db, run_write
from chatstore.models import Message
from chatstore.store.messages import MessageRange, list_messages
from chatstore.store.sessions import delete_session, get_session
from chatstore.store.verify.checks import CHECKS
from tests.support import SESSIONS, count, messages_url, parsed, session_url
from tests.support.workers import run_workers

PROCESSES, THREADS, EACH = 4, 5, 10
ALL = PROCESSES * THREADS * EACH
PROMISED = list(range(1, ALL + 1))


def assert_in_order(messages):
    """Assert that seqs are 1 to 200 and timestamps strictly increase."""
    assert [message["seq"] for message in messages] == PROMISED
    times = [message["timestamp"] for message in messages]
    assert all(earlier < later for earlier, later in pairwise(times))


def assert_nothing_is_wrong():
    assert [each for check in CHECKS for each in check.find()] == []


def read_after(app, chat, seq):
    wanted = MessageRange(after=seq)
    with app.app_context():
        chunk = list_messages(chat.id, owner_id="alice", wanted=wanted)
        return [
            {"seq": each.seq, "timestamp": each.timestamp, "content": each.content}
            for each in parsed(chunk.messages)
        ]


def test_appends_of_many_processes_get_one_order_that_a_reader_can_follow(
    app, make_session, database_url
):
    chat = make_session(owner_id="alice")
    seen, reads = [], []

    def follow():
        while len(seen) < ALL and len(reads) < 100_000:
            reads.append(read_after(app, chat, len(seen)))
            seen.extend(reads[-1])

    run_workers(
        *(PROCESSES, "append", database_url, chat.id, "alice", THREADS, EACH),
        meanwhile=follow,
    )
    assert_in_order(seen)
    assert len([each for each in reads if each]) > 1  # during the appends
    own = [str(number) for number in range(THREADS * EACH)]
    assert sorted(each["content"] for each in seen) == sorted(own * PROCESSES)
    with app.app_context():
        assert_only_these_are_kept(chat)


def assert_only_these_are_kept(chat):
    """Assert that the session counts all messages and that deleting removes them."""
    chat = get_session(chat.id, owner_id="alice")
    assert (chat.message_count, chat.last_seq, chat.revision) == (ALL, ALL, ALL + 1)
    assert_nothing_is_wrong()
    run_write(delete_session, chat.id, owner_id="alice")
    assert count(db.session, Message) == 0
    assert_nothing_is_wrong()


def test_appends_over_http_get_one_order_and_a_reader_sees_a_prefix(
    serve, database_url, app
):
    server = serve(database_url=database_url, workers="2", threads="8")
    chat = server.request("POST", SESSIONS, {}).json
    seen = []

    def append(number):
        body = {"content": str(number)}
        return server.request("POST", messages_url(chat), body).status_code

    def poll():
        after = seen[-1]["seq"] if seen else 0
        answer = server.request("GET", f"{messages_url(chat)}?after={after}")
        seen.extend(answer.json["messages"])

    with ThreadPoolExecutor(16) as clients:
        answers = [clients.submit(append, number) for number in range(ALL)]
        while not all(answer.done() for answer in answers):
            poll()
    poll()
    assert [answer.result() for answer in answers] == [201] * ALL
    assert_in_order(seen)
    assert server.request("GET", messages_url(chat)).json["messages"] == seen
    url = f"{session_url(chat)}?purge=true"
    assert server.request("DELETE", url).status_code == 204
    with app.app_context():
        assert count(db.session, Message) == 0
        assert_nothing_is_wrong()
