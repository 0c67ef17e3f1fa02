"""`python -m tests.torture`: disrupt a real server under load, then check all promises.

Exit code 1: a promise was broken; the list is printed and the history kept. Exit
code 2: the time ran out before the requested kills and appends.
"""

import argparse
import os
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from tests.support.waiting import Stuck
from tests.torture.board import Board
from tests.torture.checker import Violation, check
from tests.torture.clients import Client
from tests.torture.following import FollowingClient
from tests.torture.history import Recorder, read_history
from tests.torture.nemesis import Nemesis
from tests.torture.postgres import Postgres
from tests.torture.replies import read_stored
from tests.torture.server import Server

_DRAIN_SECONDS = 90
_MOST_SHOWN = 20
_LONGEST_REST_SECONDS = 5
_INTERRUPTS = (signal.SIGINT, signal.SIGTERM)


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    if options.check:
        return _report(check(read_history(options.check)))
    for number in _INTERRUPTS:
        signal.signal(number, _interrupt)
    folder = Path(tempfile.mkdtemp(prefix="chatstore-torture-"))
    folder.chmod(0o755)  # PostgreSQL runs as another user if we are root
    (folder / "runtime").mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(folder / "runtime"))
    _say(f"{options.database}, seed {options.seed}, in {folder}")
    try:
        code = Run(options, folder).run()
    except KeyboardInterrupt:
        code = 130
    if code in (0, 130) and not options.keep:
        shutil.rmtree(folder)
    else:
        _say(f"seed {options.seed}; kept: {folder / 'history.jsonl'}, and the logs")
    return code


