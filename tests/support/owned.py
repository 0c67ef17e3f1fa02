"""Gives an owner something in every table."""

from datetime import timedelta
from uuid import UUID

from flask import Flask
from flask.testing import FlaskClient

from chatstore.clock import utc_now
from chatstore.db import db, run_write
from chatstore.enums import Scope
from chatstore.models import LoginSession, Share
from chatstore.services.usage import add_usage
from chatstore.store.usage import Bounds
from tests.support.access import keyed_client
from tests.support.api import API, SESSIONS, messages_url, session_url


def fill_owner(app: Flask, owner_id: str) -> FlaskClient:
    """Give the owner rows in every table; return the owner's client.

    There are two sessions, one of them in the trash, and three messages; one message
    is edited and rated. `app` has auth=api-key.
    """
    client = keyed_client(app, owner_id, Scope.WRITE)
    body = {
        "name": f"name of {owner_id}",
        "external_id": "chat 1",
        "metadata_tags": ["Tag"],
        "messages": [{"content": f"word of {owner_id}"}, {"content": "second"}],
    }
    kept = client.post(SESSIONS, json=body, headers={"Idempotency-Key": "k"}).json
    message = client.get(messages_url(kept)).json["messages"][0]
    url = f"{messages_url(kept)}/{message['id']}"
    assert client.patch(url, json={"content": f"edited by {owner_id}"}).json
    assert client.put(f"{url}/feedback", json={"rating": 1}).status_code == 200
    trashed = client.post(SESSIONS, json={"messages": [{"content": "third"}]}).json
    assert client.delete(session_url(trashed)).status_code == 204
    assert client.get(f"{API}/tags").json["tags"]
    with app.app_context():
        add_usage(bounds=Bounds(lag=timedelta(0)))
        run_write(_add_login_and_share, owner_id, kept["id"])
    return client


def _add_login_and_share(owner_id: str, session_id: str) -> None:
    now = utc_now()
    secret = {"owner_id": owner_id, "sha256": "5" * 64, "created_at": now}
    place = f"{owner_id:x<12}"[:12]
    end = now + timedelta(days=1)
    db.session.add(
        LoginSession(
            id=place, scope="write", last_seen_at=now, expires_at=end, **secret
        )
    )
    db.session.add(Share(id=place, session_id=UUID(session_id), reads=0, **secret))
    db.session.flush()
