"""Entity tags (RFC 9110, section 8.8.3): a session's revision number in quotes.

Preconditions on writes are decided by the UPDATE itself, in store/; reading and
comparing here would leave a gap between the two.
"""

import re

from flask import request

from chatstore.models import ChatSession
from chatstore.store.sessions import SentSession

_STRONG_TAGS = re.compile(r'(?:^|,)\s*"([1-9][0-9]{0,8})"\s*(?=,|$)')


def etag_header(chat: ChatSession | SentSession) -> dict[str, str]:
    """Return the header that names the present revision of the session."""
    return {"ETag": f'"{chat.revision}"'}


def is_not_modified(chat: ChatSession | SentSession) -> bool:
    """Whether If-None-Match says that the client has this revision already."""
    if "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    tags = request.if_none_match
    return tags.star_tag or tags.contains_weak(str(chat.revision))


def if_match_revisions() -> frozenset[int] | None:
    """Return the revisions that If-Match allows, None when it allows any.

    Whatever is not one of our tags matches nothing; nor does a weak one, as RFC
    9110 has it.
    """
    # Werkzeug reads what is no tag at all like no header: any revision.
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(int(tag) for tag in _STRONG_TAGS.findall(header))
