"""Erases and renames owners in many transactions; see `store.owners`.

Each batch is a transaction, so other writers get in between. Work that was killed is
finished by the same command.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

from chatstore.db import run_read, run_write
from chatstore.enums import AuditAction
from chatstore.errors import OwnerError
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, IdempotencyRecord
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.purges import compact_index
from chatstore.services.steps import run_step
from chatstore.store import audit, owner_moves, owners, purges
from chatstore.store.search import owner_entries, rebuild

# Servers refuse a deleted key within this time.
KEYS_KNOWN_SECONDS = 1.0
# A request that was running may write after a round, so we try several rounds.
_ROUNDS = 3
# Keys of search entries that are read at once.
_KEYS = 20_000

Progress = Callable[[str], None]


def describe_owner(owner_id: str) -> dict[str, int]:
    """Count what the owner has, by name: messages, usage, rows and search entries."""
    messages = {"messages": owners.count_messages(owner_id)}
    return {**messages, **owners.sum_usage(owner_id), **owners.find_left(owner_id)}


def erase_owner(
    owner_id: str, *, progress: Progress, pause_seconds: float = KEYS_KNOWN_SECONDS
) -> dict[str, int]:
    """Delete everything that the owner has; return the counts of what was there.

    Keys go first, so that nobody writes meanwhile. Raises OwnerError if somebody still
    does.
    """
    found = run_read(describe_owner, owner_id)
    run_write(_start_erasing, owner_id)
    time.sleep(pause_seconds)
    for _ in range(_ROUNDS):
        _erase(owner_id, progress)
        if not run_read(owners.find_traces, owner_id):
            break
    else:
        raise OwnerError(f"{_still_writing(owner_id)} Then erase the owner again.")
    run_write(_note_erasure, owner_id, {"state": "finished", **found})
    progress("compacting the search index")
    compact_index()
    return found


def rename_owner(
    owner_id: str,
    new_owner_id: str,
    *,
    progress: Progress,
    pause_seconds: float = KEYS_KNOWN_SECONDS,
) -> None:
    """Give everything of an owner to a new one, who has nothing.

    Keys go first, so that clients soon write as the new owner. Raises OwnerError if the
    former owner has nothing, if the new one has something, unless this renaming was
    interrupted, and if somebody still writes as the former owner.
    """
    if not run_read(owner_moves.is_interrupted, owner_id, new_owner_id):
        if not run_read(owners.find_left, owner_id):
            raise OwnerError(f"The owner {owner_id} has nothing.")
        if run_read(owners.find_left, new_owner_id):
            raise OwnerError(f"The owner {new_owner_id} has something already.")
    run_write(owner_moves.start_renaming, owner_id, new_owner_id)
    time.sleep(pause_seconds)
    for _ in range(_ROUNDS):
        _move(owner_id, new_owner_id, progress)
        if not run_read(owners.find_left, owner_id):
            break
    else:
        raise OwnerError(f"{_still_writing(owner_id)} Then rename the owner again.")
    run_write(owner_moves.finish_renaming, owner_id, new_owner_id)


def _still_writing(owner_id: str) -> str:
    return (
        f"Somebody still writes as {owner_id}. Stop the clients, or the servers, or the"
        " owner's account where users log in."
    )


def _start_erasing(owner_id: str) -> None:
    owners.delete_keys_and_logins(owner_id)
    _note_erasure(owner_id, {"state": "started"})


def _note_erasure(owner_id: str, details: dict[str, object]) -> None:
    audit.record_act(
        AuditAction.OWNER_ERASED,
        actor=audit.COMMAND_LINE,
        owner_id=owner_id,
        details=details,
    )


def _erase(owner_id: str, progress: Progress) -> None:
    hidden = 0
    for condition in owners.undeleted_sessions_of(owner_id):
        while ids := run_read(purges.find_due, condition):
            count = run_step(purges.purge_due, ids, condition)
            hidden += count
            progress(f"{hidden} sessions hidden")
            if not count:
                break  # others have locked them
    progress("deleting messages")
    finish_deletions()
    for column in _other_columns():
        delete = partial(owners.delete_batch, column, owner_id)
        _repeat(delete, progress, f"rows deleted of {column.table.name}")
    _repeat(
        partial(owners.redact_entries, owner_id), progress, "entries of audit emptied"
    )


def _move(owner_id: str, new_owner_id: str, progress: Progress) -> None:
    # A client may repeat a request as the new owner now, so its record goes first.
    records, *others = sorted(_other_columns(), key=_is_no_record)
    _move_rows(records, owner_id, new_owner_id, progress)
    for condition in owners.sessions_of(owner_id):
        move = partial(owner_moves.move_sessions, condition, new_owner_id)
        _repeat(move, progress, "sessions moved")
    for column in others:
        _move_rows(column, owner_id, new_owner_id, progress)
    for index in (NAMES, MESSAGES):
        _reindex(index, owner_id, progress)


def _move_rows(
    column: Any, owner_id: str, new_owner_id: str, progress: Progress
) -> None:
    move = partial(owner_moves.move_batch, column, owner_id, new_owner_id)
    _repeat(move, progress, f"rows moved of {column.table.name}")


def _other_columns() -> list[Any]:
    """Return the owner columns of all tables but that of sessions."""
    chats = ChatSession.__table__
    return [each for each in owners.owner_columns() if each.table is not chats]


def _is_no_record(column: Any) -> bool:
    return column.table is not IdempotencyRecord.__table__


def _repeat(step: Callable[[], int], progress: Progress, what: str) -> None:
    done = 0
    while count := run_step(step):
        done += count
        progress(f"{done} {what}")


def _reindex(index: str, owner_id: str, progress: Progress) -> None:
    done, after = 0, 0
    while keys := run_read(
        owner_entries.find_keys, index, owner_id, after=after, limit=_KEYS
    ):
        after = keys[-1]
        while keys:
            count = run_step(rebuild.reindex_keys, index, keys)
            keys = keys[count:]
            done += count
            progress(f"{done} entries of {index} rewritten")
