"""Finishes in the background what a deletion left for later; see `store.deletions`.

A thread of the process that hid a session deletes it. If that is killed, a server does
when it starts, or when it hides the next one.
"""

import threading
import time
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

import structlog
from flask import Flask, current_app
from sqlalchemy import event

from chatstore.db import db, in_transaction, reading
from chatstore.db_errors import db_error_text, is_unavailable
from chatstore.errors import ChatstoreError
from chatstore.store import deletions

_EXTENSION = "chatstore-deleter"
_PAUSE_SECONDS = 60.0
_MOST_SECONDS = 1.0

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


class Deleter:
    """Deletes what is hidden, in one thread of a process that ends when it is done."""

    def __init__(self, app: Flask) -> None:
        self._app = app
        self._guard = threading.Lock()
        self._is_running = False
        self._wanted = threading.Event()

    def start(self) -> None:
        """Have all sessions that are hidden by now deleted, soon."""
        with self._guard:
            self._wanted.set()
            if self._is_running:
                return
            thread = threading.Thread(target=self._run, name="deletions", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # there are too many
                log.warning("deletion not started", cause=str(error))
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
                return finish_deletions()
        except Exception as error:
            _log_unfinished(error)
            return False


def init_deleting(app: Flask) -> None:
    """Have sessions that are hidden in `app` deleted once that is committed."""
    app.extensions[_EXTENSION] = Deleter(app)


def deleter_of(app: Flask) -> Deleter:
    """Return what deletes hidden sessions of the application."""
    deleter: Deleter = app.extensions[_EXTENSION]
    return deleter


def finish_deletions() -> bool:
    """Delete what is hidden, a batch a transaction: other writers go in between.

    Return whether all went well; what did not is logged and left as it is.
    """
    is_well, last = True, None
    while session_id := reading(deletions.find_hidden, after=last):
        # A batch that fails must not keep the sessions outside it.
        is_small_done = _is_done(_delete_small)
        is_this_done = _is_done(_finish_deletion, session_id)
        is_well = is_well and is_small_done and is_this_done
        last = session_id
    return is_well


def _is_done(
    work: Callable[P, None], /, *arguments: P.args, **keywords: P.kwargs
) -> bool:
    try:
        work(*arguments, **keywords)
    except Exception as error:
        _log_unfinished(error)
        return False
    return True


def _delete_small() -> None:
    while _delete_then_pause(deletions.delete_small):
        pass


def _finish_deletion(session_id: UUID) -> None:
    last: int | None = 0
    while last is not None:
        last = _delete_then_pause(deletions.delete_batch, session_id, after=last)


def _delete_then_pause(
    delete: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    begun = time.monotonic()
    deleted = in_transaction(delete, *arguments, **keywords)
    # A thread that asks for SQLite's write lock again at once gets it again, and other
    # writers wait for seconds. So we pause as long as the batch took.
    time.sleep(min(time.monotonic() - begun, _MOST_SECONDS))
    return deleted


def _log_unfinished(error: Exception) -> None:
    is_known = isinstance(error, ChatstoreError) or is_unavailable(error)
    log.warning(
        "deletion not finished",
        cause=db_error_text(error),
        exc_info=None if is_known else error,
    )


@event.listens_for(db.session, "after_commit")
def _after_commit(session: Any) -> None:
    _start_if_hidden(session)


@event.listens_for(db.session, "after_soft_rollback")
def _after_rollback(session: Any, previous: Any) -> None:
    _start_if_hidden(session)  # the commit may have been made, and its answer lost


def _start_if_hidden(session: Any) -> None:
    deleter: Deleter | None = current_app.extensions.get(_EXTENSION)
    if session.info.pop(deletions.HAS_HIDDEN, False) and deleter:
        deleter.start()
