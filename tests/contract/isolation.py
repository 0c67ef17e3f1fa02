"""What alice has, how bob could ask for it, and how to compare two answers to him."""

import re
from typing import Any

from flask import Flask
from flask.testing import FlaskClient

from chatstore.db import db
from chatstore.models import ApiKey
from chatstore.web.auth import identify_caller
from tests.support import API, MISSING_ID, SESSIONS, messages_url, session_url
from tests.support.statements import recorded_statements

# Every text of alice's has this word, and no text of bob's.
CANARY = "canary"
SHARED_WORD = "pension"
# Values that no object of the API has.
MISSING = {
    "session_id": MISSING_ID,
    "message_id": 987_654_321,
    "external_id": "nobody/987654321",
    "key_id": "0" * 12,
    "share_id": "0" * 12,
}
_COMPARED_HEADERS = ("Content-Type", "ETag", "Allow", "Cache-Control")
# A body that the route accepts for an object of the caller's.
BODIES: dict[str, Any] = {
    "POST /sessions": {"name": "mine"},
    "PATCH /sessions/{session_id}": {"name": "taken over"},
    "POST /sessions/{session_id}/fork": {},
    "POST /sessions/{session_id}/messages": {"content": "hello"},
    "POST /sessions/{session_id}/messages/batch": {"messages": [{"content": "hello"}]},
    "PATCH /sessions/{session_id}/messages/{message_id}": {"content": "other"},
    "PUT /sessions/{session_id}/messages/{message_id}/feedback": {"rating": 1},
    "POST /sessions/bulk": {"action": "pin", "filter": {"tag": [f"{CANARY}-tag"]}},
    "PUT /sessions/by-external-id/{external_id}": {"name": "mine"},
    "POST /tags/rename": {"from": f"{CANARY}-tag", "to": "mine"},
    "POST /tags/delete": {"tag": f"{CANARY}-tag"},
    "POST /sessions/{session_id}/shares": {},
    "POST /keys": {"owner": "bob", "scope": "admin"},
}
# Lists whose pages have cursors, with what fills more than one page.
CURSOR_LISTS = {
    "/sessions": ("limit=1", "limit=1&sort=name&order=asc", "limit=1&trash=true"),
    "/search": (f"q={SHARED_WORD}&limit=1", f"q={SHARED_WORD}&limit=1&group=session"),
    "/feedback": ("limit=1",),
}
# What a caller can read without naming an object, with the parameters that matter.
READINGS = {
    "/audit": ("",),
    "/changes": ("",),
    "/feedback": ("", "?rating=1", f"?tag={SHARED_WORD}"),
    "/keys": ("",),
    "/me": ("",),
    "/models": ("",),
    "/search": (
        f"?q={SHARED_WORD}&count=true",
        f"?q={SHARED_WORD}&group=session&count=true",
        f"?q={SHARED_WORD}&sort=newest",
        f"?q={CANARY}&archived=any&count=true",
    ),
    "/sessions": (
        "?count=true",
        "?trash=true",
        "?archived=any&sort=name&pinned_first=true",
        f"?tag={SHARED_WORD}&fields=id,name",
        f"?tag={CANARY}-tag&archived=any&count=true",
        f"?metadata=customer:{CANARY}&archived=any",
    ),
    "/tags": ("", "?prefix=c"),
    "/usage": ("?split=model", "?split=role&by=hour"),
}


