"""Serves the files that pages load, compressed for browsers that ask for it."""

from flask import Blueprint, Response, abort, request

from chatstore.web.observe import forbid_storing
from chatstore.web.static_files import package_files

bp = Blueprint("static_files", __name__)

_FOR_EVER = "public, max-age=31536000, immutable"


@bp.get("/static/<path:filename>")
def get_file(filename: str) -> Response:
    """Return a file; 404 for one of another version, whose page must load again."""
    file, is_versioned = package_files().find(filename)
    if file is None:
        forbid_storing()
        abort(404)
    packed = file.gzipped if request.accept_encodings["gzip"] else None
    response = Response(packed or file.plain, content_type=file.content_type)
    response.headers["Vary"] = "Accept-Encoding"
    if packed:
        response.headers["Content-Encoding"] = "gzip"
    if is_versioned:
        response.headers["Cache-Control"] = _FOR_EVER
    return response


@bp.app_template_global()
def static_url(name: str) -> str:
    """Return the URL of a file, for templates."""
    return package_files().url(name)
