"""Entity tags (RFC 9110, section 8.8.3): a revision number in quotes.

The tag of a message with feedback also has a digest of the feedback, because feedback
changes the answer but not the revision. That of a session read by its external id has
a digest of its id, because another session may get the external id. The tag of a page
is a digest of its request and of a validator, see `store.validators`.

The UPDATE in store/ checks the preconditions of writes. To read and compare here would
leave a race between the check and the write.
"""

import hashlib
import re
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson
from flask import current_app, request

from chatstore import __version__
from chatstore.clock import utc_now
from chatstore.db import run_read
from chatstore.models import ChatSession
from chatstore.store.messages import MessageJson
from chatstore.store.sessions import SessionJson
from chatstore.store.validators import list_validator, messages_validator
from chatstore.web.auth import current_owner

Tagged = ChatSession | SessionJson | MessageJson

_STRONG_TAGS = re.compile(r'(?:^|,)\s*"([1-9][0-9]{0,8})(?:-[0-9a-f]{12})?"\s*(?=,|$)')


def etag_header(resource: Tagged) -> dict[str, str]:
    """Return the ETag header with the revision of a session or a message."""
    return {"ETag": f'"{_tag(resource)}"'}


def _tag(resource: Tagged) -> str:
    if isinstance(resource, SessionJson) and resource.found_id is not None:
        digest = hashlib.sha256(str(resource.found_id).encode()).hexdigest()
        return f"{resource.revision}-{digest[:12]}"
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


def page_etag(validator: str | None) -> dict[str, str]:
    """Return the ETag header of the page that is asked for; none without a validator.

    The tag changes every day, because a validator may repeat an earlier one once the
    tombstone that was the last change is purged.
    """
    if validator is None:
        return {}
    settings = current_app.config["CHATSTORE"]
    environ = request.environ
    shown = [
        validator,
        current_owner(),
        environ["PATH_INFO"],
        environ["QUERY_STRING"],
        utc_now().date(),
        # Another version, secret or setting may answer the same request differently.
        __version__,
        current_app.config["SECRET_KEY"],
        settings.default_page_size,
    ]
    digest = hashlib.sha256(orjson.dumps(shown)).hexdigest()
    return {"ETag": f'W/"{digest[:32]}"'}


def read_page_etag(
    validate: Callable[..., str | None], *arguments: Any
) -> dict[str, str]:
    """Return the ETag header of a page that takes several statements, before them.

    Empty with If-None-Match: `Operation` has read this tag already.
    """
    if "HTTP_IF_NONE_MATCH" in request.environ:
        return {}
    return page_etag(validate(*arguments))


def are_lists_tagged() -> bool:
    """Whether the list that is asked for may have an ETag.

    The list of the trash has none, because a purge there is no change that an owner
    sees. A list with a count has none either: it is counted before the page is read.
    """
    return not request.args.keys() & {"trash", "count"}


def validate_lists() -> str | None:
    """Return the validator of the caller's lists of sessions, tags and models."""
    if not are_lists_tagged():
        return None
    return run_read(list_validator, current_owner())


def validate_messages(session_id: UUID) -> str | None:
    """Return the validator of a page of messages; None if the list is not paged."""
    if "limit" not in request.args:
        return None
    return run_read(messages_validator, session_id, owner_id=current_owner())


def is_known_page(etag: dict[str, str]) -> bool:
    """Whether If-None-Match names this ETag, so that the client has the page.

    The caller looks for `*` once it knows that the request is right.
    """
    header = request.environ.get("HTTP_IF_NONE_MATCH")
    if not etag or header is None:
        return False
    # Our tags have no commas, so this finds them as a parser would, at a third of the
    # cost.
    known = {each.strip().removeprefix("W/") for each in header.split(",")}
    return etag["ETag"].removeprefix("W/") in known


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
