"""The route that tells a client who it is and what applies."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, current_app

from chatstore import __version__
from chatstore.clock import utc_now
from chatstore.schemas.me import MeSchema
from chatstore.settings import Settings
from chatstore.web.api import Operation
from chatstore.web.auth import current_caller, identify_caller

bp = Blueprint("me", __name__, url_prefix="/api/v1")
bp.before_request(identify_caller)


@bp.get("/me")
@Operation(answer=MeSchema)
def get_me() -> tuple[dict[str, Any], dict[str, str]]:
    """Return the caller's owner and scopes, the limits, and the server's time."""
    settings: Settings = current_app.config["CHATSTORE"]
    caller = current_caller()
    me = {
        "owner": caller.owner_id,
        "scopes": caller.scopes,
        "limits": asdict(settings),
        "default_model_name": settings.default_model_name,
        "server_time": utc_now(),
        "server_version": __version__,
    }
    return me, {"Cache-Control": "no-store"}
