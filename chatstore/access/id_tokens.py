"""Verifies the ID tokens of OpenID Connect Core 1.0, section 3.1.3.7."""

import hmac
from collections.abc import Callable
from datetime import datetime

from chatstore.access.jwt_tokens import (
    SYMMETRIC_ALGORITHM,
    Identity,
    TokenHeader,
    TokenRules,
    VerifyingKey,
    identity_of,
    read_header,
    verify_claims,
)
from chatstore.errors import Unauthorized


def verify_id_token(
    text: str,
    find_key: Callable[[TokenHeader], VerifyingKey | None],
    rules: TokenRules,
    *,
    nonce: str,
    now: datetime,
) -> Identity:
    """Return the owner and scopes of a token; `rules.audience` is our client id.

    Raises Unauthorized, and InsufficientScope if the scope claim has no scope.
    """
    header = read_header(text)
    if header.algorithm == SYMMETRIC_ALGORITHM:
        raise Unauthorized("The ID token is signed with a shared secret.")
    key = find_key(header)
    if key is None:
        raise Unauthorized("No key of the provider verifies the ID token.")
    claims = verify_claims(text, key, rules, now)
    given = claims.get("nonce")
    if not isinstance(given, str) or not hmac.compare_digest(
        given.encode(errors="replace"), nonce.encode()
    ):
        raise Unauthorized("The ID token is of another login: its nonce is wrong.")
    has_others = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
    if claims.get("azp", None if has_others else rules.audience) != rules.audience:
        raise Unauthorized("The ID token was issued to another client.")
    # Some providers let users write any address into their account.
    if rules.owner_claim == "email" and claims.get("email_verified") is not True:
        raise Unauthorized("The provider has not verified the address of the account.")
    return identity_of(claims, rules)
