"""Applications with API keys, and clients that carry one."""

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from chatstore.db import db, run_write
from chatstore.enums import Scope
from chatstore.models import AuditEntry
from chatstore.store.keys import create_key


def issue_key(app: Flask, owner_id: str, scope: Scope, **columns: Any) -> str:
    """Issue a key of `owner_id` and return its text."""
    with app.app_context():
        text, _ = run_write(create_key, owner_id=owner_id, scope=scope, **columns)
        return text


def bearer(text: str) -> dict[str, str]:
    """Return the header that carries a key or token."""
    return {"Authorization": f"Bearer {text}"}


def keyed_client(app: Flask, owner_id: str, scope: Scope = Scope.WRITE) -> FlaskClient:
    """Return a client with a new key of `owner_id`; `app` has auth=api-key."""
    client = app.test_client()
    client.environ_base.update(
        {"HTTP_AUTHORIZATION": bearer(issue_key(app, owner_id, scope))["Authorization"]}
    )
    return client


def audited_actors(app: Flask) -> list[str]:
    """Return the actor of each entry of the audit log, the oldest first."""
    with app.app_context():
        query = select(AuditEntry.actor).order_by(AuditEntry.id)
        return list(db.session.scalars(query))
