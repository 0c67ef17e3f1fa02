"""Runs work in many transactions, so that other writers get in between."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog

from chatstore.db import run_write
from chatstore.db.errors import db_error_text, is_unavailable
from chatstore.errors import ChatstoreError

_MAX_PAUSE_SECONDS = 1.0

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


def run_step(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return the result of `work(...)`, run in one transaction, after a pause."""
    started = time.monotonic()
    result = run_write(work, *arguments, **keywords)
    # A thread that asks for SQLite's write lock again at once gets it again, and other
    # writers wait for seconds. So we pause as long as the step took.
    time.sleep(min(time.monotonic() - started, _MAX_PAUSE_SECONDS))
    return result


def run_and_log_error(
    work: Callable[P, None], /, *arguments: P.args, **keywords: P.kwargs
) -> bool:
    """Run the work and return whether it ended well; an error is logged."""
    try:
        work(*arguments, **keywords)
    except Exception as error:
        log_unfinished(error)
        return False
    return True


def log_unfinished(error: Exception) -> None:
    """Log why work was left for later, with a traceback if the error is unexpected."""
    is_known = isinstance(error, ChatstoreError) or is_unavailable(error)
    log.warning(
        "background work not finished",
        cause=db_error_text(error),
        exc_info=None if is_known else error,
    )
