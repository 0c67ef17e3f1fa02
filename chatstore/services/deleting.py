"""Finishes in the background what a deletion left for later; see `store.deletions`.

A thread of the process that hid a session deletes it; if that is killed, whichever
process starts next, or deletes a large session next.
"""

import threading
from typing import Any

import structlog
from flask import Flask, current_app
from sqlalchemy import event

from chatstore.db import db, in_transaction, reading
from chatstore.db_errors import db_error_text, is_unavailable
from chatstore.store import deletions

_EXTENSION = "chatstore-deleter"

log = structlog.get_logger(__name__)


class Deleter:
    """Deletes what is hidden, in one thread of a process."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._guard = threading.Lock()
        self._is_running = False
        self._is_wanted = False

    def start(self) -> None:
        """Have the thread look for hidden sessions from now on; it ends by itself."""
        with self._guard:
            self._is_wanted = True
            if self._is_running:
                return
            self._is_running = True
        threading.Thread(target=self._run, name="deletions", daemon=True).start()

    def _run(self) -> None:
        while self._goes_on():
            with self._app.app_context():
                _finish_deletions()

    def _goes_on(self) -> bool:
        with self._guard:
            self._is_running, self._is_wanted = self._is_wanted, False
            return self._is_running


def init_deleting(app: Flask) -> None:
    """Have sessions that are hidden in `app` deleted once that is committed."""
    app.extensions[_EXTENSION] = Deleter(app)


def deleter_of(app: Flask) -> Deleter:
    """Return what deletes hidden sessions of the application."""
    deleter: Deleter = app.extensions[_EXTENSION]
    return deleter


def finish_deletions() -> None:
    """Delete what is hidden, a batch a transaction: other writers go in between."""
    while session_id := reading(deletions.find_hidden):
        last: int | None = 0
        while last is not None:
            last = in_transaction(deletions.delete_batch, session_id, after=last)


def _finish_deletions() -> None:
    try:
        finish_deletions()
    except Exception as error:  # nobody waits for it, or sees these sessions
        log.warning(
            "deletion not finished",
            cause=db_error_text(error),
            exc_info=None if is_unavailable(error) else error,
        )


@event.listens_for(db.session, "after_commit")
def _start(session: Any) -> None:
    deleter: Deleter | None = current_app.extensions.get(_EXTENSION)
    if session.info.pop(deletions.HAS_HIDDEN, False) and deleter:
        deleter.start()


@event.listens_for(db.session, "after_soft_rollback")
def _forget(session: Any, previous: Any) -> None:
    session.info.pop(deletions.HAS_HIDDEN, None)
