"""Deletes for good what is due: passes of bounded batches, without a request.

Every server tries a pass each minute, and a lease lets one of them work at a time. Two
at the same time do no harm, because each batch locks its rows.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from uuid import UUID, uuid4

import structlog
from sqlalchemy import ColumnElement

from chatstore import metrics
from chatstore.db import db, run_read, run_write, truncate_sqlite_log
from chatstore.enums import PurgeReason
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.services.audit import purge_old_entries
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.changes import purge_old_tombstones
from chatstore.services.ended import purge_ended
from chatstore.services.steps import run_and_log_error, run_step
from chatstore.store import jobs, purges
from chatstore.store.search import compaction

# Names of the rows with the lease, and with the times of less frequent work.
_PASS, _HOURLY, _DAILY = "purge", "hourly purge", "compaction"
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)

Condition = Callable[[], ColumnElement[bool]]

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rules:
    """How long a session stays in the trash and unused, and its deletion in the feed.

    Unused sessions and entries of the audit log stay for ever if their days are 0. Keys
    and links that have ended stay as long as the audit log, which names them.
    """

    trash_seconds: int
    retention_days: int = 0
    tombstone_days: int = 30
    audit_days: int = 0


@dataclass(frozen=True)
class _Pass:
    """One pass: its rules, its name as holder of the lease, and what it purged."""

    rules: Rules
    batch: int
    holder: str = field(default_factory=lambda: uuid4().hex)
    purged: dict[str, int] = field(default_factory=dict)


def purge(rules: Rules, *, batch: int = purges.BATCH) -> dict[str, int]:
    """Make one pass; return how many sessions it purged, by reason.

    Returns an empty dict if nothing was due, or if another server makes a pass. A
    transaction purges `batch` sessions at most.
    """
    if not run_read(_is_anything_due, rules):
        return {}
    current = _Pass(rules, batch)
    if not run_write(jobs.claim, _PASS, current.holder):
        return {}
    try:
        _purge_all(current)
    finally:
        if current.purged:
            log.info("sessions purged", **current.purged)
        run_write(jobs.release, _PASS, current.holder)
    return current.purged


def purge_matching(condition: Condition, progress: Callable[[int], None]) -> int:
    """Purge the sessions that meet the condition; return how many.

    `progress` gets the number so far.
    """
    total = 0
    while ids := run_read(purges.find_due, condition()):
        count = run_step(purges.purge_due, ids, condition())
        total += count
        progress(total)
        finish_deletions()
        if not count:
            break  # others have locked them
    return total


def compact_index() -> None:
    """Remove the words of deleted texts from SQLite's index and write-ahead log."""
    for index in (NAMES, MESSAGES):
        if not run_read(compaction.has_deleted_words, index):
            continue
        has_more = run_step(compaction.merge_step, index, is_first=True)
        while has_more:
            has_more = run_step(compaction.merge_step, index, is_first=False)
    db.session.rollback()  # our own snapshot would keep the log
    truncate_sqlite_log()


def _is_anything_due(rules: Rules) -> bool:
    return (
        jobs.is_due(_HOURLY, _HOUR)
        or bool(purges.find_due(purges.was_trashed(rules.trash_seconds)))
        or bool(purges.find_due(purges.has_expired()))
    )


def _purge_all(current: _Pass) -> None:
    rules = current.rules
    is_old = partial(purges.was_trashed, rules.trash_seconds)
    _purge(current, PurgeReason.TRASH, is_old)
    _purge(current, PurgeReason.EXPIRED, purges.has_expired)
    if run_read(jobs.is_due, _HOURLY, _HOUR):
        for owner_id in purges.each_owner() if rules.retention_days else ():
            is_unused = partial(purges.is_unused, owner_id, rules.retention_days)
            _purge(current, PurgeReason.RETENTION, is_unused)
        purge_old_tombstones(tombstone_days=rules.tombstone_days)
        if rules.audit_days:
            purge_old_entries(audit_days=rules.audit_days)
            purge_ended(days=rules.audit_days)
        run_write(jobs.finish, _HOURLY)
    finish_deletions()
    if run_read(jobs.is_due, _DAILY, _DAY) and run_and_log_error(compact_index):
        run_write(jobs.finish, _DAILY)


def _purge(current: _Pass, reason: PurgeReason, condition: Condition) -> None:
    while ids := run_read(purges.find_due, condition(), limit=current.batch):
        count = run_step(_purge_batch, current, ids, condition)
        if not count:
            return  # others have locked them, or have taken over
        metrics.purged_sessions.labels(reason).inc(count)
        current.purged[reason] = current.purged.get(reason, 0) + count


def _purge_batch(current: _Pass, ids: list[UUID], condition: Condition) -> int:
    # A process that stood still for minutes has lost its lease.
    if not jobs.claim(_PASS, current.holder):
        return 0
    return purges.purge_due(ids, condition())
