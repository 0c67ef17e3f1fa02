import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from chatstore.access.jwt_keys import read_key_set
from chatstore.access.jwt_tokens import TokenHeader
from tests.support.tokens import ec_key, jwk, key_set, rsa_key


def test_a_key_is_found_by_its_id_and_algorithm():
    keys = read_key_set(
        key_set(jwk(rsa_key(), kid="a"), jwk(rsa_key("two"), kid="b"), jwk(ec_key()))
    )
    assert keys.find(TokenHeader("RS256", "b")).key == rsa_key("two").public_key()
    assert keys.find(TokenHeader("ES256", "b")) is None
    assert keys.find(TokenHeader("ES256", None)).key == ec_key().public_key()
    # Two keys fit.
    assert keys.find(TokenHeader("RS256", None)) is None


@pytest.mark.parametrize(
    "change",
    [
        {"kty": "oct", "k": "AAAA"},
        {"kty": ["RSA"]},
        {"use": "enc"},
        {"alg": "HS256"},
        {"alg": "RS512"},
        {"key_ops": ["encrypt"]},
        {"kid": 7},
        {"n": ""},
        {"n": 7},
        {"kty": "EC", "crv": "P-256", "x": "AAAA", "y": "AAAA"},
    ],
    ids=str,
)
def test_a_key_that_verifies_no_token_is_left_out(change):
    assert_left_out(jwk(rsa_key(), kid="b") | change)


def test_a_weak_key_or_one_of_another_curve_is_left_out():
    assert_left_out(jwk(rsa_key("weak", 1024), kid="b"))
    assert_left_out(jwk(ec_key("long", ec.SECP384R1), kid="b"))
    assert_left_out("no key")


def assert_left_out(other):
    keys = read_key_set(key_set(other, jwk(rsa_key(), kid="a")))
    assert keys.find(TokenHeader("RS256", "a")) is not None
    for algorithm in ("RS256", "ES256", "HS256"):
        assert keys.find(TokenHeader(algorithm, "b")) is None
    with pytest.raises(ValueError, match="has no RSA or P-256 key"):
        read_key_set(key_set(other))


@pytest.mark.parametrize(
    ("content", "flaw"),
    [
        (b"<html>", "is not JSON"),
        (b"\xff", "is not JSON"),
        (b"[" * 100_000, "is not JSON"),
        (b"[]", "is no key set"),
        (b"{}", "is no key set"),
        (json.dumps({"keys": [{}] * 101}).encode(), "at most 100 keys"),
        (b" " * (1024 * 1024 + 1), "more than 1048576 bytes"),
    ],
    ids=lambda each: str(each)[:20],
)
def test_a_document_that_is_no_key_set_is_refused(content, flaw):
    with pytest.raises(ValueError, match=flaw):
        read_key_set(content)
