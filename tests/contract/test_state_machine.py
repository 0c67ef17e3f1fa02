"""The same steps on SQLite and PostgreSQL must give the model's answers.

The variable TORTURE_SECONDS lets it run for that long, with random steps.
"""

import os
import shutil
import time
from functools import partial
from uuid import UUID

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    initialize,
    multiple,
    rule,
    run_state_machine_as_test,
)

from chatstore import clock
from chatstore.app import create_app
from chatstore.db import db
from tests.contract import strategies as given
from tests.contract.corrections import Corrections
from tests.contract.model import KINDS
from tests.contract.twins import (
    Twins,
    messages_path,
    rest_path,
    session_path,
    sessions_path,
    turn_path,
)
from tests.support import SESSIONS, make_settings

IN_THE_SUITE = settings(
    max_examples=40,
    stateful_step_count=30,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
FOR_HOURS = settings(IN_THE_SUITE, derandomize=False, max_examples=50)
BATCHES = st.lists(given.TURNS, min_size=1, max_size=5)
PLACES = given.PLACES
BAD_REQUESTS = st.sampled_from(given.BAD_REQUESTS)
TAGS = st.sampled_from([None, *given.MATCHING, *given.STALE, given.WEAK])
MATCHING = st.sampled_from([None, *given.MATCHING])
STALE = st.sampled_from([*given.STALE, given.WEAK])


def or_nothing(value):
    """Return the value for a rule's bundle, or no value for None."""
    return multiple() if value is None else value


def place_of(chat, relative):
    """Return the members of a body that say where the message goes."""
    place = dict(relative)
    for name, least, base in (
        ("expected_seq", 1, chat.next_seq),
        ("expected_head", 0, chat.head),
    ):
        if name in place:
            place[name] = max(least, base + place[name])
    return place


class Machine(Corrections):
    chats = Bundle("chats")
    posts = Bundle("posts")
    cursors = Bundle("cursors")

    @rule(step=given.CLOCK_STEPS)
    def set_the_clock(self, step):
        self.model.now += step

    @initialize(target=chats, body=given.COLUMNS, turns=BATCHES)
    def begin(self, body, turns):
        chat, _ = self.create_chat(body, None)
        self.append_to(chat, "/batch", {"messages": turns}, turns, {}, False)
        return chat

    @rule(target=chats, body=given.COLUMNS)
    def create(self, body):
        return self.create_chat(body, None)[0]

    @rule(target=posts, body=given.COLUMNS)
    def create_with_a_key(self, body):
        return or_nothing(self.create_chat(body, self.model.new_key())[1])

    def create_chat(self, body, key):
        answers, posted = self.post(sessions_path, 201, body, key)
        chat = self.model.create(body)
        chat.ids = {kind: answer.json["id"] for kind, answer in answers.items()}
        assert [UUID(each).version for each in chat.ids.values()] == [4, 4]
        self.expect_chat(answers, chat, Location=partial(session_path, chat))
        return chat, posted

    @rule(chat=chats, tag=TAGS)
    def read(self, chat, tag):
        headers = given.tag_header("If-None-Match", tag, chat.revision)
        status = 304 if tag in [*given.MATCHING, given.WEAK] else 200
        if chat.is_deleted:
            status = 404
        answers = self.send("GET", partial(session_path, chat), status, headers=headers)
        if status == 200:
            self.expect_chat(answers, chat)
        for answer in answers.values():
            assert status == 404 or answer.headers["ETag"] == f'"{chat.revision}"'

    @rule(chat=chats, body=given.COLUMNS, tag=MATCHING)
    def patch(self, chat, body, tag):
        status = 404 if chat.is_deleted else 200
        headers = given.tag_header("If-Match", tag, chat.revision)
        path = partial(session_path, chat)
        answers = self.send("PATCH", path, status, body=body, headers=headers)
        if not chat.is_deleted:
            chat.change(body)
            self.expect_chat(answers, chat)

    @rule(chat=chats, is_patch=st.booleans(), tag=STALE)
    def change_what_has_changed(self, chat, is_patch, tag):
        self.send(
            "PATCH" if is_patch else "DELETE",
            partial(session_path, chat),
            404 if chat.is_deleted else 412,
            body={"name": "n"} if is_patch else None,
            headers=given.tag_header("If-Match", tag, chat.revision),
        )

    @rule(chat=chats, tag=MATCHING, really=given.SELDOM)
    def delete(self, chat, tag, really):
        if really:
            status = 404 if chat.is_deleted else 204
            headers = given.tag_header("If-Match", tag, chat.revision)
            self.send("DELETE", partial(session_path, chat), status, headers=headers)
            chat.revision += not chat.is_deleted
            chat.is_deleted = True

    @rule(chat=chats)
    def restore(self, chat):
        status = 200 if chat.is_deleted else 404
        answers = self.send(
            "POST", lambda kind: f"{session_path(chat, kind)}/restore", status
        )
        if chat.is_deleted:
            chat.is_deleted = False
            chat.revision += 1
            self.expect_chat(answers, chat)

    @rule(target=posts, chat=chats, turn=given.TURNS, at=PLACES, keyed=given.KEYED)
    def append(self, chat, turn, at, keyed):
        return self.append_to(chat, "", turn, [turn], at, keyed)

    @rule(target=posts, chat=chats, turns=BATCHES, at=PLACES, keyed=given.KEYED)
    def append_batch(self, chat, turns, at, keyed):
        return self.append_to(chat, "/batch", {"messages": turns}, turns, at, keyed)

    def append_to(self, chat, rest, body, turns, at, keyed):
        at = place_of(chat, at)
        refusal = chat.refusal(at)
        status = 404 if chat.is_deleted else 409 if refusal else 201
        key = self.model.new_key() if keyed else None
        path = partial(messages_path, chat, rest=rest)
        answers, posted = self.post(path, status, body | at, key)
        for answer in answers.values() if status == 409 else ():
            slug = answer.json["type"].rpartition(":")[2]
            told = {k: v for k, v in answer.json.items() if k.endswith("_seq")}
            assert {"slug": slug} | told == refusal
        if status == 201:
            new = chat.append(turns, self.model.now, at.get("parent_seq"))
            if posted:
                posted.holds = new
            self.expect_appended(chat, answers, new)
        return or_nothing(posted)

    @rule(target=chats, chat=chats, at=st.integers(0, 9), keyed=given.KEYED)
    def fork(self, chat, at, keyed):
        body = {"at_seq": at} if at else {"name": "fork"}
        status = 409 if at > len(chat.turns) else 201
        status = 404 if chat.is_deleted else status
        key = self.model.new_key() if keyed else None
        answers, posted = self.post(partial(rest_path, chat, "fork"), status, body, key)
        fork = self.expect_fork(chat, body, answers) if status == 201 else None
        if posted:
            posted.holds = [*fork.turns]  # not what is appended later
        return or_nothing(fork)

    def expect_fork(self, chat, body, answers):
        fork = chat.fork(body, self.model.now)
        self.model.chats.append(fork)
        fork.ids = {kind: answer.json["id"] for kind, answer in answers.items()}
        self.expect_chat(answers, fork, Location=partial(session_path, fork))
        if fork.turns:
            listed = self.send("GET", partial(messages_path, fork), 200)
            self.learn_ids(fork.turns, listed, lambda x: x["messages"])
        return fork

    def expect_appended(self, chat, answers, turns):
        is_batch = "messages" in answers[KINDS[0]].json
        self.learn_ids(turns, answers, lambda x: x["messages"] if is_batch else [x])

        def as_json(kind):
            return [chat.turn_as_json(turn, kind) for turn in turns]

        if is_batch:
            self.expect(answers, lambda kind: {"messages": as_json(kind)})
            return
        (turn,) = turns
        location = partial(turn_path, chat, turn)
        self.expect(answers, lambda kind: as_json(kind)[0], Location=location)

    @rule(posted=posts)
    def post_again(self, posted):
        self.expect_again(posted)

    @rule(posted=posts, chat=chats, turn=given.TURNS)
    def reuse_a_key(self, posted, chat, turn):
        body = turn | {"metadata": {"not": posted.key}}
        self.expect_reused(posted, partial(messages_path, chat), body)

    @rule(limit=given.PAGES, offset=st.integers(0, 9))
    def list_by_offset(self, limit, offset):
        self.expect_page(None, limit, offset=offset)

    @rule(target=cursors, limit=given.PAGES)
    def list_the_first_page(self, limit):
        return or_nothing(self.expect_page(None, limit))

    @rule(target=cursors, cursor=cursors, limit=given.PAGES)
    def list_the_next_page(self, cursor, limit):
        return or_nothing(self.expect_page(cursor, limit))

    @rule(chat=chats, query=given.MESSAGE_QUERIES)
    def list_messages(self, chat, query):
        if chat.is_deleted:
            self.send("GET", partial(messages_path, chat), 404)
        elif query.get("path") == "head" or query.get("path", 0) < chat.next_seq:
            self.expect_turns(chat, query)

    @rule(chat=chats, other=chats)
    def look_for_a_message_elsewhere(self, chat, other):
        for turn in chat.turns[:1] if chat is not other else []:
            self.send("GET", partial(turn_path, other, turn), 404)

    @rule(chat=chats, bad=BAD_REQUESTS, keyed=given.KEYED)
    def send_what_is_wrong(self, chat, bad, keyed):
        headers = {"Idempotency-Key": self.model.new_key()} if keyed else {}
        self.expect_refused(chat, bad, headers)

    def expect_refused(self, chat, bad, headers):
        method, url, body, status = bad

        def path(kind):
            return url.format(sessions=SESSIONS, session=session_path(chat, kind))

        self.send(method, path, status, body=body, headers=headers)


@pytest.fixture
def twins(sqlite_template, postgres, postgres_template, tmp_path, monkeypatch):
    shutil.copy(sqlite_template, tmp_path / "chatstore.db")
    name = postgres.create_database(postgres_template)
    urls = [f"sqlite:///{tmp_path / 'chatstore.db'}", postgres.url(name)]
    apps = {
        kind: create_app(make_settings(url, log_level="error", **given.LIMITS))
        for kind, url in zip(KINDS, urls, strict=True)
    }
    monkeypatch.setattr(clock, "source", clock.source)  # monkeypatch restores it
    monkeypatch.setattr(Twins, "apps", apps, raising=False)
    yield
    for app in apps.values():
        with app.app_context():
            db.engine.dispose()
    postgres.drop_database(name)


def test_both_databases_refuse_what_is_wrong(twins):
    machine = Machine()
    chat, _ = machine.create_chat({}, None)
    for bad in given.BAD_REQUESTS:
        machine.expect_refused(chat, bad, {})
    machine.look_at_everything()


def test_both_databases_answer_as_the_model_does(twins):
    run_state_machine_as_test(Machine, settings=IN_THE_SUITE)
    until = time.monotonic() + float(os.environ.get("TORTURE_SECONDS", "0"))
    while time.monotonic() < until:
        run_state_machine_as_test(Machine, settings=FOR_HOURS)
