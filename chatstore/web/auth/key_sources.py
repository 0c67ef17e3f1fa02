"""Fetches the key set of an issuer from a file or URL, and keeps it.

A thread reads the keys, so that no request waits longer than `WAIT_SECONDS`. The old
keys stay while new ones cannot be read.
"""

import http.client
import threading
from pathlib import Path

import structlog

from chatstore.access.jwt_keys import MAX_BYTES, KeySet, read_key_set
from chatstore.access.jwt_tokens import TokenHeader, VerifyingKey
from chatstore.clock import Deadline
from chatstore.errors import TokenKeysUnavailable
from chatstore.web.auth.bounded_http import exchange

WAIT_SECONDS = 2.0
# An attacker who invents key ids causes at most one fetch in this time.
RETRY_SECONDS = 30.0
REFRESH_SECONDS = 3600.0

log = structlog.get_logger(__name__)


class KeySource:
    """The keys at `location`, a path or URL; safe for all threads.

    At most `max_waiting` requests wait for the keys at a time.
    """

    def __init__(self, location: str, *, max_waiting: int = 1) -> None:
        self._location = location
        self._places = threading.Semaphore(max_waiting)
        self._lock = threading.Lock()
        self._keys: KeySet | None = None
        self._running: threading.Thread | None = None
        self._retry = Deadline(0)
        self._refresh = Deadline(0)

    def read_file(self) -> None:
        """Read the keys now if they are in a file; raises OSError, ValueError."""
        if not _is_url(self._location):
            self._keep(_read(self._location))

    def find(self, header: TokenHeader) -> VerifyingKey | None:
        """Return the key of a token, or None.

        An unknown key id fetches the set again, because issuers rotate keys.
        Raises TokenKeysUnavailable if the keys were never read, and if they are being
        read and too many requests wait for them.
        """
        if self._refresh.is_over:
            self._start()
        key = self._keys.find(header) if self._keys else None
        if key is None:
            if thread := self._start():
                self._wait_for(thread)
            if self._keys is None:
                raise TokenKeysUnavailable(
                    "The keys that verify tokens cannot be read now."
                )
            key = self._keys.find(header)
        return key

    def _wait_for(self, thread: threading.Thread) -> None:
        # Anybody can invent key ids, and the waiting requests would hold all threads.
        if not self._places.acquire(blocking=False):
            raise TokenKeysUnavailable(
                "The keys that verify tokens are being read. Try again."
            )
        try:
            thread.join(WAIT_SECONDS)
        finally:
            self._places.release()

    def _start(self) -> threading.Thread | None:
        """Start a thread that fetches the keys, unless it is too soon; return it.

        All requests that need new keys wait for one thread.
        """
        with self._lock:
            if self._running and self._running.is_alive():
                return self._running
            if not self._retry.is_over:
                return None
            self._retry = Deadline(RETRY_SECONDS)
            thread = threading.Thread(target=self._fetch, name="keys", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # too many threads
                log.warning("keys not read", cause=str(error))
                return None
            self._running = thread
            return thread

    def _fetch(self) -> None:
        try:
            self._keep(_read(self._location))
        except (OSError, ValueError, http.client.HTTPException) as error:
            # The text of an error may quote the answer, so we log its type only.
            cause = str(error) if type(error) is ValueError else type(error).__name__
            log.warning("keys not read", location=self._location, cause=cause)

    def _keep(self, keys: KeySet) -> None:
        self._refresh = Deadline(REFRESH_SECONDS)
        self._keys = keys


def most_waiting(threads: int) -> int:
    """Return how many requests may wait for keys: a quarter, and never all."""
    return min(max(1, threads // 4), threads - 1)


def _is_url(location: str) -> bool:
    return "://" in location


def _read(location: str) -> KeySet:
    if _is_url(location):
        answer = exchange(
            location,
            seconds=WAIT_SECONDS,
            max_bytes=MAX_BYTES,
            headers={"Accept": "application/json"},
        )
        if answer.status != 200:
            raise ValueError(f"the answer is {answer.status}")
        return read_key_set(answer.body)
    with Path(location).open("rb") as file:
        return read_key_set(file.read(MAX_BYTES + 1))
