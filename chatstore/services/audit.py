"""Writes failed logins to the audit log, and forgets old entries; see `store.audit`."""

from collections.abc import Sequence
from datetime import timedelta

from chatstore.access.failed_logins import FailedLogin, FailedLogins
from chatstore.clock import utc_now
from chatstore.enums import AuditAction
from chatstore.services.steps import run_step
from chatstore.store import audit
from chatstore.store.batches import in_batches

# The actor of a login that failed: nobody has proved who it was.
UNKNOWN = "unknown"
# SQLite has one writer, so a transaction must be short.
BATCH = 100


def write_failed_logins(failed: FailedLogins, *, batch: int = BATCH) -> None:
    """Write failed logins to the audit log, `batch` in a transaction.

    After an error, the rest is kept and written later.
    """
    left = failed.take(utc_now())
    try:
        for each in list(in_batches(left, lambda _: 1, batch)):
            run_step(_write, each)
            del left[: len(each)]
    finally:
        failed.give_back(left)


def purge_old_entries(*, audit_days: int) -> int:
    """Delete the entries older than `audit_days`, in batches; return how many."""
    before = utc_now() - timedelta(days=audit_days)
    purged = 0
    while count := run_step(audit.purge_entries, before=before):
        purged += count
    return purged


def _write(failed: Sequence[FailedLogin]) -> None:
    for login in failed:
        audit.record_act(
            AuditAction.LOGIN_FAILED,
            actor=UNKNOWN,
            address=login.address,
            details={"count": login.failures},
            at=login.minute,
        )
