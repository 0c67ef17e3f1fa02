"""Entity tags (RFC 9110, section 8.8.3): a session's revision number in quotes.

The UPDATE in store/ checks the preconditions of writes. To read and compare here would
leave a race between the check and the write.
"""

import re

from flask import request

from chatstore.models import ChatSession
from chatstore.store.sessions import SessionJson

_STRONG_TAGS = re.compile(r'(?:^|,)\s*"([1-9][0-9]{0,8})"\s*(?=,|$)')


def etag_header(chat: ChatSession | SessionJson) -> dict[str, str]:
    """Return the ETag header with the session's revision."""
    return {"ETag": f'"{chat.revision}"'}


def is_not_modified(chat: ChatSession | SessionJson) -> bool:
    """Whether If-None-Match says that the client has this revision already."""
    if "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    tags = request.if_none_match
    return tags.star_tag or tags.contains_weak(str(chat.revision))


def if_match_revisions() -> frozenset[int] | None:
    """Return the revisions that If-Match allows, or None if it allows any.

    Weak tags (RFC 9110, section 13.1.1) and tags that are not ours match nothing.
    """
    # Werkzeug treats a header without tags as no header, which would allow any
    # revision, so we parse it ourselves.
    header = request.headers.get("If-Match")
    if header is None or header.strip() == "*":
        return None
    return frozenset(int(tag) for tag in _STRONG_TAGS.findall(header))
