"""Credentials that prove nothing, made from a seed: random, damaged and forged ones."""

import base64
import hmac
import json
import random
import string
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from chatstore.access.secret_tokens import API_KEY_PREFIX, new_token
from tests.support.tokens import FAR_AWAY, SECRET, jwk, rsa_key, sign

_TOKEN_CHARACTERS = string.ascii_letters + string.digits + "._-~+/="
_SCHEMES = ["Basic", "Digest", "Token", "Negotiate", "bear er", "", "Bearer,", "Béarer"]
_PUBLIC_PEM = (
    rsa_key()
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
)
_NO_TIMES = [0, 1, -1, "4000000000", None, True, [], {}, 1e308, float("inf"), 10**400]
_NO_OWNERS = ["", " ", "a\0b", "\ud800", "a" * 256, 7, None, ["alice"], {}, "\u202ea\n"]
_UNSAFE_MEMBERS: list[dict[str, Any]] = [
    {"jku": "http://127.0.0.1:9/keys"},
    {"x5u": "http://127.0.0.1:9/cert"},
    {"jwk": jwk(rsa_key("eve"))},
    {"crit": ["exp"]},
    {"typ": "logout+jwt"},
    {"kid": 7},
    {"b64": False},
]


@dataclass(frozen=True)
class Valid:
    """Credentials that are accepted, of which others are damaged copies."""

    key: str
    token: str


def hostile_environs(seed: int, valid: Valid) -> Iterator[dict[str, str]]:
    """Yield parts of WSGI environments without end; none may be let in."""
    chance = random.Random(seed)
    kinds: list[Callable[[], dict[str, str]]] = [
        lambda: {"HTTP_AUTHORIZATION": _noise(chance)},
        lambda: _bearer(_text(chance, _TOKEN_CHARACTERS)),
        lambda: _bearer(new_token(API_KEY_PREFIX)[0]),
        lambda: _bearer(_damaged(chance, valid.key)),
        lambda: _bearer(_damaged(chance, valid.token)),
        lambda: _bearer(_forged(chance, valid.token)),
        lambda: _bearer(_signed(chance)),
        lambda: _bearer(f"{chance.choice([valid.key, valid.token])}, Bearer x"),
        lambda: _bearer("a" * chance.randrange(8_000, 100_000)),
        lambda: _bearer(f"{valid.key}\0{_noise(chance)}"),
        lambda: {
            "HTTP_AUTHORIZATION": f"{chance.choice(_SCHEMES)} "
            f"{chance.choice([valid.key, valid.token])}"
        },
        lambda: {"HTTP_X_FORWARDED_USER": _noise(chance), "REMOTE_ADDR": "192.0.2.1"},
        lambda: {
            "HTTP_X_FORWARDED_USER": chance.choice(["", " ", "a,b", "\0", "\xff"]),
            "REMOTE_ADDR": "10.0.0.1",
        },
        lambda: {"HTTP_X_CHATSTORE_OWNER": _noise(chance)},
        lambda: {"HTTP_COOKIE": _noise(chance)},
    ]
    while True:
        yield chance.choice(kinds)()


def _bearer(text: str) -> dict[str, str]:
    return {"HTTP_AUTHORIZATION": f"Bearer {text}"}


def _text(chance: random.Random, characters: str) -> str:
    length = int(chance.paretovariate(0.5)) % 2000
    return "".join(chance.choices(characters, k=length))


def _noise(chance: random.Random) -> str:
    return _text(chance, "".join(map(chr, range(256))))


def _damaged(chance: random.Random, good: str) -> str:
    """Return `good` with some characters changed, inserted or removed."""
    text = good
    while text == good:
        for _ in range(chance.randrange(1, 4)):
            place = chance.randrange(len(text))
            new = chance.choice(["", chance.choice(_TOKEN_CHARACTERS), "é", " ", "\t"])
            text = text[:place] + new + text[place + chance.randrange(2) :]
        text = chance.choice([text, text, text.swapcase(), text[: len(text) // 2]])
    return text


def _forged(chance: random.Random, good: str) -> str:
    """Return a token whose header or claims were changed after it was signed."""
    header, claims, signature = good.split(".")
    if chance.random() < 0.5:
        algorithm = chance.choice(["none", "None", "HS384", "RS256", "ES256", "", None])
        header = _encode({"alg": algorithm, "typ": "JWT"})
        signature = chance.choice([signature, "", _encode("x")])
    elif chance.random() < 0.5:
        claims = _encode({"sub": "root", "exp": 4_000_000_000, "n": chance.random()})
    else:
        header, claims = chance.choice(
            [(header, _encode(b"[" * 3000)), (_encode(b'{"a":' * 900), claims)]
        )
    return f"{header}.{claims}.{signature}"


def _signed(chance: random.Random) -> str:
    """Return a token with a right signature, or one by a key that is not ours."""
    return chance.choice(
        [
            lambda: _sign({"exp": chance.choice(_NO_TIMES)}),
            lambda: _sign({chance.choice(["nbf", "iat"]): 3_999_999_999}),
            lambda: _sign({"sub": chance.choice(_NO_OWNERS)}),
            lambda: _sign(header=chance.choice(_UNSAFE_MEMBERS)),
            lambda: _sign(secret=SECRET + _text(chance, "ab") + "c"),
            lambda: _sign(header={"alg": "HS512"}, digest="sha512"),
            lambda: _sign(secret=_PUBLIC_PEM, header={"kid": "r"}),
            lambda: _sign(secret=_PUBLIC_PEM, header={"kid": "r", "alg": "RS256"}),
            lambda: sign(key=rsa_key("eve"), algorithm="RS256", kid="r"),
        ]
    )()


def _sign(
    claims: dict[str, Any] | None = None,
    *,
    header: dict[str, Any] | None = None,
    secret: str = SECRET,
    digest: str = "sha256",
) -> str:
    """Sign what PyJWT refuses to sign."""
    head = {"alg": "HS256"} | (header or {})
    body = {"sub": "alice", "exp": FAR_AWAY} | (claims or {})
    text = f"{_encode(head)}.{_encode(body)}"
    return f"{text}.{_encode(hmac.digest(secret.encode(), text.encode(), digest))}"


def _encode(value: Any) -> str:
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
