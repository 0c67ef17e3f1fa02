"""The route that tells a client who it is and what applies."""

from dataclasses import asdict
from typing import Any

from flask import Blueprint, current_app

from chatstore import __version__
from chatstore.clock import utc_now
from chatstore.db import run_write
from chatstore.enums import AuditAction
from chatstore.schemas.me import MeSchema
from chatstore.settings import Settings
from chatstore.store import logins
from chatstore.web.api import Operation
from chatstore.web.audit import note_act
from chatstore.web.auth import current_caller, current_owner, identify_caller

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


@bp.delete("/me/logins")
@Operation(status=204)
def end_logins() -> None:
    """End all logins of the caller's owner, in every browser."""
    run_write(_end_logins)


def _end_logins() -> None:
    if count := logins.delete_logins_of(current_owner()):
        note_act(AuditAction.LOGGED_OUT, count=count)
