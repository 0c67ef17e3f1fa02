"""Kills, stops, restarts and promotes, one at a time; waits for the service after each.

Each disruption runs once, in the order below, then at random by weight.
"""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.support.waiting import Stuck, wait_until
from tests.torture.history import Recorder
from tests.torture.postgres import Postgres
from tests.torture.processes import send
from tests.torture.server import Server

# This many new acknowledged appends prove that the service is back.
_ACKNOWLEDGED_BETWEEN = 20
_LONGEST_PAUSE_SECONDS = 0.4


class Nemesis:
    """Disrupts a server and its database; counts the disruptions by name."""

    def __init__(
        self,
        server: Server,
        postgres: Postgres | None,
        *,
        seed: int,
        stop_seconds: float,
        recorder: Recorder,
    ) -> None:
        self.counts: Counter[str] = Counter()
        self._server, self._postgres = server, postgres
        self._chance = random.Random(seed)
        self._stop_seconds = stop_seconds
        self._recorder = recorder
        self._plan = self._planned()

    @property
    def kills(self) -> int:
        return sum(n for name, n in self.counts.items() if name.startswith("kill "))

    def disrupt(self) -> None:
        """Run the next disruption; raise Stuck if the service does not come back."""
        disruption = next(self._plan)
        time.sleep(self._chance.random() * _LONGEST_PAUSE_SECONDS)
        started = time.monotonic()
        try:
            if disruption.act(self):
                self.counts[disruption.name] += 1
            self.wait_for_service()
        except Stuck as error:
            raise Stuck(f"after {disruption.name!r}: {error}") from error
        finally:
            self._recorder.add_disruption(disruption.name, started)

    def wait_for_service(self) -> None:
        """Return once the server is ready, the standby in sync, and appends succeed."""
        wait_until(self._server.is_ready, "a server that is ready")
        if self._postgres is not None:
            self._postgres.wait_for_standby()
        enough = self._recorder.acknowledged_appends + _ACKNOWLEDGED_BETWEEN
        wait_until(
            lambda: self._recorder.acknowledged_appends >= enough,
            "acknowledged appends",
        )

    def _planned(self) -> Iterator["Disruption"]:
        has_standby = self._postgres is not None and self._postgres.standby is not None
        possible = [
            each
            for each in DISRUPTIONS
            if (self._postgres is not None or not each.needs_postgres)
            and (has_standby or not each.needs_standby)
        ]
        yield from possible
        weights = [each.weight for each in possible]
        while True:
            yield from self._chance.choices(possible, weights)

    def _kill_worker(self) -> bool:
        return self._signal_one(self._server.workers(), signal.SIGKILL)

    def _kill_master(self) -> bool:
        self._server.kill_master()
        self._server.start()
        return True

    def _kill_all(self) -> bool:
        self._server.kill_all()
        self._server.start()
        return True

    def _reload(self) -> bool:
        self._server.reload()
        return True

    def _stop_worker(self) -> bool:
        with self._stopped(self._server.workers()) as is_stopped:
            return is_stopped

    def _kill_backend(self) -> bool:
        return self._signal_one(self.postgres.primary.children(), signal.SIGKILL)

    def _stop_backend(self) -> bool:
        with self._stopped(self.postgres.primary.children()) as is_stopped:
            return is_stopped

    def _kill_postgres(self) -> bool:
        self.postgres.primary.kill()
        self.postgres.primary.start()
        return True

    def _restart_fast(self) -> bool:
        self.postgres.primary.stop(signal.SIGINT)
        self.postgres.primary.start()
        return True

    def _restart_immediate(self) -> bool:
        self.postgres.primary.stop(signal.SIGQUIT)
        self.postgres.primary.start()
        return True

    def _kill_standby(self) -> bool:
        assert self.postgres.standby is not None
        self.postgres.standby.kill()
        self.postgres.standby.start()
        return True

    def _fail_over(self) -> bool:
        self.postgres.fail_over()
        return True

    def _fail_over_late(self) -> bool:
        self.postgres.fail_over(standby_misses_seconds=0.3)
        return True

    @property
    def postgres(self) -> Postgres:
        assert self._postgres is not None
        return self._postgres

    def _signal_one(self, pids: list[int], number: signal.Signals) -> bool:
        return bool(pids) and send(self._chance.choice(pids), number)

    @contextmanager
    def _stopped(self, pids: list[int]) -> Iterator[bool]:
        if not pids:
            yield False
            return
        pid = self._chance.choice(pids)
        is_stopped = send(pid, signal.SIGSTOP)
        try:
            time.sleep(self._stop_seconds)
            yield is_stopped
        finally:
            send(pid, signal.SIGCONT)


@dataclass(frozen=True)
class Disruption:
    """A disruption; `act` returns whether it found a process to disrupt."""

    name: str
    act: Callable[[Nemesis], bool]
    weight: int
    needs_postgres: bool = False
    needs_standby: bool = False


DISRUPTIONS = (
    Disruption("kill primary, promote", Nemesis._fail_over, 7, True, True),
    Disruption("kill both, promote", Nemesis._fail_over_late, 5, True, True),
    Disruption("kill PostgreSQL", Nemesis._kill_postgres, 14, True),
    Disruption("kill worker", Nemesis._kill_worker, 50),
    Disruption("kill backend", Nemesis._kill_backend, 16, True),
    Disruption("stop worker", Nemesis._stop_worker, 2),
    Disruption("reload", Nemesis._reload, 6),
    Disruption("kill server", Nemesis._kill_all, 6),
    Disruption("kill master", Nemesis._kill_master, 4),
    Disruption("restart immediate", Nemesis._restart_immediate, 4, True),
    Disruption("stop backend", Nemesis._stop_backend, 2, True),
    Disruption("restart fast", Nemesis._restart_fast, 4, True),
    Disruption("kill standby", Nemesis._kill_standby, 10, True, True),
)
