"""Proves the promises on a history: pure functions, O(n log n), no network, no files.

Acknowledged data is stored exactly once and unchanged. Data with an unknown outcome
is stored at most once. Nothing else is stored. A message follows the parent that its
request named, or else the message before it. Each session is in real-time order,
and each read shows a prefix of it.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from tests.torture.history import Call, History, Kind, Message, Outcome, StoredSession


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: the rule, and the evidence."""

    rule: str
    text: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.text}"


class Effect:
    """One intended change: all calls with one key, or a call without a key."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self.calls = calls
        self.first = calls[0]
        self.tokens = self.first.tokens
        self.invoked = min(call.invoked for call in calls)
        self.answered = [c for c in calls if c.outcome is Outcome.ACKNOWLEDGED]
        self.is_refused = any(call.outcome is Outcome.FAILED for call in calls)
        self.name = self.first.key or self.tokens[0]


class Floor:
    """The highest seq that any client knew before a given time."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self._times: list[float] = []
        self._seqs: list[int] = [0]
        for call in sorted(calls, key=lambda call: call.finished):
            self._times.append(call.finished)
            self._seqs.append(max(self._seqs[-1], _last_told(call)))

    def at(self, time: float) -> int:
        return self._seqs[bisect_left(self._times, time)]


def check(history: History) -> list[Violation]:
    """Return every broken promise of the history; an empty list if there is none."""
    creations: list[Call] = []
    calls: dict[str, list[Call]] = {session: [] for session in history.stored}
    for call in history.calls:
        if call.session is None:
            creations.append(call)
        else:
            calls.setdefault(call.session, []).append(call)
    violations = [*_bad_statuses(history.calls)]
    violations += _bad_sessions(_effects(creations), history.stored)
    for session, its_calls in calls.items():
        stored = history.stored.get(session, StoredSession(None, ()))
        checks = _SessionChecks(stored.messages, its_calls)
        violations += [
            Violation(each.rule, f"session {session}: {each.text}")
            for each in checks.run()
        ]
    return violations


def _bad_statuses(calls: Iterable[Call]) -> Iterator[Violation]:
    for call in calls:
        allowed = {None, 503, 200 if call.kind is Kind.READ else 201}
        if call.expected_seq is not None or call.key is not None:
            allowed.add(409)
        if call.status not in allowed or (call.status and call.error):
            what = f"{call.kind} of {call.tokens[0]}" if call.tokens else call.kind
            evidence = f"{call.status} {call.error} for {what}"
            yield Violation("status", f"{evidence} at {call.finished:.6f}")


def _bad_sessions(
    effects: Iterable[Effect], stored: Mapping[str, StoredSession]
) -> Iterator[Violation]:
    ids = defaultdict(list)
    for session, found in stored.items():
        ids[found.name].append(session)
    for effect in effects:
        (name,) = effect.tokens
        there = ids.pop(name, [])
        if len(there) > 1:
            yield Violation("doubled session", f"{name} is {there}")
        if effect.is_refused and there:
            yield Violation("refused but stored", f"session {name} is {there}")
        for call in effect.answered:
            if call.answer not in there:
                yield Violation("lost session", f"{name} was {call.answer}")
        yield from _two_answers(effect)
    for unsent, there in ids.items():
        yield Violation("phantom session", f"nobody created {unsent!r}, {there}")


def _two_answers(effect: Effect) -> Iterator[Violation]:
    for one, other in pairwise(effect.answered):
        if one.answer != other.answer:
            evidence = f"{effect.name}: {one.answer} and {other.answer}"
            yield Violation("two answers", evidence)
    first_runs = [call for call in effect.answered if not call.is_replayed]
    if len(first_runs) > 1:
        yield Violation("run twice", f"{effect.name}, {len(first_runs)} times")


