"""Finishes in the background what requests left for later.

The work is deletions, search entries, counts of usage and of reads of links, the last
use of keys, and failed logins for the audit log.

A thread of the process that left work does it. If that process is killed, a server does
the work when it starts, or when a request leaves more. In a server the thread also
works each minute: it purges, see `services.purges`, and writes when keys were used.
"""

import threading

import structlog
from flask import Flask, current_app

from chatstore.access.failed_logins import FailedLogins
from chatstore.access.key_uses import KeyUses
from chatstore.app_state import add_to_app, get_from_app
from chatstore.clock import Deadline
from chatstore.db import new_deadline
from chatstore.services.audit import write_failed_logins
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.background_indexing import finish_indexing
from chatstore.services.key_uses import write_key_uses
from chatstore.services.logins import keep_logins
from chatstore.services.purges import Rules, purge
from chatstore.services.share_reads import write_share_reads
from chatstore.services.steps import log_unfinished, run_and_log_error
from chatstore.services.usage import add_usage

PAUSE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class BackgroundWorker:
    """Does the work that is left in one thread, which ends when nothing is left.

    After work that failed, the thread pauses for `pause_seconds`. A thread that
    `start_purging` started never ends: it pauses after all work, then purges again.
    """

    def __init__(self, app: Flask, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._app = app
        self._pause_seconds = pause_seconds
        self._lock = threading.Lock()
        self._is_running = False
        self._has_work = threading.Event()
        self._next_purge: Deadline | None = None

    def start_purging(self) -> None:
        """Start the thread, and let it purge from now on; never raise."""
        self._next_purge = Deadline(0)
        self.start()

    def start(self) -> None:
        """Start the thread, or make a running one look again; never raise."""
        with self._lock:
            self._has_work.set()
            if self._is_running:
                return
            thread = threading.Thread(target=self._run, name="background", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # too many threads
                log.warning("background thread not started", cause=str(error))
            else:
                self._is_running = True

    def _run(self) -> None:
        while self._has_more_work():
            if not self._finish_work() or self._next_purge:
                self._has_work.wait(self._pause_seconds)
                self._has_work.set()

    def _has_more_work(self) -> bool:
        with self._lock:
            self._is_running = self._has_work.is_set()
            self._has_work.clear()
            return self._is_running

    def _finish_work(self) -> bool:
        try:
            with self._app.app_context():
                has_audited = run_and_log_error(self._write_failed_logins)
                has_purged = run_and_log_error(self._purge_if_due)
                has_deleted_all = finish_deletions()
                has_indexed_all = finish_indexing()
                has_added_all = run_and_log_error(add_usage)
                has_noted = run_and_log_error(write_key_uses, get_from_app(KeyUses))
                has_counted_reads = run_and_log_error(write_share_reads)
                return all(
                    (
                        has_audited,
                        has_purged,
                        has_deleted_all,
                        has_indexed_all,
                        has_added_all,
                        has_noted,
                        has_counted_reads,
                    )
                )
        except Exception as error:
            log_unfinished(error)
            return False

    def _write_failed_logins(self) -> None:
        write_failed_logins(get_from_app(FailedLogins, self._app))

    def _purge_if_due(self) -> None:
        if self._next_purge and self._next_purge.is_over:
            self._next_purge = Deadline(self._pause_seconds)
            run_and_log_error(keep_logins)
            purge(_rules_of(self._app))


def _rules_of(app: Flask) -> Rules:
    settings = app.config["CHATSTORE"]
    return Rules(
        settings.trash_seconds,
        settings.retention_days,
        settings.tombstone_days,
        settings.audit_days,
    )


def init_background(app: Flask, *, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Give `app` its background worker."""
    add_to_app(app, BackgroundWorker(app, pause_seconds=pause_seconds))


def background_worker_of(app: Flask) -> BackgroundWorker:
    """Return the background worker of `app`."""
    return get_from_app(BackgroundWorker, app)


def index_pending_messages() -> None:
    """Index the pending messages now; if that fails, leave them to the worker."""
    if not finish_indexing(new_deadline()):
        background_worker_of(current_app).start()
