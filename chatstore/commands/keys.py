"""`chatstore keys`: issue, list, rotate and revoke API keys."""

from datetime import timedelta
from typing import Any

import click

from chatstore.access.owners import owner_flaw
from chatstore.access.secret_tokens import MAX_NAME_LENGTH
from chatstore.clock import format_instant, utc_now
from chatstore.commands.admin import AGE, Commands, create_admin_app
from chatstore.db import run_read, run_write
from chatstore.db.revisions import check_revision
from chatstore.enums import AuditAction, Scope
from chatstore.models import ApiKey
from chatstore.store import keys
from chatstore.store.audit import COMMAND_LINE, record_act

_PAGE = 500


@click.group("keys", cls=Commands)
def keys_group() -> None:
    """Issue, list, rotate and revoke API keys."""


@keys_group.command("issue")
@click.option("--owner", required=True, help="Whose sessions the key reads.")
@click.option(
    "--scope", type=click.Choice([each.value for each in Scope]), default="write"
)
@click.option("--expires", type=AGE, help="Age such as 12h or 90d; never if left out.")
@click.option("--name", help="What the key is for.")
def issue_command(
    owner: str, scope: str, expires: timedelta | None, name: str | None
) -> None:
    """Issue a key, and print it. It is shown only now."""
    if flaw := owner_flaw(owner):
        raise click.BadParameter(f"It {flaw}.", param_hint="--owner")
    if name is not None and not (
        name.isprintable() and 0 < len(name) <= MAX_NAME_LENGTH
    ):
        raise click.BadParameter(
            f"It must have 1 to {MAX_NAME_LENGTH} printable characters.",
            param_hint="--name",
        )
    with create_admin_app().app_context():
        check_revision()
        text, key = run_write(
            _issue,
            owner_id=owner,
            scope=Scope(scope),
            name=name,
            expires_at=utc_now() + expires if expires else None,
        )
        click.echo(text)
        click.echo(f"Key {key.id} is shown only now.", err=True)


@keys_group.command("list")
@click.option("--owner", help="Only keys of this owner.")
def list_command(owner: str | None) -> None:
    """Print a line for each key: id, scope, state, last use, owner and name."""
    with create_admin_app().app_context():
        check_revision()
        after = None
        while page := run_read(
            keys.list_keys, owner_id=owner, after=after, limit=_PAGE
        ):
            for key in page:
                click.echo(_line(key))
            after = page[-1].id


@keys_group.command("rotate")
@click.argument("key_id", metavar="ID")
def rotate_command(key_id: str) -> None:
    """Revoke a key, and print one that replaces it."""
    with create_admin_app().app_context():
        check_revision()
        text, key = run_write(_rotate, key_id)
        click.echo(text)
        click.echo(f"Key {key.id} replaces {key_id}, and is shown only now.", err=True)


@keys_group.command("revoke")
@click.argument("key_id", metavar="ID")
def revoke_command(key_id: str) -> None:
    """Revoke a key. Servers refuse it within a second."""
    with create_admin_app().app_context():
        check_revision()
        run_write(_revoke, key_id)
        click.echo(f"revoked {key_id}")


def _issue(**columns: Any) -> tuple[str, ApiKey]:
    text, key = keys.create_key(**columns)
    _record(AuditAction.KEY_ISSUED, key, key.id, scope=key.scope)
    return text, key


def _rotate(key_id: str) -> tuple[str, ApiKey]:
    text, key = keys.rotate_key(key_id)
    _record(AuditAction.KEY_ROTATED, key, key_id, replaced_by=key.id)
    return text, key


def _revoke(key_id: str) -> None:
    if key := keys.revoke_key(key_id):
        _record(AuditAction.KEY_REVOKED, key, key.id)


def _record(action: AuditAction, key: ApiKey, target: str, **details: Any) -> None:
    record_act(
        action,
        actor=COMMAND_LINE,
        owner_id=key.owner_id,
        target=target,
        details=details or None,
    )


def _line(key: ApiKey) -> str:
    used = format_instant(key.last_used_at) if key.last_used_at else "never used"
    columns = [key.id, f"{key.scope:<5}", f"{_state(key):<36}", f"{used:<27}"]
    return "  ".join([*columns, key.owner_id, key.name or ""]).rstrip()


def _state(key: ApiKey) -> str:
    if key.revoked_at is not None:
        return f"revoked {format_instant(key.revoked_at)}"
    if key.expires_at is None:
        return "valid"
    is_over = key.expires_at <= utc_now()
    return f"{'expired' if is_over else 'until'} {format_instant(key.expires_at)}"
