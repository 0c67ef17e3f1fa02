"""What all administrators' commands share: the application, errors and progress."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import click
from flask import Flask
from sqlalchemy.exc import SQLAlchemyError

from chatstore.app import create_app
from chatstore.db import db
from chatstore.db.errors import db_error_text
from chatstore.errors import ChatstoreError
from chatstore.services import doctor
from chatstore.settings import Settings
from chatstore.store.verify.index import Progress


class Commands(click.Group):
    """A command group that turns errors into one sentence and exit code 1."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except ChatstoreError as error:
            raise click.ClickException(error.detail) from error
        except SQLAlchemyError as error:
            cause = db_error_text(error)
            raise click.ClickException(f"The database failed: {cause}") from error


class Age(click.ParamType):  # type: ignore[type-arg]
    """A length of time such as 90m, 36h or 7d."""

    name = "age"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> timedelta:
        parts = re.fullmatch(r"([0-9]{1,5})([mhd])", str(value))
        if not parts:
            self.fail(f"{value!r} is not an age. Give, for example, 90m, 36h or 7d.")
        unit = {"m": "minutes", "h": "hours", "d": "days"}[parts[2]]
        return timedelta(**{unit: int(parts[1])})


AGE = Age()


def create_admin_app(
    *, creates_files: bool = False, needs_database: bool = True
) -> Flask:
    """Return the application, whose connections close when the command ends.

    Raises ClickException if the database file is missing.
    """
    # A command may run for hours, so it has no statement timeout.
    settings = replace(Settings.from_env(), statement_timeout_seconds=0)
    path = settings.sqlite_path
    if needs_database and not creates_files and path is not None:
        absence = doctor.explain_missing_file(path)
        if absence:
            raise click.ClickException(absence)
    app = create_app(settings, creates_files=creates_files)
    click.get_current_context().call_on_close(partial(_close_connections, app))
    return app


def _close_connections(app: Flask) -> None:
    with app.app_context():
        db.engine.dispose()


@contextmanager
def progress_line() -> Iterator[Progress]:
    """Yield a function that shows the progress in one line, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    erase = "\r\033[K"
    try:
        yield lambda text: click.echo(f"{erase}{text}", nl=False, err=True)
    finally:
        click.echo(erase, nl=False, err=True)
