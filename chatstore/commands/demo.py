"""`chatstore demo`: conversations to look at, and their removal."""

import click

from chatstore.access.owners import LOCAL_OWNER
from chatstore.commands.admin import create_admin_app, progress_line
from chatstore.commands.owners import OWNER
from chatstore.db import run_read, run_write
from chatstore.db.revisions import check_revision, is_first_run, migrate
from chatstore.enums import AuditAction, BulkAction
from chatstore.services.backup.integrity import pluralize
from chatstore.services.demo import fill_demo, remove_demo
from chatstore.settings import Settings
from chatstore.store import audit, demo


@click.command("demo")
@click.option(
    "--owner", type=OWNER, default=LOCAL_OWNER, show_default=True, help="Whose store."
)
@click.option("--remove", "is_removing", is_flag=True, help="Take the demo out again.")
@click.option(
    "--force", "is_forced", is_flag=True, help="Add it beside the owner's sessions."
)
def demo_command(owner: str, is_removing: bool, is_forced: bool) -> None:
    """Fill an empty store with conversations to look at.

    The server may keep running. A database without sessions is migrated first.
    """
    if is_removing:
        _remove(owner)
        return
    app = create_admin_app(creates_files=True)
    settings: Settings = app.config["CHATSTORE"]
    with app.app_context(), progress_line() as progress:
        if is_first_run():
            migrate()
        check_revision()
        if not is_forced and run_read(demo.has_own_sessions, owner):
            raise click.ClickException(
                f"{owner} has sessions already, and the demo is for an empty store."
                " Give --force to add it beside them; --remove takes out only the demo."
            )
        added = fill_demo(
            owner, progress=lambda done, of: progress(f"{done} of {of} sessions added")
        )
        total = len(run_read(demo.find_demo_sessions, owner))
    if added:
        click.echo(f"added {pluralize(added, 'session')} to the store of {owner}")
    else:
        click.echo(f"The demo is there already: {pluralize(total, 'session')}.")
    whose = "" if owner == LOCAL_OWNER else f" --owner {owner}"
    click.echo(f"Take it out with: chatstore demo --remove{whose}", err=True)
    bind = settings.bind
    address = bind if bind.startswith("unix:") else f"http://{bind}/"
    click.echo(f"Run chatstore serve, and look at {address}")


def _remove(owner: str) -> None:
    with create_admin_app().app_context(), progress_line() as progress:
        check_revision()
        count = remove_demo(
            owner, progress=lambda done, of: progress(f"{done} of {of} sessions gone")
        )
        if count:
            run_write(
                audit.record_act,
                AuditAction.SESSIONS_DELETED,
                actor=audit.COMMAND_LINE,
                owner_id=owner,
                details={"change": BulkAction.PURGE, "count": count},
            )
    click.echo(f"removed {pluralize(count, 'session')} of the demo")