def seed(client: FlaskClient, word: str) -> dict[str, Any]:
    """Give the client's owner something of everything; return the ids, by parameter.

    Each text has `word`, so that it can be told from others' texts.
    """
    made = []
    # The spelling of an equal tag in somebody else's older session must not show.
    shared_tag = SHARED_WORD.upper() if word == CANARY else SHARED_WORD
    for number in (1, 2, 3):
        body = {
            "name": f"{word} {SHARED_WORD} {number}",
            "llm_model_name": f"{word}-model",
            "rag_document_ids": [f"{word}-document"],
            "metadata_tags": [f"{word}-tag", shared_tag],
            "metadata": {"customer": word},
            "external_id": f"{word}/{number}",
        }
        chat = client.post(SESSIONS, json=body).json
        for text in (f"{word} {SHARED_WORD} question", f"{word} {SHARED_WORD} answer"):
            turn = {"content": text, "usage": {"input_tokens": 7}}
            message = client.post(messages_url(chat), json=turn).json
            rating = {"rating": 1, "comment": word}
            client.put(f"{messages_url(chat)}/{message['id']}/feedback", json=rating)
        client.patch(
            f"{messages_url(chat)}/{message['id']}",
            json={"content": f"{word} {SHARED_WORD} edited"},
        )
        made.append((chat, message))
    client.patch(session_url(made[2][0]), json={"archived": True})
    for _ in range(2):
        trashed = client.post(SESSIONS, json={"name": f"{word} trashed"}).json
        assert client.delete(session_url(trashed)).status_code == 204
    chat, message = made[0]
    share = client.post(f"{session_url(chat)}/shares", json={}).json
    return {
        "session_id": chat["id"],
        "message_id": message["id"],
        "external_id": chat["external_id"],
        "trashed_id": trashed["id"],
        "share_id": share["id"],
        "key_id": _key_of(client),
    }


def _key_of(client: FlaskClient) -> str:
    with client.application.app_context():
        owner = client.get(f"{API}/me").json["owner"]
        found = db.session.query(ApiKey.id).filter_by(owner_id=owner).first()
    return str(found[0])


def operations(app: Flask) -> list[tuple[str, str, list[str], Any]]:
    """Return each route under the API whose caller is identified.

    That is its method, path below the API, parameters, and `Operation`.
    """
    found = []
    for rule in app.url_map.iter_rules():
        blueprint = rule.endpoint.rpartition(".")[0]
        if identify_caller not in app.before_request_funcs.get(blueprint, []):
            continue
        path = re.sub(r"<(?:[^:<>]+:)?(\w+)>", r"{\1}", rule.rule)
        names = re.findall(r"{(\w+)}", path)
        unknown = set(names) - MISSING.keys()
        assert not unknown, f"Add {unknown} to MISSING and to seed() in {__name__}."
        view = app.view_functions[rule.endpoint]
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            place = path.removeprefix(API).rstrip("/")
            found.append((method, place, names, getattr(view, "operation", None)))
    # Reads first, because some writes give bob what he asked for.
    return sorted(found, key=lambda each: each[0] != "GET")


def body_of(method: str, path: str, operation: Any) -> Any:
    """Return a body that the route accepts; fail with what to add."""
    route = f"{method} {path}"
    if operation is not None and operation.body is not None:
        assert route in BODIES, f"Add a body of {route} to BODIES in {__name__}."
    return BODIES.get(route)


def asked(
    client: FlaskClient, method: str, path: str, places: dict[str, Any], body: Any
) -> tuple[Any, list[str]]:
    """Send a request; return its answer without ids, and its SQL statements."""
    app = client.application
    with app.app_context(), recorded_statements() as statements:
        url = f"{API}{path.format(**places)}"
        response = client.open(url, method=method, json=body)
    text = response.text
    # Longer values first, because a short one may be part of a longer one.
    for value in sorted(map(str, places.values()), key=len, reverse=True):
        text = re.sub(rf"(?<![\w.]){re.escape(value)}(?![\w.])", "<place>", text)
    headers = {
        name: value for name, value in response.headers if name in _COMPARED_HEADERS
    }
    # A process reads a key again every second, whatever the request. On SQLite, this
    # read may begin the transaction.
    sent = [
        each
        for each in statements
        if "FROM api_keys" not in each and each != "BEGIN DEFERRED"
    ]
    return (response.status_code, without_ids(text), headers), sent


def without_ids(text: str) -> str:
    """Return an answer without what differs between any two answers."""
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "<id>", text)
    text = re.sub(r'"(request_id|next)":"[^"]*"', r'"\1":"…"', text)
    return re.sub(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "<time>", text)
