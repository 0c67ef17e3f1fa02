"""Writes everything that an owner has to one file of JSON lines; no HTTP."""

import os
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO

import orjson

from chatstore.clock import format_instant, utc_now
from chatstore.db import run_read, run_write
from chatstore.enums import AuditAction
from chatstore.errors import OwnerError
from chatstore.services.owners import Progress
from chatstore.store import audit, owner_exports, owners

_FORMAT = 1


def export_owner(
    owner_id: str, file: Path, *, is_replacing: bool = False, progress: Progress
) -> dict[str, int]:
    """Write what the owner has to `file`, whole or not at all; return counts by kind.

    Each page is read alone, so the server goes on, and what changes meanwhile may be
    missing. The act is noted before, so that no export lacks its entry. Raises
    OwnerError.
    """
    if os.path.lexists(file) and not (is_replacing and file.is_file()):
        raise OwnerError(f"{file} already exists. Use --force to replace a file.")
    run_write(
        audit.record_act,
        AuditAction.OWNER_EXPORTED,
        actor=audit.COMMAND_LINE,
        owner_id=owner_id,
    )
    partial = file.with_name(f"{file.name}.partial-{token_hex(4)}")
    try:
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode=0o600)
        with open(descriptor, "wb") as opened:
            counts = _write(owner_id, opened, progress)
            opened.flush()
            os.fsync(descriptor)
        partial.replace(file)
        _fsync_folder(file.parent)
    except OSError as error:
        raise OwnerError(f"{file} cannot be written: {error.strerror}.") from error
    finally:
        with suppress(OSError):
            partial.unlink()
    return counts


def _write(owner_id: str, file: BinaryIO, progress: Progress) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, row in _each(owner_id):
        line = {"kind": kind} | {name: _plain(value) for name, value in row.items()}
        file.write(orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE))
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "session":
            progress(f"{counts[kind]} sessions written")
    return counts


def _each(owner_id: str) -> Iterator[tuple[str, dict[str, Any]]]:
    head = {"owner": owner_id, "format": _FORMAT, "exported_at": utc_now()}
    yield "owner", head
    seen, in_trash, _ = owners.sessions_of(owner_id)
    for condition in (seen, in_trash):
        last = None
        while chats := run_read(owner_exports.list_sessions, condition, after=last):
            for chat in chats:
                yield "session", chat
                yield from _messages(chat["id"])
            last = (chats[-1]["created_at"], chats[-1]["id"])
    for kind in owner_exports.SMALL_TABLES:
        place = None
        while rows := run_read(owner_exports.list_small, kind, owner_id, after=place):
            for row in rows:
                yield kind, row
            place = owner_exports.small_key(kind, rows[-1])


def _messages(session_id: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    after: int | None = 0
    while after is not None:
        messages, after = run_read(owner_exports.list_messages, session_id, after=after)
        for message in messages:
            yield "message", message
        edited = [each["id"] for each in messages if each["revision"] > 1]
        place = (0, 0)
        while edited and (
            found := run_read(owner_exports.list_revisions, edited, after=place)
        ):
            for revision in found:
                yield "revision", revision
            place = (found[-1]["message_id"], found[-1]["revision"])


def _plain(value: Any) -> Any:
    return format_instant(value) if isinstance(value, datetime) else value


def _fsync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
