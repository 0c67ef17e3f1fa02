"""Entity tags (RFC 9110, section 8.8.3): a session's revision number in quotes.

Preconditions on writes are decided by the UPDATE itself, in store/; reading and
comparing here would leave a gap between the two.
"""

import re

from flask import request

from chatstore.models import ChatSession


def etag_header(chat: ChatSession) -> dict[str, str]:
    """Return the header that names the present revision of the session."""
    return {"ETag": f'"{chat.revision}"'}


def is_not_modified(chat: ChatSession) -> bool:
    """Whether If-None-Match says that the client has this revision already."""
    tags = request.if_none_match
    return tags.star_tag or tags.contains_weak(str(chat.revision))


def if_match_revisions() -> frozenset[int] | None:
    """Return the revisions that If-Match allows, None when it allows any.

    Tags that are not ours match nothing; nor do weak ones, as RFC 9110 has it.
    """
    if not request.if_match or request.if_match.star_tag:
        return None
    tags = request.if_match.as_set(include_weak=False)
    return frozenset(int(tag) for tag in tags if re.fullmatch("[0-9]{1,9}", tag))
