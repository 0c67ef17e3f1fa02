"""`chatstore owners`: list, show, rename, export and erase owners."""

import time
from pathlib import Path
from typing import Any

import click

from chatstore.access.owners import owner_flaw
from chatstore.commands.admin import Commands, create_admin_app, progress_line
from chatstore.db import run_read
from chatstore.db.revisions import check_revision
from chatstore.services.backup.integrity import pluralize
from chatstore.services.owner_exports import export_owner
from chatstore.services.owners import describe_owner, erase_owner, rename_owner
from chatstore.store import owners


class Owner(click.ParamType):  # type: ignore[type-arg]
    """An owner id."""

    name = "owner"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        if flaw := owner_flaw(str(value)):
            self.fail(f"{value!r} {flaw}.")
        return str(value)


OWNER = Owner()


@click.group("owners", cls=Commands)
def owners_group() -> None:
    """List, show, rename, export and erase owners."""


@owners_group.command("list")
def list_command() -> None:
    """Print a line for each owner that has something: its id and its sessions."""
    with create_admin_app().app_context():
        check_revision()
        for owner_id in owners.each_owner():
            count = run_read(owners.count_sessions, owner_id)
            click.echo(f"{owner_id}  {pluralize(count, 'session')}")


@owners_group.command("show")
@click.argument("owner", type=OWNER)
def show_command(owner: str) -> None:
    """Count what an owner has, by table."""
    with create_admin_app().app_context():
        check_revision()
        _print_numbers(run_read(describe_owner, owner))


@owners_group.command("rename")
@click.argument("owner", metavar="OLD", type=OWNER)
@click.argument("new_owner", metavar="NEW", type=OWNER)
def rename_command(owner: str, new_owner: str) -> None:
    """Give everything of OLD to NEW, who has nothing yet.

    If it is interrupted, run it again.
    """
    if owner == new_owner:
        raise click.BadParameter("It is OLD.", param_hint="NEW")
    with create_admin_app().app_context(), progress_line() as progress:
        check_revision()
        rename_owner(owner, new_owner, progress=progress)
    click.echo(f"renamed {owner} to {new_owner}")


@owners_group.command("export")
@click.argument("owner", type=OWNER)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", "is_replacing", is_flag=True, help="Replace FILE.")
def export_command(owner: str, file: Path, is_replacing: bool) -> None:
    """Write everything of an owner to FILE, a JSON object per line."""
    with create_admin_app().app_context(), progress_line() as progress:
        check_revision()
        counts = export_owner(owner, file, is_replacing=is_replacing, progress=progress)
    written = [pluralize(counts.get(kind, 0), kind) for kind in ("session", "message")]
    click.echo(f"wrote {file}: {', '.join(written)}")


@owners_group.command("erase")
@click.argument("owner", type=OWNER)
@click.option("--yes", "is_sure", is_flag=True, help="Do not ask.")
def erase_command(owner: str, is_sure: bool) -> None:
    """Delete everything of an owner for good.

    The audit log keeps the owner's id. If it is interrupted, run it again.
    """
    if not is_sure:
        click.confirm(f"Delete everything of {owner} for good?", abort=True)
    started = time.monotonic()
    with create_admin_app().app_context(), progress_line() as progress:
        check_revision()
        found = erase_owner(owner, progress=progress)
    _print_numbers(found)
    click.echo(f"erased {owner} in {time.monotonic() - started:.1f} s")
    click.echo(f"Run chatstore verify --erased {owner} to prove it.", err=True)


def print_traces(owner: str) -> None:
    """Print what is left of an erased owner; raise ClickException if there is any."""
    left = run_read(owners.find_traces, owner)
    _print_numbers(left)
    if left:
        raise click.ClickException(f"{owner} is not erased.")
    looks = len(owners.owner_columns())
    click.echo(f"ok: nothing of {owner} in {looks} columns and the search index")


def _print_numbers(numbers: dict[str, int]) -> None:
    for name, count in numbers.items():
        click.echo(f"{name:<36} {count}")
