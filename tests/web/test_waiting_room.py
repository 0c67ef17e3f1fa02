import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from chatstore.app_state import get_from_app
from chatstore.clock import Deadline
from chatstore.db import db
from chatstore.store.changes import last_change_ids
from chatstore.web.waiting_room import WaitingRoom, Wakeup
from tests.support import make_settings, on_postgresql, wait_until
from tests.support.breakage import taken_away
from tests.support.statements import recorded_statements

LONG = 60


@pytest.fixture
def make_room(app):
    """A factory of rooms on the test's application, with small bounds."""

    def make(*, watch_seconds=0.01, **bounds):
        bounds = {"max_waiting": 3, "max_blocked": 2} | bounds
        return WaitingRoom(app, watch_seconds=watch_seconds, **bounds)

    yield make
    wait_until(lambda: not watchers())


@pytest.fixture
def last_id(app):
    def last_id(owner_id="alice"):
        with app.app_context():
            return last_change_ids([owner_id])[owner_id]

    return last_id


def watchers():
    return [each for each in threading.enumerate() if each.name == "watcher"]


def enter(room, seen, owner_id="alice"):
    """Return an event that is set once the room wakes this waiter."""
    woken = threading.Event()
    woken.wakeups = []

    def wake(wakeup):
        woken.wakeups.append(wakeup)
        woken.set()

    woken.leave = room.enter(owner_id, seen, wake)
    return woken


def test_a_change_wakes_those_who_wait_for_its_owner(make_room, make_session, last_id):
    room = make_room()
    waiters = [enter(room, last_id()) for _ in range(2)]
    other = enter(room, last_id("bob"), "bob")
    make_session(owner_id="alice")
    assert all(each.wait(LONG) for each in waiters)
    room.look()
    assert not other.is_set()
    make_session(owner_id="bob")
    assert other.wait(LONG)


def test_a_wakeup_reads_a_key_once_and_keeps_only_the_last():
    wakeup, reads = Wakeup(), iter(range(10))
    keys = ["a", "a", "b", "b", "a"]
    values = [wakeup.share(key, lambda: next(reads)) for key in keys]
    assert values == [0, 0, 1, 1, 2]


