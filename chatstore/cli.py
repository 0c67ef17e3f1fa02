"""The `chatstore` command: what an administrator does from a terminal."""

import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import click
import orjson
from flask.cli import ScriptInfo, shell_command
from marshmallow import ValidationError, fields
from sqlalchemy import ColumnElement
from sqlalchemy.exc import SQLAlchemyError

from chatstore import __version__
from chatstore.access.owners import LOCAL_OWNER
from chatstore.bar_chart import draw_table
from chatstore.clock import format_instant, utc_now
from chatstore.commands.admin import AGE, Commands, create_admin_app, progress_line
from chatstore.commands.audit import audit_command
from chatstore.commands.demo import demo_command
from chatstore.commands.keys import keys_group
from chatstore.commands.owners import OWNER, owners_group, print_traces
from chatstore.commands.row_security import row_security_group
from chatstore.commands.static import static_command
from chatstore.db import db, run_read, run_write
from chatstore.db.errors import db_error_text
from chatstore.db.revisions import (
    MIGRATE_COMMAND,
    check_revision,
    current_revision,
    head_revision,
    is_first_run,
    migrate,
)
from chatstore.db.sqlite import network_file_system
from chatstore.enums import AuditAction, BulkAction
from chatstore.errors import ChatstoreError, ValidationFailed
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.schemas.dumping import compile_dump
from chatstore.schemas.fields import Limits
from chatstore.schemas.filters import SessionFilterSchema
from chatstore.schemas.usage import UsageQuerySchema, UsageReportSchema
from chatstore.services import changes, doctor, usage
from chatstore.services.backup import backup
from chatstore.services.backup.integrity import pluralize
from chatstore.services.purges import compact_index, purge_matching
from chatstore.settings import Settings
from chatstore.store import audit, idempotency, purges, rebuild_lists, stats
from chatstore.store.filters import SessionFilters
from chatstore.store.search import rebuild
from chatstore.store.verify import checks
from chatstore.store.verify.index import Progress


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="chatstore")
def main() -> None:
    """Keep LLM chat sessions and their messages behind a REST API."""


main.add_command(keys_group)
main.add_command(audit_command)
main.add_command(owners_group)
main.add_command(demo_command)
main.add_command(row_security_group)
main.add_command(static_command)


@main.command("serve")
@click.option(
    "--migrate", "is_migrating", is_flag=True, help="Migrate any database first."
)
def serve_command(is_migrating: bool) -> None:
    """Start the server; first migrate a database without sessions."""
    app = create_admin_app(creates_files=True)
    settings: Settings = app.config["CHATSTORE"]
    if settings.sqlite_path is not None:
        kind = network_file_system(settings.sqlite_path)
        if kind:
            raise click.ClickException(
                f"{settings.sqlite_path} is on a network file system ({kind}), where"
                " SQLite's locks fail. Use a local disk, or PostgreSQL."
            )
    if settings.open_bind_flaw:
        raise click.ClickException(settings.open_bind_flaw)
    with app.app_context():
        if is_migrating or is_first_run():
            # Importing Alembic takes 0.1 s, so we migrate only if it is needed.
            is_current = current_revision() == head_revision()
            _print_steps([] if is_current else migrate())
        check_revision()
        db.session.remove()
        db.engine.dispose()
    sys.stdout.flush()
    # gunicorn replaces this process, so signals sent to it reach the server.
    arguments = ["-m", "gunicorn", "-c", "python:chatstore.server"]
    os.execv(  # nosec B606
        sys.executable, [sys.executable, *arguments, "chatstore.app:create_app()"]
    )


@main.command("migrate")
def migrate_command() -> None:
    """Migrate the database to the schema of this version."""
    with create_admin_app(creates_files=True).app_context():
        _print_steps(migrate())


@main.command("verify")
@click.option("--erased", type=OWNER, help="Check only that nothing of it is left.")
def verify_command(erased: str | None) -> None:
    """Check that all data keeps chatstore's promises."""
    with create_admin_app().app_context():
        check_revision()
        if erased is not None:
            print_traces(erased)
            return
        broken = _print_violations()
        sessions, messages = stats.count_sessions(), stats.count_messages()
        size = f"{pluralize(sessions, 'session')}, {pluralize(messages, 'message')}"
        if trashed := stats.count_trash():
            size += f", {pluralize(trashed, 'session')} in the trash"
        if broken:
            raise click.ClickException(f"{pluralize(broken, 'violation')} in {size}.")
        click.echo(f"ok: {size}, {pluralize(len(checks.CHECKS), 'check')}")


