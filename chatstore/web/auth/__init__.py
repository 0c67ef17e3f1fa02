"""Identifies the caller of a request, for each blueprint of the API.

`Authenticator` asks the methods of the setting `auth` in turn. A method returns None if
the request has no credential of its kind, and raises Unauthorized for a wrong one.
"""

from chatstore.access.owners import LOCAL_OWNER
from chatstore.web.auth.authenticator import init_auth
from chatstore.web.auth.callers import (
    Caller,
    current_caller,
    current_owner,
    identify_caller,
    require_admin,
)

__all__ = (
    "LOCAL_OWNER",
    "Caller",
    "current_caller",
    "current_owner",
    "identify_caller",
    "init_auth",
    "require_admin",
)
