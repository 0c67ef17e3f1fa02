"""A client that only applies the change feed has exactly the store.

Other steps change sessions and messages at random meanwhile. The variable
TORTURE_SECONDS lets the machine run for that long, with random steps.
"""

import os
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from chatstore.db import db, transaction
from chatstore.services.background_deletions import finish_deletions
from chatstore.store.changes import create_feed
from tests.support import SESSIONS, messages_url, session_url, wait_for_transactions
from tests.support.databases import tables_to_empty
from tests.support.follower import Follower, read_everything

IN_THE_SUITE = settings(
    max_examples=15,
    stateful_step_count=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
FOR_HOURS = settings(IN_THE_SUITE, derandomize=False, max_examples=50)
# Few sessions and messages, so that steps meet. A place names the session or message
# at this place of all that there were, and so a deleted one, too.
PLACES = st.integers(0, 5)
WORDS = st.sampled_from(["one", "two", "three"])
BULK = st.sampled_from(
    [
        {"action": "archive"},
        {"action": "unarchive"},
        {"action": "pin"},
        {"action": "add_tags", "tags": ["a"]},
        {"action": "delete"},
        {"action": "restore"},
        {"action": "purge"},
    ]
)
ANSWERS = {200, 201, 204, 404, 409, 410}


def get_of(client):
    def get(path):
        response = client.get(path)
        return response.status_code, response.json

    return get


class Machine(RuleBasedStateMachine):
    """Three followers of one store; a subclass of the test has the application."""

    app = None

    def __init__(self):
        super().__init__()
        with self.app.app_context(), transaction():
            for table in tables_to_empty():
                db.session.execute(table.delete())
            create_feed()
        self.client = self.app.test_client()
        self.followers = [Follower(get_of(self.client)) for _ in range(3)]
        self.ids = []

    def teardown(self):
        self.look_at_everything()

    @rule()
    def look_at_everything(self):
        """Let all followers catch up, and expect them to have the store."""
        with self.app.app_context():
            finish_deletions()
            wait_for_transactions()
        expected = read_everything(get_of(self.client))
        for follower, limit in zip(self.followers, (1, 3, 100), strict=True):
            follower.catch_up(limit=limit)
            for key in follower.copy.keys() | expected.keys():
                assert follower.copy.get(key) == expected.get(key)
            assert follower.restarts == 1

    @rule(number=st.integers(0, 2), limit=st.integers(1, 4))
    def follow(self, number, limit):
        self.followers[number].step(limit=limit)

    def send(self, method, url, body=None):
        response = self.client.open(url, method=method, json=body)
        assert response.status_code in ANSWERS, response.text
        return response

    def chat(self, place):
        return {"id": self.ids[place % len(self.ids)] if self.ids else "0" * 8}

    def change_message(self, place, number, method, rest, body=None):
        """Send a request about a message; it may have been deleted."""
        url = messages_url(self.chat(place))
        page = self.client.get(f"{url}?after={number}&limit=1").json
        for message in page.get("messages", []):
            self.send(method, f"{url}/{message['id']}{rest}", body)

    @rule(word=WORDS)
    def create(self, word):
        self.ids.append(self.send("POST", SESSIONS, {"name": word}).json["id"])

    @rule(place=PLACES, word=WORDS)
    def replace(self, place, word):
        """Purge a session, and create another one with its id."""
        self.purge(place)
        if self.ids:
            body = {"id": self.chat(place)["id"], "messages": [{"content": word}]}
            self.send("POST", SESSIONS, body)

    @rule(place=PLACES, word=WORDS)
    def append(self, place, word):
        self.send("POST", messages_url(self.chat(place)), {"content": word})

    @rule(place=PLACES, word=WORDS, size=st.integers(1, 4))
    def append_batch(self, place, word, size):
        body = {"messages": [{"content": word}] * size}
        self.send("POST", f"{messages_url(self.chat(place))}/batch", body)

    @rule(place=PLACES, number=PLACES, word=WORDS)
    def append_to_a_branch(self, place, number, word):
        body = {"content": word, "parent_seq": number}
        self.send("POST", messages_url(self.chat(place)), body)

    @rule(place=PLACES, word=WORDS, archived=st.booleans())
    def patch(self, place, word, archived):
        body = {"name": word, "archived": archived}
        self.send("PATCH", session_url(self.chat(place)), body)

    @rule(place=PLACES, head_seq=st.integers(1, 5))
    def move_the_head(self, place, head_seq):
        self.send("PATCH", session_url(self.chat(place)), {"head_seq": head_seq})

    @rule(place=PLACES, number=PLACES, word=WORDS)
    def edit(self, place, number, word):
        self.change_message(place, number, "PATCH", "", {"content": word})

    @rule(place=PLACES, number=PLACES)
    def delete_message(self, place, number):
        self.change_message(place, number, "DELETE", "")

    @rule(place=PLACES, number=PLACES, rating=st.sampled_from([1, -1, None]))
    def rate(self, place, number, rating):
        self.change_message(place, number, "PUT", "/feedback", {"rating": rating})

    @rule(place=PLACES)
    def clear(self, place):
        self.send("POST", f"{session_url(self.chat(place))}/clear")

    @rule(place=PLACES)
    def delete(self, place):
        self.send("DELETE", session_url(self.chat(place)))

    @rule(place=PLACES)
    def purge(self, place):
        self.send("DELETE", f"{session_url(self.chat(place))}?purge=true")

    @rule(place=PLACES)
    def restore(self, place):
        self.send("POST", f"{session_url(self.chat(place))}/restore")

    @rule(place=PLACES)
    def fork(self, place):
        response = self.send("POST", f"{session_url(self.chat(place))}/fork", {})
        if response.status_code == 201:
            self.ids.append(response.json["id"])

    @rule(change=BULK, places=st.sets(PLACES, min_size=1))
    def change_many(self, change, places):
        if self.ids:
            ids = sorted({self.chat(place)["id"] for place in places})
            self.send("POST", f"{SESSIONS}bulk", change | {"ids": ids})


def test_followers_have_the_store_at_every_quiet_point(app):
    machine = type("OnThisDatabase", (Machine,), {"app": app})
    run_state_machine_as_test(machine, settings=IN_THE_SUITE)
    until = time.monotonic() + float(os.environ.get("TORTURE_SECONDS", "0"))
    while time.monotonic() < until:
        run_state_machine_as_test(machine, settings=FOR_HOURS)


@pytest.mark.parametrize("limit", [1, 100])
def test_a_session_with_the_id_of_a_deleted_one_is_read_whole(app, alice, limit):
    follower = Follower(get_of(alice))
    chat = alice.post(SESSIONS, json={"messages": [{"content": "old"}] * 2}).json
    follower.catch_up()
    assert alice.delete(f"{session_url(chat)}?purge=true").status_code == 204
    body = {"id": chat["id"], "messages": [{"content": "new"}] * 3}
    assert alice.post(SESSIONS, json=body).status_code == 201
    with app.app_context():
        wait_for_transactions()
    follower.catch_up(limit=limit)
    assert follower.copy == read_everything(get_of(alice))


def write_at_random(app, number):
    """Create, change and delete sessions of its own and those of other writers."""
    client, chance = app.test_client(), random.Random(number)
    own = []
    for count in range(40):
        if not own or chance.random() < 0.15:
            own.append(client.post(SESSIONS, json={"name": f"{number}"}).json)
        shared = client.get(f"{SESSIONS}?limit=3").json["sessions"]
        chat = chance.choice([*own, *shared])
        work = chance.choice(["append", "batch", "edit", "rename", "rename", "delete"])
        url = messages_url(chat)
        if work == "append":
            client.post(url, json={"content": f"{number}-{count}"})
        elif work == "batch":
            client.post(f"{url}/batch", json={"messages": [{"content": "x"}] * 3})
        elif work == "edit":
            for message in client.get(f"{url}?limit=1").json.get("messages", []):
                edit = {"content": f"{number}-{count}"}
                client.patch(f"{url}/{message['id']}", json=edit)
        elif work == "rename":
            client.patch(session_url(chat), json={"name": f"{number}-{count}"})
        elif chance.random() < 0.3:
            client.delete(session_url(chat))


@pytest.mark.parametrize("limit", [2, 100])
def test_a_follower_of_many_writers_has_the_store_at_the_end(app, limit):
    follower = Follower(get_of(app.test_client()))
    follower.step()
    is_over, steps = threading.Event(), 0
    with ThreadPoolExecutor(5) as threads:
        writers = [threads.submit(write_at_random, app, n) for n in range(5)]
        for writer in writers:
            writer.add_done_callback(
                lambda _: all(each.done() for each in writers) and is_over.set()
            )
        while not is_over.is_set():
            follower.step(limit=limit)
            steps += 1
    for writer in writers:
        writer.result()
    with app.app_context():
        finish_deletions()
        wait_for_transactions()
    follower.catch_up(limit=limit)
    expected = read_everything(get_of(app.test_client()))
    assert expected
    assert follower.copy == expected
    assert follower.restarts == 1
    assert steps > 10