def test_a_wakeup_keeps_nothing_of_a_read_that_fails():
    wakeup = Wakeup()
    with pytest.raises(ZeroDivisionError):
        wakeup.share("a", lambda: 1 // 0)
    assert wakeup.share("a", lambda: 1) == 1


def test_a_change_that_came_before_the_waiter_wakes_it(
    make_room, make_session, last_id
):
    seen = last_id()
    make_session(owner_id="alice")
    assert enter(make_room(), seen).wait(LONG)


def test_who_has_seen_the_last_change_waits_for_the_next(
    make_room, make_session, last_id
):
    make_session(owner_id="alice")
    room = make_room()
    waiter = enter(room, last_id())
    room.look()
    assert not waiter.is_set()
    waiter.leave()


def test_who_has_left_is_not_woken(make_room, make_session, last_id):
    room = make_room(watch_seconds=1)
    waiter = enter(room, last_id())
    waiter.leave()
    make_session(owner_id="alice")
    room.look()
    assert not waiter.is_set()
    room.forget()


def test_a_full_room_lets_nobody_in_until_somebody_leaves(make_room, last_id):
    room = make_room(max_waiting=2)
    first, second = (enter(room, last_id()) for _ in range(2))
    assert first.leave and second.leave
    assert enter(room, last_id()).leave is None
    first.leave()
    third = enter(room, last_id())
    assert third.leave
    second.leave()
    third.leave()


def test_one_statement_asks_for_all_who_wait(app, make_room, last_id):
    room = make_room(max_waiting=300, watch_seconds=1)
    for number in range(300):
        enter(room, last_id(), f"owner {number % 150}")
    with app.app_context(), recorded_statements() as statements:
        room.look()
    assert len([each for each in statements if "SELECT" in each]) == 1
    room.forget()


def test_all_of_many_owners_are_asked_for(app, make_room, make_session):
    room = make_room(max_waiting=1000, watch_seconds=1)
    waiters = [enter(room, 0, f"owner {number}") for number in range(450)]
    room.look()
    assert not any(each.is_set() for each in waiters)
    for number in (0, 449):
        make_session(owner_id=f"owner {number}")
    room.look()
    assert [n for n, each in enumerate(waiters) if each.is_set()] == [0, 449]
    room.forget()


def test_those_who_wait_hold_no_connection(app, make_room, last_id):
    room = make_room(watch_seconds=1, max_waiting=20)
    waiters = [enter(room, last_id()) for _ in range(20)]
    room.look()
    with app.app_context():
        wait_until(lambda: db.engine.pool.checkedout() == 0)
    assert not any(each.is_set() for each in waiters)
    room.forget()


def test_the_watcher_runs_only_while_somebody_waits(make_room, make_session, last_id):
    room = make_room()
    assert not watchers()
    for _ in range(2):
        waiter = enter(room, last_id())
        assert len(watchers()) == 1
        waiter.leave()
        wait_until(lambda: not watchers())
    waiters = [enter(room, last_id()) for _ in range(3)]
    assert len(watchers()) == 1
    make_session(owner_id="alice")
    assert all(each.wait(LONG) for each in waiters)


def test_those_who_wait_survive_a_database_that_is_away(
    app, make_room, last_id, request, caplog
):
    room = make_room(watch_seconds=1)
    waiter = enter(room, last_id())
    with taken_away(app, request):
        for _ in range(5):
            room.look()
        assert not waiter.is_set()
        assert not room.wait("alice", 0, Deadline(0.05))
    waiter.leave()
    # The watcher may have looked at the same time as the test.
    assert 1 <= caplog.text.count("cannot read changes for waiting requests") <= 2


@on_postgresql
def test_a_database_that_comes_back_is_watched_again(
    app, make_room, make_session, last_id, request
):
    room = make_room()
    waiter = enter(room, last_id())
    with taken_away(app, request):
        room.look()
    make_session(owner_id="alice")
    assert waiter.wait(LONG)


# Requests that block their threads


def test_a_blocked_request_goes_on_after_a_change(make_room, make_session, last_id):
    room = make_room()
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(room.wait, "alice", last_id(), Deadline(LONG))
        wait_until(lambda: watchers())
        make_session(owner_id="alice")
        assert work.result(LONG) is True


def test_a_blocked_request_ends_at_its_deadline(make_room, last_id):
    assert make_room().wait("alice", last_id(), Deadline(0.05)) is False


def test_only_some_requests_may_block_their_threads(make_room, make_session, last_id):
    room = make_room(max_blocked=1)
    with ThreadPoolExecutor(1) as pool:
        work = pool.submit(room.wait, "alice", last_id(), Deadline(LONG))
        wait_until(lambda: watchers())
        assert room.wait("alice", last_id(), Deadline(LONG)) is False
        make_session(owner_id="alice")
        assert work.result(LONG) is True
    assert room.wait("alice", 0, Deadline(LONG)) is True


def test_a_full_room_blocks_nobody(make_room, last_id):
    room = make_room(max_waiting=0)
    assert room.wait("alice", last_id(), Deadline(LONG)) is False


def test_the_application_has_a_room_with_the_bounds_of_its_settings(make_app):
    room = get_from_app(WaitingRoom, make_app(max_waiting=7, threads=12))
    assert (room._max_waiting, room._max_blocked) == (7, 3)


# A process that forks while somebody waits

# The watcher stands still between two looks during the fork: a lock of the database
# driver that another thread holds at a fork is never free in the child.
FORK = """
import os, sys, threading
from chatstore.app import create_app
from chatstore.web.waiting_room import WaitingRoom
from chatstore.settings import Settings

class Room(WaitingRoom):
    looked = threading.Event()
    may_go_on = threading.Event()

    def look(self):
        super().look()
        self.looked.set()
        self.may_go_on.wait()

app = create_app(Settings(database_url=sys.argv[1], secret_key="s"))
room = Room(app, max_waiting=1, max_blocked=1, watch_seconds=0.01)
assert room.enter("alice", 9, print)
room.looked.wait()
room._lock.acquire()
if child := os.fork():
    sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
room.may_go_on.set()
woken = threading.Event()
assert room.enter("alice", -1, lambda wakeup: woken.set())
os._exit(0 if woken.wait(60) else 7)
"""


def test_a_forked_process_has_an_empty_room_and_its_own_watcher(sqlite_template):
    url = make_settings(f"sqlite:///{sqlite_template}").database_url
    command = [sys.executable, "-W", "ignore", "-c", FORK, url]
    assert subprocess.run(command, timeout=LONG).returncode == 0
