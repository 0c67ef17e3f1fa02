from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from chatstore.store.verify import checks
from tests.support import SESSIONS, TickingClock, messages_url, session_url

YEAR = timedelta(days=365)
# How far the clock moves before each append.
MOVES = {
    "still": [timedelta()] * 6,
    "back": [-timedelta(hours=1)] * 6,
    "ahead a year, and back": [YEAR, -YEAR, timedelta(seconds=1), -YEAR, YEAR],
    "a microsecond at a time": [timedelta(microseconds=1)] * 6,
    "daylight saving and leap seconds": [-timedelta(hours=1), timedelta(seconds=-1)],
}


def times(chat: Any) -> list[datetime]:
    return [
        datetime.fromisoformat(chat[key]) for key in ("created_at", "last_updated_at")
    ]


def moving(clock: TickingClock, moves: list[timedelta]) -> Iterator[None]:
    clock.step = timedelta()
    for move in moves:
        clock.now += move
        yield


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_the_order_of_messages_is_not_the_clocks(
    alice: FlaskClient, app: Flask, clock: TickingClock, moves: list[timedelta]
) -> None:
    chat = alice.post(SESSIONS, json={}).json
    latest = times(chat)[1]
    for seq, _ in enumerate(moving(clock, moves), start=1):
        message = alice.post(messages_url(chat), json={"content": f"m{seq}"}).json
        timestamp = datetime.fromisoformat(message["timestamp"])
        assert message["seq"] == seq
        assert timestamp > latest
        assert timestamp >= clock.now
        latest = timestamp
        assert times(alice.get(session_url(chat)).json)[1] == latest
    listed = alice.get(messages_url(chat)).json["messages"]
    assert [each["content"] for each in listed] == [
        f"m{seq}" for seq in range(1, len(moves) + 1)
    ]
    with app.app_context():
        assert [line for check in checks.CHECKS for line in check.find()] == []


@pytest.mark.parametrize("moves", MOVES.values(), ids=MOVES)
def test_a_batch_and_what_follows_are_in_order_too(
    alice: FlaskClient, clock: TickingClock, moves: list[timedelta]
) -> None:
    chat = alice.post(SESSIONS, json={}).json
    url, turns = messages_url(chat), [{"content": "x"}] * 3
    for _ in moving(clock, moves):
        alice.post(f"{url}/batch", json={"messages": turns})
        alice.post(url, json={"content": "y"})
    listed = alice.get(url).json["messages"]
    stamps = [each["timestamp"] for each in listed]
    assert [each["seq"] for each in listed] == [*range(1, 4 * len(moves) + 1)]
    assert stamps == sorted(set(stamps))


def test_a_poller_misses_nothing_when_the_clock_jumps(
    alice: FlaskClient, clock: TickingClock
) -> None:
    chat = alice.post(SESSIONS, json={}).json
    seen: list[int] = []
    for _ in moving(clock, MOVES["ahead a year, and back"]):
        alice.post(messages_url(chat), json={"content": "x"})
        after = f"{messages_url(chat)}?after={seen[-1] if seen else 0}"
        seen += [each["seq"] for each in alice.get(after).json["messages"]]
    assert seen == [1, 2, 3, 4, 5]


def test_sessions_are_listed_whole_when_the_clock_jumps(
    alice: FlaskClient, clock: TickingClock
) -> None:
    made = []
    for _ in moving(clock, MOVES["ahead a year, and back"]):
        chat = alice.post(SESSIONS, json={}).json
        alice.post(messages_url(chat), json={"content": "x"})
        made.append(chat["id"])
    listed: list[Any] = []
    cursor = ""
    while cursor is not None:
        page = alice.get(f"{SESSIONS}?limit=2{cursor}").json
        listed += page["sessions"]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    updates = [each["last_updated_at"] for each in listed]
    assert sorted(each["id"] for each in listed) == sorted(made)
    assert updates == sorted(updates, reverse=True)


def test_a_change_of_a_session_is_not_bound_to_the_clock(
    alice: FlaskClient, clock: TickingClock
) -> None:
    chat = alice.post(SESSIONS, json={}).json
    alice.post(messages_url(chat), json={"content": "x"})
    before = alice.get(session_url(chat)).json
    clock.now -= YEAR
    after = alice.patch(session_url(chat), json={"name": "n"}).json
    assert times(after) == times(before)
    assert after["name"] == "n"
