"""Runs work in many transactions, so that other writers get in between."""

import time
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import structlog

from chatstore.db import run_write
from chatstore.db.errors import db_error_text, is_unavailable
from chatstore.errors import ChatstoreError

_MOST_SECONDS = 1.0

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)


def step_then_pause(
    work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs
) -> T:
    """Return the result of `work(...)`, run in one transaction, after a pause."""
    begun = time.monotonic()
    result = run_write(work, *arguments, **keywords)
    # A thread that asks for SQLite's write lock again at once gets it again, and other
    # writers wait for seconds. So we pause as long as the step took.
    time.sleep(min(time.monotonic() - begun, _MOST_SECONDS))
    return result


def is_done(
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
