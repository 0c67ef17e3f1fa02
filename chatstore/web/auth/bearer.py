"""Reads the header `Authorization: Bearer` (RFC 6750, section 2.1)."""

import re

from flask import request

from chatstore.errors import MalformedRequest

# A key has 65 characters; an RS256 token with many claims has a few thousand.
_MAX_LENGTH = 8192
_BEARER = re.compile(r"bearer +([A-Za-z0-9._~+/-]+=*)", re.IGNORECASE)


def read_bearer_token() -> str | None:
    """Return the token of the request, or None without the header.

    Raises MalformedRequest if the header is repeated or is no single bearer token.
    """
    header: str | None = request.environ.get("HTTP_AUTHORIZATION")
    if header is None:
        return None
    # Repeated headers arrive as one, with a comma, which no token has.
    match = _BEARER.fullmatch(header) if len(header) <= _MAX_LENGTH else None
    if match is None:
        raise MalformedRequest(
            "The header Authorization must be one bearer token: Authorization: Bearer"
            " and the key."
        )
    return match[1]