class Run:
    """One run: a server, its database, clients, and a nemesis."""

    def __init__(self, options: argparse.Namespace, folder: Path) -> None:
        self.options = options
        self.folder = folder
        self.recorder = Recorder(folder / "history.jsonl")
        self.postgres: Postgres | None = None
        if options.database != "sqlite":
            has_standby = options.database == "replicas"
            self.postgres = Postgres(folder / "postgres", has_standby=has_standby)
        url = f"sqlite:///{folder / 'chatstore.db'}"
        self.server = Server(
            folder / "server", self.postgres.url if self.postgres else url
        )
        self.nemesis = Nemesis(
            self.server,
            self.postgres,
            seed=options.seed,
            stop_seconds=options.stop_seconds,
            recorder=self.recorder,
        )
        self.findings: list[Violation] = []

    def run(self) -> int:
        started = time.monotonic()
        with self._all_ended():
            try:
                self._disrupt_under_load()
                self._look_at_the_rest()
            except Stuck as error:
                self.findings.append(Violation("stuck", str(error)))
        self.recorder.close()
        history = read_history(self.recorder.path)
        if history.stored:
            self.findings += check(history)
        self._summarize(time.monotonic() - started, len(history.stored))
        return _report(self.findings) or (0 if self._is_enough() else 2)

    def _disrupt_under_load(self) -> None:
        if self.postgres is not None:
            self.postgres.start()
        self.server.start("--migrate")
        over, abandon = threading.Event(), threading.Event()
        board = Board()
        clients = [
            Client(
                number,
                port=self.server.port,
                seed=self.options.seed,
                board=board,
                recorder=self.recorder,
                over=over,
                abandon=abandon,
            )
            for number in range(self.options.clients)
        ]
        follower = FollowingClient(port=self.server.port, over=over, abandon=abandon)
        everybody = [*clients, follower]
        try:
            for client in everybody:
                client.start()
            self.nemesis.wait_for_service()
            self._disrupt_until_enough()
            over.set()
            self._drain(everybody)
            difference = follower.find_difference() if not follower.error else None
            if difference:
                self.findings.append(Violation("follower", difference))
        finally:
            abandon.set()
            for client in everybody:
                if client.error is not None:
                    self.findings.append(Violation("client", repr(client.error)))

    def _disrupt_until_enough(self) -> None:
        started = time.monotonic()
        while True:
            seconds = time.monotonic() - started
            is_over = self.options.seconds and seconds > self.options.seconds
            is_targeted = self.options.kills or self.options.appends
            if is_over or (is_targeted and self._is_enough()):
                return
            self.nemesis.disrupt()
            self._let_appends_catch_up()
            if sys.stderr.isatty():
                sys.stderr.write(
                    f"\r{seconds:6.0f} s  {self.nemesis.kills} kills "
                    f" {self.recorder.acknowledged_appends} appends acknowledged "
                )
                sys.stderr.flush()

    def _let_appends_catch_up(self) -> None:
        """Wait while appends lag behind kills; both reach their targets together."""
        if not (self.options.kills and self.options.appends):
            return
        wanted = self.options.appends * self.nemesis.kills / self.options.kills
        rested = time.monotonic() + _LONGEST_REST_SECONDS
        while self.recorder.acknowledged_appends < min(wanted, self.options.appends):
            if time.monotonic() > rested:
                return
            time.sleep(0.02)

    def _is_enough(self) -> bool:
        appends = self.recorder.acknowledged_appends
        is_killed = self.nemesis.kills >= (self.options.kills or 0)
        return is_killed and appends >= (self.options.appends or 0)

    def _drain(self, clients: Sequence[threading.Thread]) -> None:
        """Let every client learn the outcome of its last request."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        for client in clients:
            client.join(max(0, deadline - time.monotonic()))
        if any(client.is_alive() for client in clients):
            raise Stuck("requests were not answered when all was up again")

    def _look_at_the_rest(self) -> None:
        for session, stored in read_stored(self.server.port):
            self.recorder.add_stored(session, stored)
        complaint = self.server.verify()
        if complaint:
            self.findings.append(Violation("chatstore verify", complaint))

    @contextmanager
    def _all_ended(self) -> Iterator[None]:
        """Leave no process running, whatever happens; ignore further interrupts."""
        try:
            yield
        finally:
            for number in _INTERRUPTS:
                signal.signal(number, signal.SIG_IGN)
            if sys.stderr.isatty():
                sys.stderr.write("\r\x1b[K")
            try:
                self.server.kill_all()
            finally:
                if self.postgres is not None:
                    self.postgres.kill_all()

    def _summarize(self, seconds: float, sessions: int) -> None:
        nemesis, recorder = self.nemesis, self.recorder
        _say(f"{seconds:.0f} s, {nemesis.kills} kills, {sessions} sessions")
        _say(f"{recorder.acknowledged_appends} appends acknowledged")
        for title, counts in (
            ("disruptions", nemesis.counts),
            ("calls", recorder.outcomes),
            ("answers", recorder.statuses),
        ):
            listed = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
            _say(f"{title}: {listed}")


def _report(violations: Sequence[Violation]) -> int:
    for violation in violations[:_MOST_SHOWN]:
        _say(str(violation))
    if violations:
        rules = Counter(violation.rule for violation in violations)
        listed = ", ".join(f"{rule} {n}" for rule, n in sorted(rules.items()))
        _say(f"{len(violations)} violations: {listed}")
        return 1
    _say("0 lost, 0 doubled, 0 reordered, every read a prefix")
    return 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    add = parser.add_argument
    add("--database", choices=("sqlite", "postgresql", "replicas"), default="sqlite")
    add("--seconds", type=float, help="length of the run; 60 without any limit")
    add("--kills", type=int, help="least number of kills before the run ends")
    add("--appends", type=int, help="least number of acknowledged appends")
    add("--seed", type=int, default=int(time.time()), help="seed of all choices")
    add("--clients", type=int, default=8, help="number of concurrent clients")
    add("--stop-seconds", type=float, default=5, help="length of a SIGSTOP")
    add("--keep", action="store_true", help="keep history and logs after success too")
    add("--check", type=Path, metavar="FILE", help="only check this kept history")
    options = parser.parse_args(arguments)
    if not (options.seconds or options.kills or options.appends):
        options.seconds = 60
    return options


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
