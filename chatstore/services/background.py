"""Finishes in the background what requests left for later: deletions, search entries.

A thread of the process that left work does it. If that process is killed, a server does
the work when it starts, or when a request leaves more.
"""

import threading

import structlog
from flask import Flask, current_app

from chatstore.db import new_deadline
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.background_indexing import finish_indexing
from chatstore.services.steps import log_unfinished

_EXTENSION = "chatstore-background"
PAUSE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Finisher:
    """Does the work that is left in one thread, which ends when nothing is left.

    After work that failed, the thread pauses for `pause_seconds`.
    """

    def __init__(self, app: Flask, *, pause_seconds: float = PAUSE_SECONDS) -> None:
        self._app = app
        self._pause_seconds = pause_seconds
        self._guard = threading.Lock()
        self._is_running = False
        self._wanted = threading.Event()

    def start(self) -> None:
        """Start the thread, or make a running one look again; never raise."""
        with self._guard:
            self._wanted.set()
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
        while self._goes_on():
            if not self._finish():
                self._wanted.wait(self._pause_seconds)
                self._wanted.set()

    def _goes_on(self) -> bool:
        with self._guard:
            self._is_running = self._wanted.is_set()
            self._wanted.clear()
            return self._is_running

    def _finish(self) -> bool:
        try:
            with self._app.app_context():
                is_deleted = finish_deletions()
                return finish_indexing() and is_deleted
        except Exception as error:
            log_unfinished(error)
            return False


def init_background(app: Flask, *, pause_seconds: float = PAUSE_SECONDS) -> None:
    """Give `app` its finisher."""
    app.extensions[_EXTENSION] = Finisher(app, pause_seconds=pause_seconds)


def finisher_of(app: Flask) -> Finisher:
    """Return the finisher of `app`."""
    finisher: Finisher = app.extensions[_EXTENSION]
    return finisher


def index_appended() -> None:
    """Index the pending messages now; if that fails, leave them to the finisher."""
    if not finish_indexing(new_deadline()):
        finisher_of(current_app).start()