def _print_violations() -> int:
    """Print each violation and return their number."""
    broken = 0
    with progress_line() as progress:
        for number, check in enumerate(checks.CHECKS, start=1):
            progress(f"{number} of {len(checks.CHECKS)}: {check.name}")
            for violation in check.find(progress):
                progress("")
                click.echo(f"{check.name}: {violation}")
                broken += 1
    return broken


@main.command("reindex")
def reindex_command() -> None:
    """Rebuild the search index and the session lists.

    The server may keep running. Run this if `verify` finds wrong entries.
    """
    with create_admin_app().app_context(), progress_line() as progress:
        check_revision()
        while run_write(rebuild.number_sessions):
            pass
        _rebuild_lists(progress)
        names = _rebuild_index(NAMES, "names", progress)
        messages = _rebuild_index(MESSAGES, "messages", progress)
    click.echo(f"indexed {pluralize(messages, 'message')}, {pluralize(names, 'name')}")


def _rebuild_lists(progress: Progress) -> None:
    done, last = 0, None
    while batch := run_write(rebuild_lists.rebuild_batch, after=last):
        _correct_sums(batch, after=last)
        last = batch.last
        done += batch.count
        progress(f"{done} sessions listed")


def _correct_sums(batch: rebuild_lists.Batch, *, after: UUID | None) -> None:
    # A session that changes between reading and writing is read again.
    while wrong := run_read(rebuild_lists.find_wrong_sums, batch, after=after):
        for sums in wrong:
            run_write(rebuild_lists.correct_sums, sums)


def _rebuild_index(index: str, noun: str, progress: Progress) -> int:
    done, last = 0, 0
    while run_write(rebuild.delete_strays, index, limit=rebuild.BATCH):
        pass
    while batch := run_write(rebuild.reindex_batch, index, after=last):
        last = batch.last
        done += batch.count
        progress(f"{done} {noun} indexed")
    return done


@main.command("stats")
def stats_command() -> None:
    """Count sessions, messages and bytes in the database."""
    with create_admin_app().app_context():
        check_revision()
        for name, value in stats.get_stats().items():
            click.echo(f"{name:<24} {value}")


@main.command("usage")
@click.option("--owner", default=LOCAL_OWNER, show_default=True, help="Whose usage.")
@click.option("--from", "start", help="First day, or an RFC 3339 instant.")
@click.option("--to", "end", help="Day or instant to end before; by default now.")
@click.option("--by", default="day", show_default=True, help="hour, day, week, month.")
@click.option("--tz", default="UTC", show_default=True, help="IANA time zone.")
@click.option("--split", default="none", show_default=True, help="model, role, none.")
@click.option("--json", "is_json", is_flag=True, help="Print the API's answer.")
def usage_command(owner: str, is_json: bool, **given: str | None) -> None:
    """Count what an owner used: messages, bytes and tokens."""
    query = _load_usage_query(given)
    with create_admin_app().app_context(), progress_line() as progress:
        check_revision()
        usage.add_usage(lambda count: progress(f"{count} messages counted"))
        content = _report_usage(owner, query)
    if is_json:
        click.echo(orjson.dumps(compile_dump(UsageReportSchema())(content)))
        return
    for line in _usage_lines(content):
        click.echo(line)
    if not content["complete"]:
        click.echo("The newest messages are not counted yet.", err=True)


def _load_usage_query(given: Mapping[str, str | None]) -> dict[str, Any]:
    names = {"start": "from", "end": "to"}
    query = {names.get(name, name): text for name, text in given.items() if text}
    try:
        loaded: dict[str, Any] = UsageQuerySchema().load(query)
    except ValidationError as error:
        name, flaws = next(iter(error.messages_dict.items()))
        raise click.BadParameter(flaws[0], param_hint=f"--{name}") from error
    return loaded


