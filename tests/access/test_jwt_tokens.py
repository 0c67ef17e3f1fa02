import base64
import hashlib
import hmac
import json
import string
from datetime import UTC, datetime

import pytest
from cryptography.hazmat.primitives import serialization

from chatstore.access.jwt_tokens import (
    TokenRules,
    VerifyingKey,
    read_header,
    verify_token,
)
from chatstore.enums import Scope
from chatstore.errors import InsufficientScope, Unauthorized
from tests.support.tokens import SECRET, ec_key, rsa_key, sign

NOW = datetime(2026, 11, 29, 12, tzinfo=UTC)
NOON = int(NOW.timestamp())
HMAC_KEY = VerifyingKey("HS256", SECRET)


def verify(text, key=HMAC_KEY, **rules):
    read_header(text)
    return verify_token(text, key, TokenRules(**rules), NOW)


def encode(value):
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def unsigned(header, claims=b'{"sub": "alice", "exp": 4000000000}'):
    return f"{encode(header)}.{encode(claims)}.{encode(b'x' * 32)}"


@pytest.mark.parametrize(
    ("algorithm", "private"), [("RS256", rsa_key), ("ES256", ec_key)]
)
def test_a_token_of_each_algorithm_names_its_owner(algorithm, private):
    text = sign(key=private(), algorithm=algorithm)
    found = verify(text, VerifyingKey(algorithm, private().public_key()))
    assert (found.owner_id, found.scopes) == ("alice", (Scope.READ, Scope.WRITE))
    with pytest.raises(Unauthorized, match="signature"):
        verify(text, VerifyingKey(algorithm, private("two").public_key()))


def test_a_public_key_is_no_shared_secret():
    public = rsa_key().public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    # PyJWT refuses to sign so, because this is how to attack a careless verifier.
    body = f"{encode({'alg': 'HS256'})}.{encode({'sub': 'eve', 'exp': 4000000000})}"
    digest = hmac.new(pem, body.encode(), hashlib.sha256).digest()
    with pytest.raises(Unauthorized, match="signature"):
        verify(f"{body}.{encode(digest)}", VerifyingKey("RS256", public))


@pytest.mark.parametrize(
    "header",
    [
        {"alg": "none"},
        {"alg": "None"},
        {"alg": "HS512"},
        {"alg": None},
        {"alg": ["HS256"]},
        {},
        {"alg": "HS256", "jku": "https://evil.example/keys"},
        {"alg": "HS256", "x5u": "https://evil.example/cert"},
        {"alg": "HS256", "x5c": ["MII"]},
        {"alg": "HS256", "jwk": {"kty": "oct", "k": "AA"}},
        {"alg": "HS256", "crit": ["exp"]},
        {"alg": "HS256", "b64": False},
        {"alg": "HS256", "typ": "logout+jwt"},
        {"alg": "HS256", "typ": 1},
        {"alg": "HS256", "kid": 1},
        {"alg": "HS256", "kid": "x" * 257},
        ["HS256"],
        b"not JSON",
        b"\xff",
        b"[" * 3000,
    ],
    ids=str,
)
def test_a_header_that_is_not_plain_is_refused(header):
    with pytest.raises(Unauthorized):
        read_header(unsigned(header))


@pytest.mark.parametrize("claims", [b"[" * 3000, b"[]", b"no JSON", b"\xff"])
def test_claims_that_cannot_be_read_are_refused(claims):
    text = unsigned({"alg": "HS256"}, claims)
    with pytest.raises(Unauthorized, match="no JSON object"):
        verify(text)


@pytest.mark.parametrize("text", ["", ".", "..", "a.b", "a.b.c.d.e", "a.é.c", "a.b=.c"])
def test_a_text_of_another_form_is_refused(text):
    with pytest.raises(Unauthorized):
        read_header(text)


def test_no_other_spelling_of_a_token_is_accepted():
    text = sign()
    # The last character has four bits of the signature and two that Python ignores.
    digits = (
        string.ascii_letters[26:] + string.ascii_letters[:26] + string.digits + "-_"
    )
    last = digits.index(text[-1])
    others = [text[:-1] + digits[last + more] for more in (1, 2, 3)]
    for other in [*others, text[:-5] + "~" + text[-5:], text + "="]:
        with pytest.raises(Unauthorized):
            read_header(other)


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"exp": None}, "no exp"),
        ({"exp": NOON - 30}, "expired"),
        ({"exp": "4000000000"}, "not a time"),
        ({"exp": True}, "not a time"),
        ({"exp": float("inf")}, "not a time"),
        ({"exp": 10**400}, "not a time"),
        ({"exp": [1]}, "not a time"),
        ({"nbf": NOON + 31}, "not valid yet"),
        ({"iat": NOON + 31}, "not valid yet"),
        ({"nbf": float("nan")}, "not a time"),
        ({"sub": None}, "sub is not a text"),
        ({"sub": 7}, "sub is not a text"),
        ({"sub": " "}, "must not be empty"),
        ({"sub": "a\0b"}, "printable"),
        ({"sub": "\ud800"}, "printable"),
        ({"sub": "a" * 256}, "at most 255"),
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": None}, "no iss"),
        ({"aud": "other"}, "another audience"),
        ({"aud": ["other", 7]}, "another audience"),
        ({"aud": None}, "no aud"),
    ],
)
def test_a_token_with_a_wrong_claim_is_refused(claims, why):
    good = {"iss": "https://id.example", "aud": "chatstore"}
    rules = {"issuer": "https://id.example", "audience": "chatstore"}
    assert verify(sign(good), **rules).owner_id == "alice"
    with pytest.raises(Unauthorized, match=why):
        verify(sign(good | claims), **rules)


@pytest.mark.parametrize(
    "claims", [{"exp": NOON - 29}, {"nbf": NOON + 30}, {"iat": NOON + 30}, {"aud": "x"}]
)
def test_a_clock_may_differ_by_the_leeway(claims):
    assert verify(sign(claims)).owner_id == "alice"


def test_another_claim_can_be_the_owner():
    found = verify(sign({"email": "ada@example.org"}), owner_claim="email")
    assert found.owner_id == "ada@example.org"


@pytest.mark.parametrize(
    ("given", "scope"),
    [
        ("openid read", Scope.READ),
        (["write"], Scope.WRITE),
        ("admin read", Scope.ADMIN),
    ],
)
def test_a_claim_gives_scopes(given, scope):
    found = verify(sign({"scope": given}), scope_claim="scope")
    assert found.scopes == scope.included


@pytest.mark.parametrize("given", [None, "", "readwrite", ["openid"], 7, {"read": 1}])
def test_a_token_without_a_scope_may_do_nothing(given):
    with pytest.raises(InsufficientScope):
        verify(sign({"scope": given}), scope_claim="scope")
