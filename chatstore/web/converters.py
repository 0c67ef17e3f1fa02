"""Converts parts of a URL's path to values of the API."""

from flask import Flask, request
from werkzeug.exceptions import NotFound
from werkzeug.routing import BaseConverter

from chatstore.access.secret_tokens import ID_LENGTH
from chatstore.schemas.fields import EXTERNAL_ID_LENGTH


class ExternalIdConverter(BaseConverter):
    """An external id, which may hold slashes; it is the whole rest of the path.

    Servers decode `%2F` before they pass the path on, so a slash is the same either
    way. A rest that cannot be an external id matches no route.
    """

    # Werkzeug's own `path` stops at a line break and at a slash in front.
    regex = rf"[^\x00]{{1,{EXTERNAL_ID_LENGTH}}}"
    part_isolating = False

    def to_python(self, value: str) -> str:
        """Return the external id; raise NotFound if the path is not UTF-8."""
        # Werkzeug would answer its own ValidationError with 405.
        if not _is_utf8_path():
            raise NotFound
        return value


class TokenIdConverter(BaseConverter):
    """The id of a secret token: of an API key or a shared link."""

    regex = f"[0-9A-Za-z]{{{ID_LENGTH}}}"


class TokenConverter(BaseConverter):
    """The token of a shared link, well-formed or not.

    Malformed ones match too, so all get the same 404, and the log has only the rule.
    """


def init_converters(app: Flask) -> None:
    """Let the rules of `app` have our types of parameters, such as `<token_id:…>`."""
    app.url_map.converters["token_id"] = TokenIdConverter
    app.url_map.converters["external_id"] = ExternalIdConverter
    app.url_map.converters["token"] = TokenConverter


def _is_utf8_path() -> bool:
    # Werkzeug replaces bytes that are no UTF-8, so two paths would be one id.
    path: str = request.environ["PATH_INFO"]
    try:
        path.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
