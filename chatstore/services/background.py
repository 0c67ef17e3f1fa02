"""Finishes in the background what requests left for later: deletions, search entries.

A thread of the process that left it does it. If that is killed, a server does when it
starts, or when more is left.
"""

import threading
from typing import Any

import structlog
from flask import Flask, current_app
from sqlalchemy import event

from chatstore.db import db, new_deadline
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.background_indexing import finish_indexing
from chatstore.services.steps import log_unfinished
from chatstore.store import deletions

_EXTENSION = "chatstore-background"
_PAUSE_SECONDS = 60.0

log = structlog.get_logger(__name__)


class Finisher:
    """Does what is left in one thread of a process, which ends when all is done."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._guard = threading.Lock()
        self._is_running = False
        self._wanted = threading.Event()

    def start(self) -> None:
        """Have all that is left by now done, soon."""
        with self._guard:
            self._wanted.set()
            if self._is_running:
                return
            thread = threading.Thread(target=self._run, name="background", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # there are too many
                log.warning("background thread not started", cause=str(error))
            else:
                self._is_running = True

    def _run(self) -> None:
        while self._goes_on():
            if not self._finish():
                self._wanted.wait(_PAUSE_SECONDS)
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


def init_background(app: Flask) -> None:
    """Have sessions that are hidden in `app` deleted once that is committed."""
    app.extensions[_EXTENSION] = Finisher(app)


def finisher_of(app: Flask) -> Finisher:
    """Return what finishes the work that requests of the application left."""
    finisher: Finisher = app.extensions[_EXTENSION]
    return finisher


def index_appended() -> None:
    """Index what a large append left, before it is answered, or soon if that fails."""
    if not finish_indexing(new_deadline()):
        finisher_of(current_app).start()


@event.listens_for(db.session, "after_commit")
def _after_commit(session: Any) -> None:
    _start_if_hidden(session)


@event.listens_for(db.session, "after_soft_rollback")
def _after_rollback(session: Any, previous: Any) -> None:
    _start_if_hidden(session)  # the commit may have been made, and its answer lost


def _start_if_hidden(session: Any) -> None:
    finisher: Finisher | None = current_app.extensions.get(_EXTENSION)
    if session.info.pop(deletions.HAS_HIDDEN, False) and finisher:
        finisher.start()
