"""`chatstore static`: write the files of the web UI for nginx."""

from pathlib import Path

import click

from chatstore.settings import Settings
from chatstore.web.static_files import package_files


@click.command("static")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def static_command(folder: Path) -> None:
    """Write the files of the web UI to FOLDER, for nginx to serve.

    Files of other versions stay, for the pages that are still open.
    """
    Settings.from_env()  # a wrong setting stops every command
    files = package_files()
    target = folder / files.base.strip("/")
    try:
        if not target.exists():
            files.write_to(target)
    except OSError as error:
        raise click.ClickException(
            f"{target} cannot be written: {error.strerror}."
        ) from error
    click.echo(target)
