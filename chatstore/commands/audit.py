"""`chatstore audit`: read the audit log."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import click
import orjson

from chatstore.clock import format_instant
from chatstore.commands.admin import create_admin_app
from chatstore.db import run_read
from chatstore.db.revisions import check_revision
from chatstore.enums import AuditAction
from chatstore.models import AuditEntry
from chatstore.schemas.audit import AuditEntrySchema
from chatstore.schemas.dumping import compile_dump
from chatstore.schemas.fields import parse_instant
from chatstore.store.audit import AuditFilters, list_entries

_PAGE = 500


class InstantParameter(click.ParamType):  # type: ignore[type-arg]
    """An RFC 3339 instant, such as 2026-11-28T10:00:00Z."""

    name = "instant"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        try:
            return parse_instant(str(value))
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not an instant such as 2026-11-28T10:00:00Z.")


_INSTANT = InstantParameter()


@click.command("audit")
@click.option("--action", type=click.Choice([each.value for each in AuditAction]))
@click.option("--owner", help="Only acts on what this owner has.")
@click.option("--actor", help="Only acts of this actor, such as 'command line'.")
@click.option("--since", type=_INSTANT, help="First instant.")
@click.option("--until", type=_INSTANT, help="Instant to end before.")
@click.option(
    "--limit", type=click.IntRange(1), default=100, show_default=True, help="Most acts."
)
@click.option("--json", "is_json", is_flag=True, help="Print a JSON object per line.")
def audit_command(
    *,
    action: str | None,
    owner: str | None,
    actor: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    is_json: bool,
) -> None:
    """Print acts that administrators answer for, the newest first."""
    filters = AuditFilters(
        action=AuditAction(action) if action else None,
        owner_id=owner,
        actor=actor,
        since=since,
        until=until,
    )
    write = _json_line if is_json else _line
    with create_admin_app().app_context():
        check_revision()
        for entry in _each(filters, limit):
            click.echo(write(entry))


def _each(filters: AuditFilters, limit: int) -> Iterator[AuditEntry]:
    before = None
    while limit and (
        page := run_read(list_entries, filters, before=before, limit=min(limit, _PAGE))
    ):
        yield from page
        limit -= len(page)
        before = page[-1].id


def _line(entry: AuditEntry) -> str:
    details = entry.details or {}
    words = [
        format_instant(entry.at),
        f"{entry.action:<16}",
        f"by {entry.actor}",
        f"from {entry.address}" if entry.address else "",
        f"owner {entry.owner_id}" if entry.owner_id is not None else "",
        f"target {entry.target}" if entry.target else "",
        *(f"{name}={value}" for name, value in details.items()),
    ]
    return "  ".join(filter(None, words))


def _json_line(entry: AuditEntry) -> bytes:
    return orjson.dumps(compile_dump(AuditEntrySchema())(entry))
