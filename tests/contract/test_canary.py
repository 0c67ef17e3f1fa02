"""No secret and no text of a message reaches a log line."""

import io
import json
import sys
from collections import Counter
from functools import partial

import pytest

from chatstore.enums import Scope
from chatstore.logs import configure_logs
from chatstore.web.auth import LOCAL_OWNER
from tests.support import API, SESSIONS, messages_url
from tests.support.access import bearer, issue_key

CANARY = "canaryword"
COOKIE = "chc_" + "cookiecanary" * 5


@pytest.fixture
def logged(monkeypatch, make_app):
    """Return an application, and a function that returns what it logged."""
    stderr = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stderr)
    yield make_app(auth="api-key", log_level="debug"), stderr.getvalue
    monkeypatch.undo()
    configure_logs(level="info", style="json")


def test_no_log_line_has_a_key_a_cookie_or_the_text_of_a_message(logged):
    app, read = logged
    key = issue_key(app, LOCAL_OWNER, Scope.ADMIN)
    # One has a wrong checksum, one does not exist, one is of no known form.
    other = f"{key[:-1]}{'a' if key[-1] != 'a' else 'b'}"
    refused = [other, issue_key(app, "x", Scope.READ)[:-6] + "000000", f"x{CANARY}"]
    client = app.test_client()
    send = partial(client.open, buffered=True)  # a line is logged at the end
    client.set_cookie("chatstore", COOKIE)
    for text in refused:
        headers = bearer(text) | {"Cookie": f"chatstore={COOKIE}"}
        assert send(SESSIONS, headers=headers).status_code == 401
    headers = bearer(key)
    chat = send(SESSIONS, method="POST", json={"name": CANARY}, headers=headers).json
    url = messages_url(chat)
    for body in ({"content": CANARY}, {"content": CANARY, "role": CANARY}, [CANARY]):
        send(url, method="POST", json=body, headers=headers | {"Idempotency-Key": "k"})
    send(url, method="POST", data=f'{{"content": "{CANARY}', headers=headers)
    send(f"{API}/search?q={CANARY}", headers=headers)
    send(f"{SESSIONS}?cursor={CANARY}", headers=headers)
    purge = {"action": "purge", "ids": [chat["id"]]}
    send(f"{SESSIONS}bulk", method="POST", json=purge, headers=headers)
    events = Counter(json.loads(line)["event"] for line in read().splitlines())
    assert events["request"] > 9
    assert events["login failed"] == len(refused)
    assert events["audit"] == 1
    for secret in (key[4:], key[16:30], *refused, COOKIE, CANARY):
        assert secret not in read()
