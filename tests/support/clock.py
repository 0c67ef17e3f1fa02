"""The one fake of the suite: a clock that a test moves."""

from datetime import UTC, datetime, timedelta

from chatstore.clock import format_instant


class TickingClock:
    """A clock that advances by `step` at each reading; a step is one second."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
        self.step = timedelta(seconds=1)

    def __call__(self) -> datetime:
        self.now += self.step
        return self.now

    @property
    def iso(self) -> str:
        """The instant of the last reading, in the format of the API."""
        return format_instant(self.now)
