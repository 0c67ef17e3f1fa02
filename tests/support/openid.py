"""A small OpenID provider: discovery, authorization, tokens and keys."""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

from tests.support.tokens import jwk, key_set, rsa_key, sign

CLIENT_ID, CLIENT_SECRET = "chatstore at work", "s3cret: of the client"


class Provider:
    """What the provider does; a test may change it at any time."""

    def __init__(self) -> None:
        self.url = ""
        # Changes of the claims of each ID token; None leaves one out.
        self.claims: dict[str, Any] = {}
        self.key: Any = rsa_key()
        self.algorithm = "RS256"
        self.id_token: Any = None
        # Members of the metadata to change.
        self.metadata: dict[str, Any] = {}
        # What a path answers in place of its own answer: status and body.
        self.answers: dict[str, tuple[int, bytes]] = {}
        self.asked: list[str] = []
        self.bodies: list[dict[str, str]] = []
        self.codes: dict[str, dict[str, str]] = {}

    def sign_in(self, url: str) -> str:
        """Sign a user in at the URL of an authorization; return where that leads."""
        asked = dict(parse_qsl(urlsplit(url).query))
        assert asked["response_type"] == "code"
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        code = secrets.token_urlsafe()
        self.codes[code] = asked
        query = urlencode({"code": code, "state": asked["state"], "iss": self.url})
        return f"{asked['redirect_uri']}?{query}"

    def answer(self, path: str, body: str, authorization: str) -> tuple[int, bytes]:
        self.asked.append(path)
        if path in self.answers:
            return self.answers[path]
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self._metadata()).encode()
        if path == "/jwks":
            return 200, key_set(jwk(rsa_key(), kid="one"))
        return self._token(dict(parse_qsl(body)), authorization)

    def _metadata(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize?tenant=1",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
        } | self.metadata

    def _token(self, given: dict[str, str], authorization: str) -> tuple[int, bytes]:
        self.bodies.append(given)
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        by_post = (given.get("client_id"), given.get("client_secret"))
        if authorization != f"Basic {basic}" and by_post != (CLIENT_ID, CLIENT_SECRET):
            return 401, b'{"error": "invalid_client"}'
        asked = self.codes.pop(given["code"], None)
        digest = hashlib.sha256(given["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != given["redirect_uri"]
        ):
            return 400, b'{"error": "invalid_grant"}'
        claims = {"iss": self.url, "aud": CLIENT_ID, "nonce": asked["nonce"]}
        token = sign(claims | self.claims, self.key, self.algorithm, kid="one")
        found = {"access_token": "x", "token_type": "Bearer", "id_token": token}
        if self.id_token is not None:
            found["id_token"] = self.id_token
        return 200, json.dumps(found).encode()


@contextmanager
def openid_provider() -> Iterator[Provider]:
    """Serve a provider on a free port of this machine."""
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            status, body = provider.answer(
                self.path,
                self.rfile.read(length).decode(),
                self.headers.get("Authorization", ""),
            )
            with suppress(OSError):  # the client has read enough
                self.send_response(status)
                if 300 <= status < 400:
                    self.send_header("Location", f"{provider.url}/elsewhere")
                self.end_headers()
                self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        provider.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield provider
        finally:
            server.shutdown()
            thread.join()


def query_of(url: str) -> dict[str, list[str]]:
    """Return the parameters of a URL."""
    return parse_qs(urlsplit(url).query)
