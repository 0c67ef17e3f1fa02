"""An issuer of JSON Web Tokens: its keys, its tokens, and the server of its key set."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "a secret of 32 bytes, or of more"
# Long after all tests.
FAR_AWAY = 4_000_000_000


@cache
def rsa_key(name: str = "one", bits: int = 2048) -> rsa.RSAPrivateKey:
    """Return the RSA key of this name; it is the same in the whole run."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


@cache
def ec_key(name: str = "one", curve: type = ec.SECP256R1) -> ec.EllipticCurvePrivateKey:
    """Return the key of this name on an elliptic curve."""
    return ec.generate_private_key(curve())


def sign(
    claims: Mapping[str, Any] | None = None,
    key: Any = SECRET,
    algorithm: str = "HS256",
    **header: Any,
) -> str:
    """Return a token of alice, or with these claims; `header` adds to its header."""
    whole = {"sub": "alice", "exp": FAR_AWAY} | dict(claims or {})
    given = {name: each for name, each in whole.items() if each is not None}
    return jwt.encode(given, key, algorithm, headers=header)


def jwk(key: Any, **members: Any) -> dict[str, Any]:
    """Return the public half of a key as in a key set."""
    kind = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    return kind.to_jwk(key.public_key(), as_dict=True) | members


def key_set(*keys: Any) -> bytes:
    """Return a key set as it is sent."""
    return json.dumps({"keys": keys}).encode()


class Issuer:
    """A server of a key set; `content`, `status` and `gate` may change at any time."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.status = 200
        self.location = ""
        self.count = 0
        # Answers wait until it is set.
        self.gate = threading.Event()
        self.gate.set()
        self.url = ""


@contextmanager
def issuer(content: bytes) -> Iterator[Issuer]:
    """Serve a key set on a free port of this machine."""
    served = Issuer(content)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            served.count += 1
            served.gate.wait(30)
            with suppress(OSError):  # the client did not wait
                self.send_response(served.status)
                if served.location:
                    self.send_header("Location", served.location)
                self.end_headers()
                self.wfile.write(served.content)

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served.url = f"http://127.0.0.1:{server.server_address[1]}/jwks?v=1"
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield served
        finally:
            served.gate.set()
            server.shutdown()
            thread.join()
