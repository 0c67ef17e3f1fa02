"""Random tokens that prove who a caller is: API keys, links to sessions, cookies.

A token is `prefix + id + secret + checksum`, all in letters and digits. The id finds
the token's row, which has only the SHA-256 of the token. 256 random bits cannot be
guessed, so a slow hash would add nothing. Secret scanners know a token by its prefix
and checksum, and a mistyped one is refused without a look at the database.
"""

import hashlib
import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass

ID_LENGTH = 12
# A key has a name for people.
MAX_NAME_LENGTH = 255
_SECRET_LENGTH = 43  # letters and digits: 43 × log2(62) = 256 bits
_CHECKSUM_LENGTH = 6  # 62**6 > 2**32, the size of a CRC-32
_DIGITS = string.digits + string.ascii_uppercase + string.ascii_lowercase

API_KEY_PREFIX = "chs_"
SHARE_PREFIX = "chl_"
LOGIN_PREFIX = "chc_"


@dataclass(frozen=True)
class SecretToken:
    """A token of the right form. Only `id` and `sha256` may be stored or logged."""

    id: str
    sha256: str


def new_token(prefix: str) -> tuple[str, SecretToken]:
    """Return a random token as text, and what is stored of it."""
    random = "".join(secrets.choice(_DIGITS) for _ in range(ID_LENGTH + _SECRET_LENGTH))
    text = f"{prefix}{random}{_checksum(prefix + random)}"
    return text, _token(prefix, text)


def parse_token(prefix: str, text: str) -> SecretToken | None:
    """Return the token in `text`, or None if its form or checksum is wrong."""
    length = ID_LENGTH + _SECRET_LENGTH + _CHECKSUM_LENGTH
    # An ASCII pattern: `str.isalnum` would let letters of other scripts through.
    if not re.fullmatch(f"{prefix}[0-9A-Za-z]{{{length}}}", text):
        return None
    body, checksum = text[:-_CHECKSUM_LENGTH], text[-_CHECKSUM_LENGTH:]
    return _token(prefix, text) if _checksum(body) == checksum else None


def is_same_secret(token: SecretToken, sha256: str) -> bool:
    """Whether a stored digest is that of `token`, compared in constant time."""
    return hmac.compare_digest(token.sha256, sha256)


def is_text_of(text: str, sha256: str) -> bool:
    """Whether a stored digest is that of the token's text, compared in constant time.

    This costs a quarter of `parse_token`, and suffices for a token that is known.
    """
    return hmac.compare_digest(_digest(text), sha256)


def id_in(prefix: str, text: str) -> str:
    """Return the place of the id in a text, which need not be a token."""
    return text[len(prefix) : len(prefix) + ID_LENGTH]


def _token(prefix: str, text: str) -> SecretToken:
    return SecretToken(id_in(prefix, text), _digest(text))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _checksum(text: str) -> str:
    number = zlib.crc32(text.encode())
    digits = []
    for _ in range(_CHECKSUM_LENGTH):
        number, digit = divmod(number, len(_DIGITS))
        digits.append(_DIGITS[digit])
    return "".join(reversed(digits))
