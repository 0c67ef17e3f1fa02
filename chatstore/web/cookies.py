"""Turns Flask's cookie sessions off."""

from typing import Any

from flask import Flask
from flask.sessions import SecureCookieSessionInterface, SessionMixin
from flask.wrappers import Request


class NoCookies(SecureCookieSessionInterface):
    """Flask's interface to cookie sessions, which opens and saves none.

    Flask's default creates a signer in every request if the application has a secret.
    """

    def open_session(self, app: Flask, request: Request) -> Any:
        """Return None, so that Flask uses its null session, which it never saves."""
        return None

    def save_session(self, app: Flask, session: SessionMixin, response: Any) -> None:
        """Save nothing."""