def _report_usage(owner: str, query: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return usage.report_usage(owner_id=owner, **query).content
    except ValidationFailed as error:
        flaw = error.flaws[0]
        hint = f"--{flaw.pointer.removeprefix('/')}"
        raise click.BadParameter(flaw.detail, param_hint=hint) from error


_USAGE_COLUMNS = ("messages", "sessions", "bytes", "input_tokens", "output_tokens")


def _usage_lines(content: Mapping[str, Any]) -> Iterator[str]:
    periods = [(each["label"], each) for each in content["periods"]]
    parts = [
        (f"  {part.get('model') or part.get('role')}", {"sessions": 0, **part})
        for part in content["total"].get("split", ())
    ]
    rows = [
        (label, [used[name] for name in _USAGE_COLUMNS])
        for label, used in [*periods, ("total", content["total"]), *parts]
    ]
    heads = [content["by"], *(name.replace("_", " ") for name in _USAGE_COLUMNS)]
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
    return draw_table(heads, rows, bars=len(periods), width=width)


@main.command("doctor")
def doctor_command() -> None:
    """Check for anything that could lose data or stop the service.

    Exits with 1 if a check fails.
    """
    app = create_admin_app(needs_database=False)
    with app.app_context():
        findings = doctor.examine(app.config["CHATSTORE"])
    for finding in findings:
        click.echo(f"{finding.level:<5} {finding.check:<16} {finding.detail}")
    if any(finding.level == doctor.FAIL for finding in findings):
        raise click.exceptions.Exit(1)


@main.command("backup")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", "is_replacing", is_flag=True, help="Replace FILE.")
def backup_command(file: Path, is_replacing: bool) -> None:
    """Write a verified copy of the database to FILE.

    The server may keep running.
    """
    started = time.monotonic()
    with (
        _exit_on_sigterm(),
        create_admin_app().app_context(),
        progress_line() as progress,
    ):
        copy = backup.write_backup(file, is_replacing=is_replacing, progress=progress)
        seconds = time.monotonic() - started
        size = file.stat().st_size
        _note_backup(size)
    click.echo(f"wrote {file}: {size} bytes, {copy}, in {seconds:.1f} s")


def _note_backup(size: int) -> None:
    """Add the backup to the audit log, if the database has one and can be written."""
    if current_revision() != head_revision():
        return
    try:
        run_write(
            audit.record_act,
            AuditAction.OWNER_EXPORTED,
            actor=audit.COMMAND_LINE,
            details={"what": "backup", "bytes": size},
        )
    except (ChatstoreError, SQLAlchemyError) as error:
        # A standby of PostgreSQL only reads, and a full disk is why people back up.
        cause = db_error_text(error)
        click.echo(f"The audit log lacks this backup: {cause}", err=True)


@main.command("restore")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", "is_replacing", is_flag=True, help="Replace all data.")
def restore_command(file: Path, is_replacing: bool) -> None:
    """Replace the database with the backup in FILE.

    Stop the server first.
    """
    with (
        create_admin_app(creates_files=True).app_context(),
        progress_line() as progress,
    ):
        copy = backup.restore_backup(file, is_replacing=is_replacing, progress=progress)
    click.echo(f"restored {file}: {copy}")
    if copy.revision != head_revision():
        click.echo(f"The backup is at revision {copy.revision}. Run: {MIGRATE_COMMAND}")


@main.group("purge")
def purge_group() -> None:
    """Delete for good what nobody needs any more."""


@purge_group.command("idempotency")
@click.option(
    "--older-than",
    type=AGE,
    default="24h",
    show_default=True,
    help="Age such as 36h or 7d, and at least 24h.",
)
def purge_idempotency_command(older_than: timedelta) -> None:
    """Delete old idempotency records."""
    if older_than < timedelta(hours=24):
        raise click.BadParameter(
            "It must be at least 24h, because clients may retry for so long."
        )
    with create_admin_app().app_context():
        check_revision()
        purged = 0
        before = utc_now() - older_than
        while count := run_write(idempotency.purge_records, before=before):
            purged += count
            if sys.stderr.isatty():
                click.echo(f"\r{purged} purged", nl=False, err=True)
        click.echo(f"purged {pluralize(purged, 'idempotency record')}")


@purge_group.command("tombstones")
def purge_tombstones_command() -> None:
    """Delete the marks of old deletions that the change feed no longer needs."""
    app = create_admin_app()
    settings: Settings = app.config["CHATSTORE"]
    with app.app_context():
        check_revision()
        purged = changes.purge_old_tombstones(tombstone_days=settings.tombstone_days)
    click.echo(f"purged {pluralize(purged, 'tombstone')}")


@purge_group.command("sessions")
@click.option(
    "--where",
    "wanted",
    multiple=True,
    required=True,
    metavar="FILTER=VALUE",
    help="A filter of the session list, such as updated_before=2026-01-01T00:00:00Z."
    " May be repeated; sessions must match all.",
)
@click.option("--owner", help="Only sessions of this owner.")
@click.option(
    "--include-pinned", "includes_pinned", is_flag=True, help="Purge pinned ones too."
)
@click.option("--dry-run", "is_dry_run", is_flag=True, help="Only list them.")
def purge_sessions_command(
    wanted: tuple[str, ...], owner: str | None, includes_pinned: bool, is_dry_run: bool
) -> None:
    """Delete sessions for good that match filters.

    As in the list, archived ones are left out unless --where archived=any. Pinned ones
    are left out too.
    """
    app = create_admin_app()
    filters = _parse_filters(wanted, app.config["CHATSTORE"])
    if filters.pinned and not includes_pinned:
        raise click.BadParameter("pinned=true needs --include-pinned.")
    total = 0
    with app.app_context(), progress_line() as progress:
        check_revision()
        for owner_id in [owner] if owner is not None else list(purges.each_owner()):
            condition = partial(
                purges.matches, filters, owner_id, includes_pinned=includes_pinned
            )
            if is_dry_run:
                total += _print_candidates(condition())
                continue
            count = purge_matching(condition, partial(_show_purged, progress, total))
            if count:
                run_write(
                    audit.record_act,
                    AuditAction.SESSIONS_DELETED,
                    actor=audit.COMMAND_LINE,
                    owner_id=owner_id,
                    details={"change": BulkAction.PURGE, "count": count},
                )
            total += count
        if total and not is_dry_run:
            progress("compacting the search index")
            compact_index()
    verb = "would purge" if is_dry_run else "purged"
    click.echo(f"{verb} {pluralize(total, 'session')}")


def _parse_filters(wanted: tuple[str, ...], settings: Settings) -> SessionFilters:
    schema = SessionFilterSchema()
    values: dict[str, Any] = {}
    for each in wanted:
        name, has_value, value = each.partition("=")
        is_list = isinstance(schema.fields.get(name), fields.List)
        if not has_value or (name in values and not is_list):
            raise click.BadParameter(f"Give {each!r} once, as FILTER=VALUE.")
        values[name] = [*values.get(name, []), value] if is_list else value
    try:
        with Limits(settings):
            return SessionFilters.among(schema.load(values))
    except ValidationError as error:
        raise click.BadParameter(str(error)) from error


def _print_candidates(condition: ColumnElement[bool]) -> int:
    total, after = 0, None
    while found := run_read(purges.list_candidates, condition, after=after):
        for chat in found:
            activity = format_instant(chat.last_updated_at)
            messages = pluralize(chat.message_count, "message")
            click.echo(f"{chat.id}  {activity}  {messages}  {chat.name or ''}".rstrip())
        total += len(found)
        after = found[-1].id
    return total


def _show_purged(progress: Progress, before: int, count: int) -> None:
    progress(f"{before + count} purged")


@main.command("shell")
@click.pass_context
def shell_command_(ctx: click.Context) -> None:
    """Open a Python shell with the models and the database."""
    app = create_admin_app()
    ctx.obj = ScriptInfo(create_app=lambda: app)
    with app.app_context():
        ctx.invoke(shell_command)


@contextmanager
def _exit_on_sigterm() -> Iterator[None]:
    """Turn SIGTERM into SystemExit in the block, so that its cleanup runs."""
    status = 128 + signal.SIGTERM

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # the exit has begun
        sys.exit(status)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        # SQLite swallows exceptions of its progress handler, so we exit here too.
        if signal.signal(signal.SIGTERM, before) == signal.SIG_IGN:
            sys.exit(status)


def _print_steps(steps: list[str]) -> None:
    for step in steps:
        click.echo(f"migrated {step}")
    if not steps:
        click.echo("nothing to migrate")