class _SessionChecks:
    """The promises on one session."""

    def __init__(self, messages: Sequence[Message], calls: Sequence[Call]) -> None:
        self.messages = messages
        self.by_seq = {message[0]: list(message) for message in messages}
        self.places: dict[str, list[int]] = defaultdict(list)
        for seq, _, content, _ in messages:
            self.places[content].append(seq)
        self.reads = [
            call
            for call in calls
            if call.kind is Kind.READ and call.outcome is Outcome.ACKNOWLEDGED
        ]
        self.effects = _effects(call for call in calls if call.kind is not Kind.READ)
        self.sent = {t: effect for effect in self.effects for t in effect.tokens}
        self.floor = Floor(calls)

    def run(self) -> Iterator[Violation]:
        yield from self._disorder()
        for content in self.places:
            if content not in self.sent:
                yield Violation("phantom", f"nobody sent {content!r}")
        for effect in self.effects:
            yield from self._bad_answers(effect)
            yield from _two_answers(effect)
            yield from self._bad_places(effect)
        for read in self.reads:
            yield from self._bad_read(read)

    def _disorder(self) -> Iterator[Violation]:
        for seq, message in enumerate(self.messages, start=1):
            if message[0] != seq:
                yield Violation("gap", f"seq {message[0]} where {seq} should be")
                break  # every later seq differs too
        for (_, earlier, *_), (seq, later, *_) in pairwise(self.messages):
            if later <= earlier:
                evidence = f"seq {seq} is of {later}, after {earlier}"
                yield Violation("timestamps", evidence)

    def _bad_answers(self, effect: Effect) -> Iterator[Violation]:
        for call in effect.answered:
            told = [list(message) for message in call.answer]
            if [content for _, _, content, _ in told] != list(effect.tokens):
                evidence = f"{effect.name} sent {effect.tokens}, was told {told}"
                yield Violation("changed", evidence)
            for message in told:
                seq, _, content, _ = message
                if not self.places.get(content):
                    yield Violation("lost", f"{message} was acknowledged")
                elif self.by_seq.get(seq) != message:
                    evidence = f"{message} was acknowledged, {self.by_seq.get(seq)} is"
                    yield Violation("changed", f"{evidence} there")
        for call in effect.calls:
            if call.outcome is Outcome.FAILED and isinstance(call.answer, int):
                yield from self._bad_conflict(call)

    def _bad_conflict(self, call: Call) -> Iterator[Violation]:
        told, known = call.answer, self.floor.at(call.invoked)
        if call.expected_seq == told + 1:
            evidence = f"{call.expected_seq} was the next one, and refused"
            yield Violation("expected_seq", f"{call.tokens[0]}: {evidence}")
        if not known <= told <= len(self.messages):
            evidence = f"told last_seq {told}, when it was {known} at least"
            yield Violation("stale conflict", f"{call.tokens[0]}: {evidence}")

    def _bad_places(self, effect: Effect) -> Iterator[Violation]:
        places = [self.places.get(token, []) for token in effect.tokens]
        seqs = [there[0] for there in places if there]
        for token, there in zip(effect.tokens, places, strict=True):
            if len(there) > 1:
                yield Violation("doubled", f"{token} is at {there}")
        if not seqs:
            return
        if effect.is_refused:
            yield Violation("refused but stored", f"{effect.name} is at {seqs}")
        if seqs != list(range(seqs[0], seqs[0] + len(places))):
            yield Violation("torn batch", f"{effect.name} is at {places}")
        yield from self._bad_parents(effect, places)
        expected = effect.first.expected_seq
        if expected is not None and seqs[0] != expected:
            evidence = f"{effect.name} expected {expected}, is at {seqs[0]}"
            yield Violation("expected_seq", evidence)
        known = self.floor.at(effect.invoked)
        if seqs[0] <= known:
            evidence = f"{effect.name} is at {seqs[0]}, though sent after {known} was"
            yield Violation("reordered", f"{evidence} there")

    def _bad_parents(
        self, effect: Effect, places: Sequence[Sequence[int]]
    ) -> Iterator[Violation]:
        for number, seq in enumerate(there[0] if there else 0 for there in places):
            named = effect.first.parent_seq if number == 0 else None
            expected = seq - 1 if named is None else named
            if seq and self.by_seq[seq][3] != expected:
                evidence = f"{effect.tokens[number]} at {seq} follows"
                evidence += f" {self.by_seq[seq][3]}, not {expected}"
                yield Violation("re-parented", evidence)

    def _bad_read(self, read: Call) -> Iterator[Violation]:
        what = f"after={read.after} limit={read.limit} at {read.invoked:.6f}"
        for expected, message in enumerate(read.answer, start=read.after + 1):
            seq, _, content, _ = message
            if seq != expected:
                evidence = f"{what} got seq {seq}, where {expected} should be"
                yield Violation("read skips", evidence)
                return
            if self.by_seq.get(seq) != list(message):
                evidence = f"{what} got {message}, {self.by_seq.get(seq)} is there"
                yield Violation("read differs", evidence)
            elif content in self.sent and self.sent[content].invoked > read.finished:
                yield Violation("read of the future", f"{what} got {message}")
        last = read.after + len(read.answer)
        is_full = read.limit is not None and len(read.answer) >= read.limit
        known = self.floor.at(read.invoked)
        if not is_full and last < known:
            evidence = f"{what} ended at {last}, after {known} was told"
            yield Violation("stale read", evidence)


def _effects(calls: Iterable[Call]) -> list[Effect]:
    groups: dict[object, list[Call]] = defaultdict(list)
    for call in sorted(calls, key=lambda call: call.finished):
        groups[call.key or tuple(call.tokens)].append(call)
    return [Effect(group) for group in groups.values()]


def _last_told(call: Call) -> int:
    if call.outcome is Outcome.UNKNOWN or not call.answer:
        return 0
    if call.outcome is Outcome.FAILED:
        return int(call.answer)
    return int(call.answer[-1][0])
