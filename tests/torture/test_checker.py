"""The checker on small histories: clean ones, and one fault each."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.torture.checker import check
from tests.torture.history import Call, History, Kind, Outcome, StoredSession
from tests.torture.stories import (
    CLEAN,
    SESSION,
    appended,
    call,
    created,
    instant,
    read,
    refused,
    row,
    stored,
    unknown,
)


def rules_broken(calls: Sequence[Call], messages: Sequence[Any]) -> set[str]:
    sessions = {SESSION: StoredSession("s", messages)}
    return {each.rule for each in check(History([created("s"), *calls], sessions))}


def test_a_history_that_keeps_every_promise_passes():
    assert rules_broken(CLEAN, stored("a", "b", "c", "d", "e", "f", "i")) == set()


def test_messages_that_follow_the_parents_they_name_pass():
    calls = [
        unknown("a"),
        appended("b", "c", seq=2, at=3, key="k", parent_seq=0),
        appended("d", seq=4, at=5, parent_seq=1),
        appended("e", seq=5, at=7),
    ]
    rows = [row(1, "a"), row(2, "b", parent=0), row(3, "c"), row(4, "d", parent=1)]
    assert rules_broken(calls, [*rows, row(5, "e")]) == set()


FAULTS: dict[str, Any] = {
    "an acknowledged append is missing": ({"lost"}, [appended("a", seq=1)], []),
    "the first of two is missing, and the other in its place": (
        {"changed", "lost", "reordered"},
        [appended("a", seq=1), appended("b", seq=2, at=3)],
        [[1, instant(2), "b", 0]],
    ),
    "an acknowledged append is there twice": (
        {"doubled"},
        [appended("a", seq=1)],
        stored("a", "a"),
    ),
    "an unknown append is there twice": ({"doubled"}, [unknown("a")], stored("a", "a")),
    "a batch is there twice": (
        {"doubled"},
        [appended("a", "b", seq=1, key="k")],
        stored("a", "b", "a", "b"),
    ),
    "something is there that nobody sent": (
        {"phantom"},
        [appended("a", seq=1)],
        stored("a", "x"),
    ),
    "a refused append is there": (
        {"refused but stored"},
        [appended("a", seq=2), refused("b", expected=1, last_seq=2)],
        stored("b", "a"),
    ),
    "a seq is left out": (
        {"gap"},
        [appended("a", seq=1), appended("b", seq=3)],
        [[1, instant(1), "a", 0], [3, instant(3), "b", 2]],
    ),
    "the first seq is 2": ({"gap"}, [appended("a", seq=2)], [[2, instant(2), "a", 1]]),
    "two timestamps are equal": (
        {"timestamps"},
        [unknown("a"), unknown("b")],
        [[1, instant(1), "a", 0], [2, instant(1), "b", 1]],
    ),
    "a timestamp goes back": (
        {"timestamps"},
        [unknown("a"), unknown("b")],
        [[1, instant(2), "a", 0], [2, instant(1), "b", 1]],
    ),
    "the timestamp is not the one that was acknowledged": (
        {"changed"},
        [appended("a", seq=1)],
        [[1, instant(9), "a", 0]],
    ),
    "the answer is about another content": (
        {"changed"},
        [appended("a", seq=1, answer=[[1, instant(1), "b", 0]]), unknown("b")],
        stored("b"),
    ),
    "what was sent later has the lower seq": (
        {"reordered"},
        [appended("a", seq=2, at=1), appended("b", seq=1, at=3)],
        stored("b", "a"),
    ),
    "an unknown append is before what was there when it was sent": (
        {"reordered"},
        [appended("a", seq=2, at=1), unknown("b", at=3)],
        stored("b", "a"),
    ),
    "an append is before what was read when it was sent": (
        {"reordered"},
        [read("a", after=1, at=1), unknown("a", at=0), unknown("b", at=3)],
        stored("b", "a"),
    ),
    "a batch is not whole": (
        {"torn batch"},
        [unknown("a", "b", "c", key="k")],
        stored("a", "b"),
    ),
    "another append is inside a batch": (
        {"torn batch"},
        [unknown("a", "b", key="k"), unknown("x")],
        stored("a", "x", "b"),
    ),
    "a batch is in another order": (
        {"torn batch"},
        [unknown("a", "b", "c", key="k")],
        stored("a", "c", "b"),
    ),
    "an append has another seq than it expected": (
        {"expected_seq"},
        [appended("a", seq=1), unknown("b", expected_seq=3)],
        stored("a", "b"),
    ),
    "the next seq was expected, and refused": (
        {"expected_seq"},
        [appended("a", seq=1), refused("b", expected=2, last_seq=1, at=3)],
        stored("a"),
    ),
    "a conflict tells an old last_seq": (
        {"stale conflict"},
        [appended("a", "b", seq=1), refused("c", expected=3, last_seq=1, at=3)],
        stored("a", "b"),
    ),
    "a conflict tells a last_seq that never was": (
        {"stale conflict"},
        [appended("a", seq=1), refused("b", expected=1, last_seq=9, at=3)],
        stored("a"),
    ),
    "a key is answered in two ways": (
        {"changed", "two answers"},
        [
            appended("a", seq=1, key="k"),
            appended("a", seq=2, key="k", at=3, is_replayed=True),
        ],
        stored("a"),
    ),
    "a key is run twice": (
        {"run twice"},
        [appended("a", seq=1, key="k"), appended("a", seq=1, key="k", at=3)],
        stored("a"),
    ),
    "a key that had its effect is refused later": (
        {"refused but stored"},
        [
            appended("a", seq=1, key="k", expected_seq=1),
            call(Kind.APPEND, Outcome.FAILED, 3, tokens=["a"], key="k", status=409),
        ],
        stored("a"),
    ),
    "a read misses the last acknowledged message": (
        {"stale read"},
        [appended("a", "b", seq=1, at=1, key="k"), read("a", at=3)],
        stored("a", "b"),
    ),
    "a read of what follows misses it": (
        {"stale read"},
        [appended("a", "b", seq=1, at=1, key="k"), read(after=1, at=3)],
        stored("a", "b"),
    ),
    "a page that is not full ends too early": (
        {"stale read"},
        [appended("a", "b", "c", seq=1, key="k"), read("a", "b", limit=3)],
        stored("a", "b", "c"),
    ),
    "a read misses what an earlier read saw": (
        {"stale read"},
        [unknown("a"), unknown("b"), read("a", "b", at=3), read("a", at=5)],
        stored("a", "b"),
    ),
    "a read skips a message": (
        {"read skips"},
        [
            appended("a", "b", "c", seq=1, key="k"),
            read(answer=[[1, instant(1), "a", 0], [3, instant(3), "c", 2]]),
        ],
        stored("a", "b", "c"),
    ),
    "a read repeats the message it should follow": (
        {"read skips"},
        [
            appended("a", "b", seq=1, key="k"),
            read(after=1, answer=[[1, instant(1), "a", 0], [2, instant(2), "b", 1]]),
        ],
        stored("a", "b"),
    ),
    "a read saw a message that is not there": (
        {"read differs"},
        [unknown("a"), unknown("b"), read("a", "b")],
        stored("a"),
    ),
    "a read saw another message at that seq": (
        {"read differs"},
        [unknown("a"), unknown("b"), read("b")],
        stored("a", "b"),
    ),
    "a read saw what was not sent yet": (
        {"read of the future", "reordered"},
        [unknown("a", at=20), read("a", at=10)],
        stored("a"),
    ),
    "a message follows another than it named": (
        {"re-parented"},
        [unknown("a"), unknown("b"), unknown("c", parent_seq=1)],
        stored("a", "b", "c"),
    ),
    "a message that named no parent follows another": (
        {"re-parented"},
        [unknown("a"), unknown("b"), unknown("c")],
        [*stored("a", "b"), row(3, "c", parent=1)],
    ),
    "a later message of a batch follows another": (
        {"re-parented"},
        [unknown("a"), unknown("b", "c", key="k", parent_seq=0)],
        [row(1, "a"), row(2, "b", parent=0), row(3, "c", parent=0)],
    ),
    "an acknowledged message has another parent": (
        {"changed", "re-parented"},
        [unknown("a"), unknown("b"), appended("c", seq=3, parent_seq=1)],
        stored("a", "b", "c"),
    ),
    "a read saw another parent": (
        {"read differs"},
        [unknown("a"), unknown("b", parent_seq=0), read("a", "b")],
        [row(1, "a"), row(2, "b", parent=0)],
    ),
    "an append is answered 500": ({"status"}, [unknown("a", status=500)], []),
    "a read is answered with half a JSON": (
        {"status"},
        [call(Kind.READ, Outcome.UNKNOWN, 1, status=200, error="no JSON")],
        [],
    ),
    "an append without a condition is refused": (
        {"status"},
        [call(Kind.APPEND, Outcome.FAILED, 1, tokens=["a"], status=404)],
        [],
    ),
}


@pytest.mark.parametrize(("rules", "calls", "messages"), FAULTS.values(), ids=FAULTS)
def test_a_fault_breaks_its_rule_and_no_other(rules, calls, messages):
    assert rules_broken(calls, messages) == rules


SESSION_FAULTS = {
    "an acknowledged session is missing": ("lost session", [created("s")], {}),
    "a session is there twice": (
        "doubled session",
        [created("s")],
        {SESSION: "s", "other": "s"},
    ),
    "nobody created a session": ("phantom session", [], {SESSION: "s"}),
    "a refused session is there": (
        "refused but stored",
        [call(Kind.CREATE, Outcome.FAILED, 0, tokens=["s"], session=None, status=409)],
        {SESSION: "s"},
    ),
    "an answer names another session": (
        "lost session",
        [created("s", "other")],
        {SESSION: "s"},
    ),
    "a key is answered with two sessions": (
        "two answers",
        [created("s", key="k"), created("s", "other", key="k", is_replayed=True)],
        {SESSION: "s"},
    ),
}


@pytest.mark.parametrize(
    ("rule", "calls", "names"), SESSION_FAULTS.values(), ids=SESSION_FAULTS
)
def test_a_fault_of_sessions_breaks_its_rule(rule, calls, names):
    sessions = {session: StoredSession(name, []) for session, name in names.items()}
    assert rule in {each.rule for each in check(History(calls, sessions))}


def test_a_lost_session_loses_its_messages_too():
    history = History([created("s"), appended("a", seq=1)], {})
    assert {each.rule for each in check(history)} == {"lost session", "lost"}


def test_a_fault_is_found_among_twenty_thousand_calls():
    count = 20_000
    contents = [f"t{number}" for number in range(count)]
    calls = [
        appended(content, seq=seq, at=3 * seq)
        for seq, content in enumerate(contents, start=1)
    ]
    messages = stored(*contents)
    assert rules_broken(calls, messages) == set()
    messages[-1][2], messages[-2][2] = messages[-2][2], messages[-1][2]
    assert rules_broken(calls, messages) == {"changed", "reordered"}
