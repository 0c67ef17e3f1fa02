"""Keeps no session in a cookie: there is none to read, and none to sign."""

from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask.wrappers import Request


class NoCookies(SecureCookieSessionInterface):
    """Flask's interface to cookie sessions, without them.

    Its own makes a signer for every request of an application that has a secret.
    """

    def open_session(self, app: Flask, request: Request) -> Any:
        """Return none, so that Flask takes its null session, which it never saves."""
        return None

    def save_session(self, app: Flask, session: SessionMixin, response: Any) -> None:
        """Save nothing."""
