"""Creates the application; only entry points and tests import this module."""

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from flask import Flask
from flask.sessions import SessionInterface
from werkzeug.middleware.proxy_fix import ProxyFix

from chatstore.access.share_reads import ShareReads
from chatstore.app_state import add_to_app
from chatstore.db import init_database
from chatstore.db.group_commit import init_group_commit
from chatstore.errors import SettingsError
from chatstore.logs import configure_logs
from chatstore.routes import API_BLUEPRINTS, PAGE_BLUEPRINTS
from chatstore.services.background import init_background
from chatstore.services.quotas import init_quotas
from chatstore.settings import PREFIX, Settings
from chatstore.shell import init_shell
from chatstore.web.auth import init_auth
from chatstore.web.converters import init_converters
from chatstore.web.cors import init_cors
from chatstore.web.hosts import init_hosts
from chatstore.web.json_provider import OrjsonProvider
from chatstore.web.observe import init_observation
from chatstore.web.openapi import init_openapi
from chatstore.web.problems import init_problems
from chatstore.web.rate_limits import init_rate_limits
from chatstore.web.streaming import init_streaming
from chatstore.web.waiting_room import init_waiting

# token_urlsafe(32) returns 43 characters, so a shorter secret was cut off.
_WHOLE_SECRET = re.compile(r"[^\0-\x1f\ufffd]{43,}")


class _NoSessions(SessionInterface):
    """Reads no cookie: Flask's own sessions take a tenth of a small request."""

    def open_session(self, *_: object) -> None:
        return None


def create_app(
    settings: Settings | None = None, *, creates_files: bool = True
) -> Flask:
    """Return the application; `settings` defaults to `Settings.from_env()`.

    Opens no connection. If `creates_files` is false, it creates neither a database file
    nor a secret file, so the database must exist. Raises SettingsError.
    """
    settings = settings or Settings.from_env()
    app = Flask(__name__, static_folder=None)
    configure_logs(level=settings.log_level, style=settings.log_format)
    _configure_database(app, settings, creates_files)
    _configure_requests(app, settings, creates_files)
    _configure_routes(app)
    _configure_proxies(app, settings)
    init_background(app)
    init_shell(app)
    return app


def _configure_requests(app: Flask, settings: Settings, creates_files: bool) -> None:
    app.session_interface = _NoSessions()
    app.config["CHATSTORE"] = settings
    app.config["SECRET_KEY"] = settings.secret_key or _secret_key(
        settings, creates_files
    )
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.json = OrjsonProvider(app)
    app.url_map.strict_slashes = False
    app.url_map.merge_slashes = False
    init_observation(app)
    init_hosts(app, settings)
    init_cors(app, settings)
    init_rate_limits(app, settings)
    init_auth(app, settings)
    init_quotas(app, settings)
    add_to_app(app, ShareReads())
    init_streaming(app, settings)
    init_waiting(app, settings)
    init_problems(app)


def _configure_database(app: Flask, settings: Settings, creates_files: bool) -> None:
    if settings.sqlite_path is not None and creates_files:
        _create_private_file(settings.sqlite_path, f"{PREFIX}DATABASE_URL")
    init_database(app, settings, creates_files=creates_files)
    if settings.sqlite_path is not None:
        init_group_commit(app, timeout_seconds=settings.lock_timeout_seconds)


def _configure_routes(app: Flask) -> None:
    init_converters(app)
    for blueprint in (*API_BLUEPRINTS, *PAGE_BLUEPRINTS):
        app.register_blueprint(blueprint)
    init_openapi(
        app, {bp.name: description for bp, description in API_BLUEPRINTS.items()}
    )


def _configure_proxies(app: Flask, settings: Settings) -> None:
    hops = settings.proxy_hops
    if hops:
        app.wsgi_app = ProxyFix(  # type: ignore[method-assign]
            app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops
        )


def _secret_key(settings: Settings, creates_files: bool) -> str:
    """Return the secret from the file next to the database; create it if missing."""
    if not creates_files:
        return secrets.token_urlsafe(32)  # a command signs no cursor for a client
    path = settings.sqlite_path or Path("instance/chatstore.db").absolute()
    path = path.with_name("secret_key")
    _create_folder(path.parent, f"{PREFIX}SECRET_KEY")
    try:
        if not path.exists():
            _create_secret_file(path)
        secret = path.read_bytes().decode(errors="replace").strip()
    except OSError as error:
        raise SettingsError(
            f"{PREFIX}SECRET_KEY is not set, and {path} cannot be read or created:"
            f" {error.strerror}. Set {PREFIX}SECRET_KEY to a long random text."
        ) from error
    if not _WHOLE_SECRET.fullmatch(secret):
        # Anybody could sign with an empty secret, so we refuse it. Other processes may
        # have read the file, or it may be the user's own, so we do not replace it.
        raise SettingsError(
            f"{path} is empty, incomplete or damaged. Remove the file, and the next"
            " start creates a new secret, which invalidates the cursors of clients. Or"
            f" set {PREFIX}SECRET_KEY to a long random text."
        )
    return secret


def _create_secret_file(path: Path) -> None:
    # We flush the file before we link its name, so a crash leaves all of it or none.
    # hardlink_to fails if the name exists, so the secret of another process stays.
    temporary = path.with_name(f"secret_key.{secrets.token_hex(8)}")
    temporary.touch(mode=0o600)
    try:
        with temporary.open("w") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(temporary)
    finally:
        temporary.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _create_private_file(path: Path, variable: str) -> None:
    # SQLite would create a file that all users of the machine can read, so we create
    # the file first.
    _create_folder(path.parent, variable)
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written ({error.strerror}): see {variable}."
        ) from error


def _create_folder(folder: Path, variable: str) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The folder {folder} cannot be created ({error.strerror}): see {variable}."
        ) from error
