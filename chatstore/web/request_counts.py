"""Counts requests in fixed windows of a minute, in this process or in a Redis.

It knows neither limits nor requests; a key is any text.
"""

import hashlib
import importlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog

from chatstore import clock
from chatstore.clock import Deadline
from chatstore.errors import SettingsError
from chatstore.settings import PREFIX

WINDOW_SECONDS = 60
# The longest wait for a connection or an answer. A dead Redis would cost each request
# this time, so after a failure a process does not ask again during a pause.
_TIMEOUT_SECONDS = 0.2
_PAUSE_SECONDS = 5
_LOG_SECONDS = 60

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Counted:
    """The requests of a key in its window, and the seconds until the window ends."""

    count: int
    reset_seconds: int


@dataclass
class _Window:
    """The requests of one key in one minute, which begins with the first of them."""

    end: Deadline
    count: int = 0


class LocalCounts:
    """The counts of this process; safe for all threads.

    It keeps `max_keys` windows and forgets the oldest first, so its memory is bounded.
    The memory storage of `limits` keeps every key of the last minute.
    """

    def __init__(self, max_keys: int) -> None:
        self._max_keys = max_keys
        self._lock = threading.Lock()
        self._windows: OrderedDict[str, _Window] = OrderedDict()

    def add(self, key: str) -> Counted:
        """Count a request of `key`."""
        with self._lock:
            window = self._windows.get(key)
            if window is None or window.end.is_over:
                window = self._windows[key] = _Window(Deadline(WINDOW_SECONDS))
                self._windows.move_to_end(key)
                while len(self._windows) > self._max_keys:
                    self._windows.popitem(last=False)
            window.count += 1
            return _counted(window)

    def get(self, key: str) -> Counted:
        """Return the count of `key`, and count nothing."""
        with self._lock:
            window = self._windows.get(key)
            if window is None or window.end.is_over:
                return Counted(0, WINDOW_SECONDS)
            return _counted(window)


def _counted(window: _Window) -> Counted:
    left = math.ceil(window.end.remaining_seconds())
    return Counted(window.count, max(1, left))


class SharedCounts:
    """The counts of all processes and nodes, in a Redis or Valkey.

    Opens no connection before the first request.
    """

    def __init__(self, url: str) -> None:
        self._storage, self._errors = _open_storage(url)
        self._pause = Deadline(0)
        self._silence = Deadline(0)

    def add(self, key: str) -> Counted | None:
        """Count a request of `key`; return None while Redis is away."""
        return self._ask(key, lambda name: self._storage.incr(name, WINDOW_SECONDS))

    def get(self, key: str) -> Counted | None:
        """Return the count of `key`, and count nothing; None while Redis is away."""
        return self._ask(key, lambda name: self._storage.get(name))

    def _ask(self, key: str, count_of: Callable[[str], int]) -> Counted | None:
        if not self._pause.is_over:
            return None
        # A key holds an owner id, which is personal and long, so we send its digest.
        digest = hashlib.sha256(key.encode()).hexdigest()
        name = f"chatstore:{digest}"
        try:
            count = count_of(name)
            ends_at = self._storage.get_expiry(name)
        except self._errors as error:
            self._pause = Deadline(_PAUSE_SECONDS)
            self._warn(error)
            return None
        left = math.ceil(ends_at - clock.utc_now().timestamp())
        return Counted(count, min(max(1, left), WINDOW_SECONDS))

    def _warn(self, error: Exception) -> None:
        if self._silence.is_over:
            self._silence = Deadline(_LOG_SECONDS)
            # The text of an error may quote the URL with its password.
            log.warning(
                "rate limits count in each process alone: Redis is away",
                error=type(error).__name__,
            )


def _open_storage(url: str) -> tuple[Any, tuple[type[Exception], ...]]:
    try:
        # Only servers with this setting have the packages.
        storages = importlib.import_module("limits.storage")
        redis = importlib.import_module("redis")
        retry = importlib.import_module("redis.retry")
        backoff = importlib.import_module("redis.backoff")
    except ImportError as error:
        raise SettingsError(
            f"{PREFIX}RATE_LIMIT_STORAGE needs more packages: pip install"
            " 'chatstore[redis]'."
        ) from error
    try:
        storage = storages.storage_from_string(
            url,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            socket_timeout=_TIMEOUT_SECONDS,
            # By default the client tries again three times, with waits between.
            retry=retry.Retry(backoff.NoBackoff(), 0),
        )
    except ValueError:
        # The reason may quote parts of the password, so we leave it out.
        raise SettingsError(
            f"{PREFIX}RATE_LIMIT_STORAGE cannot be read. Give redis://host:6379/0."
        ) from None
    return storage, (redis.exceptions.RedisError, OSError)
