"""Turns the routes of shared links off by the setting `sharing`."""

from flask import current_app

from chatstore.errors import NotFound
from chatstore.settings import PREFIX


def require_sharing() -> None:
    """Refuse the request if this server shares no sessions."""
    if not current_app.config["CHATSTORE"].sharing:
        raise NotFound(f"This server shares no sessions ({PREFIX}SHARING).")
