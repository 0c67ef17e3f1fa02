"""Bounds how many sessions, messages and bytes an owner has.

A counter that each write changed would make the writers of an owner wait for each
other. So each process counts what an owner has once in a while, and adds what it wrote
since. What other processes wrote since the last count is missing, so an owner can
exceed a quota by that much.
"""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from chatstore import clock
from chatstore.app_state import add_to_app, get_from_app
from chatstore.clock import Deadline
from chatstore.db import run_read
from chatstore.errors import QuotaExceeded
from chatstore.settings import PREFIX, Settings
from chatstore.store.appends import bytes_of_turns
from chatstore.store.owner_totals import OwnerTotals, count_owner_totals

_MAX_OWNERS = 10_000
# A count is valid for 100 times as long as it took, so counting takes at most 1 % of
# the time.
_LEAST_SECONDS = 5
_TIMES_ITS_COST = 100


@dataclass
class _Used:
    """What an owner had at the last count, and what this process added since."""

    counted: OwnerTotals | None = None
    recount: Deadline = field(default_factory=lambda: Deadline(0))
    # Held during a count, so that an older count never replaces a newer one.
    counting: threading.Lock = field(default_factory=threading.Lock)
    sessions_added: int = 0
    messages_added: int = 0
    bytes_added: int = 0


class Room:
    """What an owner may still add; safe for all threads."""

    def __init__(self, quotas: "_Quotas", used: _Used) -> None:
        self._quotas, self._used = quotas, used

    def bytes_of(self, turns: Iterable[Mapping[str, Any]]) -> int:
        """Return the bytes of new messages; 0 without a quota of bytes."""
        return bytes_of_turns(turns) if self._quotas.max_bytes else 0

    def require(self, *, sessions: int = 0, messages: int = 0, size: int = 0) -> None:
        """Raise QuotaExceeded if these additions do not fit; run no query.

        `size` is in bytes.
        """
        used, counted = self._used, self._used.counted
        if counted is None:
            return
        has_sessions = counted.sessions + used.sessions_added
        _require(sessions, "sessions", has_sessions, self._quotas.max_sessions)
        has_messages = counted.messages + used.messages_added
        _require(messages, "messages", has_messages, self._quotas.max_messages)
        has_bytes = counted.bytes + used.bytes_added
        _require(size, "bytes", has_bytes, self._quotas.max_bytes)

    def note(self, *, sessions: int = 0, messages: int = 0, size: int = 0) -> None:
        """Add what was committed."""
        with self._quotas.lock:
            self._used.sessions_added += sessions
            self._used.messages_added += messages
            self._used.bytes_added += size


class _NoQuota(Room):
    """The room of every owner on a server without quotas."""

    def __init__(self) -> None: ...

    def bytes_of(self, turns: Iterable[Mapping[str, Any]]) -> int:
        return 0

    def require(self, **_: int) -> None: ...

    def note(self, **_: int) -> None: ...


_NO_QUOTA = _NoQuota()


class _Quotas:
    """The quotas of an application, and what the latest owners used of them."""

    def __init__(self, settings: Settings) -> None:
        self.max_sessions = settings.max_sessions_per_owner
        self.max_messages = settings.max_messages_per_owner
        self.max_bytes = settings.max_bytes_per_owner
        self.lock = threading.Lock()
        self._used: OrderedDict[str, _Used] = OrderedDict()

    def room_of(self, owner_id: str) -> Room:
        if not (self.max_sessions or self.max_messages or self.max_bytes):
            return _NO_QUOTA
        with self.lock:
            used = self._used.setdefault(owner_id, _Used())
            self._used.move_to_end(owner_id)
            while len(self._used) > _MAX_OWNERS:
                self._used.popitem(last=False)
        # Other threads use the old count until this one has the new count. They wait
        # if there is none.
        must_wait = used.counted is None
        if used.recount.is_over and used.counting.acquire(blocking=must_wait):
            try:
                if used.recount.is_over:
                    self._count(owner_id, used)
            finally:
                used.counting.release()
        return Room(self, used)

    def _count(self, owner_id: str, used: _Used) -> None:
        # All writes noted so far are committed, so the count includes them. Writes that
        # are noted meanwhile may be counted twice, until the next count.
        with self.lock:
            sessions, messages = used.sessions_added, used.messages_added
            size = used.bytes_added
        began_at = clock.monotonic_source()
        counted = run_read(count_owner_totals, owner_id)
        took_seconds = clock.monotonic_source() - began_at
        with self.lock:
            used.counted = counted
            used.sessions_added -= sessions
            used.messages_added -= messages
            used.bytes_added -= size
            seconds = max(_LEAST_SECONDS, _TIMES_ITS_COST * took_seconds)
            used.recount = Deadline(seconds)


def init_quotas(app: Flask, settings: Settings) -> None:
    """Give `app` its quotas."""
    add_to_app(app, _Quotas(settings))


def room_of(owner_id: str) -> Room:
    """Return what the owner may still add; counts first if the last count is old.

    Call it before the transaction: a count reads all sessions of the owner.
    """
    return get_from_app(_Quotas).room_of(owner_id)


def _require(more: int, kind: str, used: int, limit: int) -> None:
    if limit and more and used + more > limit:
        raise QuotaExceeded(
            f"You have {used} {kind}, with those in the trash, so {more} more do not"
            f" fit into your quota of {limit} ({PREFIX}MAX_{kind.upper()}_PER_OWNER)."
            " Delete some for good, and try again after some seconds.",
            limit=limit,
            used=used,
        )
