"""Entity tags (RFC 9110, section 8.8.3): a revision number in quotes.

The tag of a message with feedback also has a digest of the feedback, because feedback
changes the answer but not the revision.
The UPDATE in store/ checks the preconditions of writes. To read and compare here would
leave a race between the check and the write.
"""

import hashlib
import re

from flask import request

from chatstore.models import ChatSession
from chatstore.store.messages import MessageJson
from chatstore.store.sessions import SessionJson

Tagged = ChatSession | SessionJson | MessageJson

_STRONG_TAGS = re.compile(r'(?:^|,)\s*"([1-9][0-9]{0,8})(?:-[0-9a-f]{12})?"\s*(?=,|$)')


def etag_header(resource: Tagged) -> dict[str, str]:
    """Return the ETag header with the revision of a session or a message."""
    return {"ETag": f'"{_tag(resource)}"'}


def _tag(resource: Tagged) -> str:
    if isinstance(resource, MessageJson) and resource.feedback is not None:
        digest = hashlib.sha256(resource.feedback.encode()).hexdigest()
        return f"{resource.revision}-{digest[:12]}"
    return str(resource.revision)


def is_not_modified(resource: Tagged) -> bool:
    """Whether If-None-Match says that the client has this revision already."""
    if "HTTP_IF_NONE_MATCH" not in request.environ:
        return False
    tags = request.if_none_match
    return tags.star_tag or tags.contains_weak(_tag(resource))


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
