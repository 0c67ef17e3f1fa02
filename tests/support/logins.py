"""Clients that log in as a browser does."""

from flask import Flask
from flask.testing import FlaskClient

from chatstore.enums import Scope
from tests.support.access import issue_key

OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


def logged_in_client(
    app: Flask, owner_id: str, scope: Scope = Scope.WRITE
) -> FlaskClient:
    """Return a client with the cookie of a login; `app` has auth=api-key."""
    client = app.test_client()
    key = issue_key(app, owner_id, scope)
    client.post("/login", data={"key": key}, headers=OWN_PAGE)
    assert client.get_cookie("chatstore")
    return client
