"""Queries of the audit log; no HTTP, no commit.

An entry is written in the transaction of its act, so neither exists without the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog
from sqlalchemy import ColumnElement, delete, literal, select, tuple_

from chatstore.clock import utc_now
from chatstore.db import UtcDateTime, db
from chatstore.enums import AuditAction
from chatstore.models import AuditEntry
from chatstore.models.access import MAX_ADDRESS_LENGTH

# The actor of acts that an administrator did in a terminal.
COMMAND_LINE = "command line"
_BATCH = 1000

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class AuditFilters:
    """The entries to list: those that meet all filters that are not None."""

    action: AuditAction | None = None
    owner_id: str | None = None
    actor: str | None = None
    since: datetime | None = None
    # Exclusive.
    until: datetime | None = None


def record_act(
    action: AuditAction,
    *,
    actor: str,
    owner_id: str | None = None,
    target: str | None = None,
    address: str | None = None,
    request_id: str | None = None,
    details: dict[str, Any] | None = None,
    at: datetime | None = None,
) -> None:
    """Add an entry to the audit log, and write it as one log line.

    `owner_id` is the owner of what the act was done to, `target` its id. `details` has
    counts and names of settings: never a secret, and no text of messages. Without
    `at`, the act is done now.
    """
    # A proxy may pass on any text as the client's address, and PostgreSQL refuses a
    # longer one, so the act or a whole batch of failed logins would fail.
    address = address[:MAX_ADDRESS_LENGTH] if address else address
    entry = {"actor": actor, "owner_id": owner_id, "target": target, "address": address}
    db.session.add(
        AuditEntry(
            at=at or utc_now(),
            action=action,
            request_id=request_id,
            details=details,
            **entry,
        )
    )
    db.session.flush()
    log.info("audit", action=action, **entry, details=details)


def list_entries(
    filters: AuditFilters, *, before: int | None = None, limit: int
) -> Sequence[AuditEntry]:
    """Return entries, the newest acts first, `limit` at most.

    `before` is the id of the last entry of the page before. If that entry is purged,
    so are older ones, and there is no next page. With one of `action`, `owner_id` and
    `actor` at most, the query reads only the entries that it returns.
    """
    place = tuple_(AuditEntry.at, AuditEntry.id)
    query = select(AuditEntry).where(*_conditions(filters))
    if before is not None:
        last = select(AuditEntry.at).where(AuditEntry.id == before)
        instant = db.session.scalar(last)
        if instant is None:
            return []
        query = query.where(place < tuple_(literal(instant, UtcDateTime()), before))
    # Failed logins are written late, so ids are not in the order of time.
    newest_first = (AuditEntry.at.desc(), AuditEntry.id.desc())
    return db.session.scalars(query.order_by(*newest_first).limit(limit)).all()


def purge_entries(*, before: datetime) -> int:
    """Delete a batch of the entries of acts before the instant; return how many."""
    old = select(AuditEntry.id).where(AuditEntry.at < before)
    ids = db.session.scalars(old.order_by(AuditEntry.at).limit(_BATCH)).all()
    if ids:
        db.session.execute(
            delete(AuditEntry)
            .where(AuditEntry.id.in_(ids))
            .execution_options(synchronize_session=False)
        )
    return len(ids)


def _conditions(filters: AuditFilters) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    for name in ("action", "owner_id", "actor"):
        value = getattr(filters, name)
        if value is not None:
            conditions.append(getattr(AuditEntry, name) == value)
    if filters.since is not None:
        conditions.append(AuditEntry.at >= filters.since)
    if filters.until is not None:
        conditions.append(AuditEntry.at < filters.until)
    return conditions
