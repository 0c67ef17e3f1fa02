"""Writes acts of the current request to the audit log."""

from functools import partial
from typing import Any

import structlog
from flask import g, request

from chatstore.access.failed_logins import FailedLogins
from chatstore.app_state import get_from_app
from chatstore.clock import utc_now
from chatstore.enums import AuditAction
from chatstore.store.audit import record_act
from chatstore.web.auth import current_caller

log = structlog.get_logger(__name__)


def note_act(
    action: AuditAction,
    *,
    target: str | None = None,
    owner_id: str | None = None,
    **details: Any,
) -> None:
    """Write an act of the caller to the audit log, in the current transaction.

    `owner_id` is the owner of the target, by default the caller's owner. For a
    transaction that runs in another thread, see `act_of_request`.
    """
    act_of_request(action, target=target, owner_id=owner_id, **details)()


def act_of_request(
    action: AuditAction,
    *,
    target: str | None = None,
    owner_id: str | None = None,
    **details: Any,
) -> partial[None]:
    """Return a function that writes the act, without reading the request."""
    caller = current_caller()
    return partial(
        record_act,
        action,
        actor=caller.actor,
        owner_id=owner_id or caller.owner_id,
        target=target,
        address=request.remote_addr,
        request_id=g.request_id,
        details=details or None,
    )


def note_failed_login(reason: str) -> None:
    """Log a login that failed, and count it for the audit log; write nothing.

    `reason` is a sentence without anything of the credential.
    """
    log.warning("login failed", address=request.remote_addr, reason=reason)
    get_from_app(FailedLogins).note(request.remote_addr, utc_now())
