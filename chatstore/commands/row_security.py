"""`chatstore row-security`: create, drop and show the policies of PostgreSQL."""

import click

from chatstore.commands.admin import Commands, create_admin_app
from chatstore.db import run_read, run_write
from chatstore.db.revisions import check_revision
from chatstore.store import row_security


@click.group("row-security", cls=Commands)
def row_security_group() -> None:
    """Let PostgreSQL show each request only its owner's rows."""


@row_security_group.command("enable")
def enable_command() -> None:
    """Create the policies. Stop servers of earlier versions first."""
    with create_admin_app().app_context():
        check_revision()
        run_write(row_security.enable_row_security)
    click.echo("enabled; now set CHATSTORE_ROW_SECURITY=1 and restart the servers")


@row_security_group.command("disable")
def disable_command() -> None:
    """Drop the policies. Set CHATSTORE_ROW_SECURITY=0 on all servers first."""
    with create_admin_app().app_context():
        check_revision()
        run_write(row_security.disable_row_security)
    click.echo("disabled")


@row_security_group.command("status")
def status_command() -> None:
    """Print whether each table has its policy."""
    with create_admin_app().app_context():
        check_revision()
        missing = run_read(row_security.list_unprotected_tables)
    for table in sorted(row_security.CONDITIONS):
        click.echo(f"{table:<20} {'off' if table in missing else 'on'}")
