"""No header that proves nothing lets anybody in, or breaks the server.

`make fuzz-auth` sends 100,000 of them.
"""

import os
from collections import Counter
from itertools import islice

import pytest

from chatstore.enums import Scope
from tests.support import API, MISSING_ID, SESSIONS, on_sqlite
from tests.support.access import bearer, issue_key
from tests.support.hostile import Valid, hostile_environs
from tests.support.tokens import SECRET, jwk, key_set, rsa_key, sign

pytestmark = on_sqlite
COUNT = int(os.environ.get("HOSTILE_HEADERS", "2000"))
REQUESTS = [
    ("GET", f"{API}/me"),
    ("GET", SESSIONS),
    ("POST", SESSIONS),
    ("DELETE", f"{SESSIONS}{MISSING_ID}"),
]


@pytest.fixture
def app(make_app, tmp_path):
    """The application with all modes at once; it logs only errors."""
    keys = tmp_path / "jwks.json"
    keys.write_bytes(key_set(jwk(rsa_key(), kid="r")))
    return make_app(
        auth="api-key,jwt,proxy",
        jwt_secret=SECRET,
        jwks=str(keys),
        trusted_proxies="10.0.0.0/8",
        log_level="error",
        failed_logins_per_minute=0,  # it would answer the others for the methods
    )


def test_no_hostile_header_lets_anybody_in(app):
    client = app.test_client()
    valid = Valid(issue_key(app, "alice", Scope.ADMIN), sign({"jti": "x" * 40}))
    for text in (valid.key, valid.token):
        assert client.get(SESSIONS, headers=bearer(text)).status_code == 200
    statuses = Counter()
    for number, environ in enumerate(islice(hostile_environs(17, valid), COUNT)):
        method, path = REQUESTS[number % len(REQUESTS)]
        body = {"json": {}} if method == "POST" else {}
        response = client.open(path, method=method, environ_overrides=environ, **body)
        assert response.status_code in (400, 401), (number, environ)
        statuses[response.status_code] += 1
    assert min(statuses[400], statuses[401]) > COUNT / 10
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {valid.key}"
    assert client.get(SESSIONS).json["sessions"] == []
