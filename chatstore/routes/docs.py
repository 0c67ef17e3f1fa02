"""Serves the API document and a page that shows it; loads nothing from other hosts."""

from importlib.resources import files

from flask import (
    Blueprint,
    Response,
    make_response,
    render_template,
    send_from_directory,
)

from chatstore.web.openapi import openapi_json
from chatstore.web.responses import JSON

bp = Blueprint("docs", __name__)

_ASSETS = str(files("flask_swagger_ui") / "dist")
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)


@bp.get("/docs")
def show_docs() -> Response:
    """Return the page that shows the API document."""
    page = make_response(render_template("docs.html"))
    page.headers["Content-Security-Policy"] = _POLICY
    return page


@bp.get("/openapi.json")
def get_openapi() -> Response:
    """Return the API document."""
    return Response(openapi_json(), mimetype=JSON)


@bp.get("/docs/assets/<path:name>")
def get_asset(name: str) -> Response:
    """Return a file of Swagger UI, as its package ships it."""
    return send_from_directory(_ASSETS, name, max_age=86400)
