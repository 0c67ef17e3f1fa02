"""Changes what a message says, and keeps what it said before; no HTTP, no commit."""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy import func, literal, select, update

from chatstore.clock import utc_now
from chatstore.db import UtcDateTime, db, prepared_first, read_connection
from chatstore.enums import Role
from chatstore.errors import (
    Flaw,
    MessageDeleted,
    PreconditionFailed,
    TooManyRevisions,
    ValidationFailed,
)
from chatstore.fulltext.index_format import scopes_of
from chatstore.interchange.chat_completions import EXTRA_FIELDS, search_text, text_of
from chatstore.models import ChatSession, Message, MessageRevision
from chatstore.settings import PREFIX
from chatstore.store.appends import message_bytes
from chatstore.store.json_rows import disk_bytes
from chatstore.store.locks import lock_message
from chatstore.store.messages import (
    MAX_ID,
    MessageJson,
    get_message_json,
    no_such_message,
)
from chatstore.store.previews import refresh_session
from chatstore.store.revisions import keep_revision
from chatstore.store.search import entries
from chatstore.store.sessions import owned
from chatstore.store.tokens import NO_TOKENS, tokens_of
from chatstore.store.usage import correct_tokens

Values = dict[str, Any]


@dataclass(frozen=True)
class EditBounds:
    """The largest `extra` of a message, and the most of its revisions to keep.

    One transaction deletes a message with all its revisions.
    """

    extra_bytes: int = 8 * 1024 * 1024
    revisions: int = 1000
    revision_bytes: int = 64 * 1024 * 1024


class _Current(NamedTuple):
    role: str
    content: str
    metadata_: dict[str, Any] | None
    extra: dict[str, Any] | None
    revision: int
    deleted_at: Any


_CURRENT = [getattr(Message, name) for name in _Current._fields]
_DEFAULT_BOUNDS = EditBounds()
# The columns that a revision keeps.
_KEPT = ("content", "extra", "metadata_")


@prepared_first
def edit_message(
    session_id: UUID,
    message_id: int,
    *,
    owner_id: str,
    changes: Mapping[str, Any],
    if_revisions: Collection[int] | None = None,
    bounds: EditBounds = _DEFAULT_BOUNDS,
    check_bytes: Callable[[int], None] = lambda _: None,
) -> Callable[[], MessageJson | None]:
    """Set the fields in `changes` and return the message; None if it changed meanwhile.

    The fields are `content` (text, parts or None), `metadata` and those of
    `EXTRA_FIELDS`; None removes one. The message is read and its words are computed
    before the transaction. If another edit comes between, the result is None, and the
    caller must call again. An edit that changes nothing writes nothing.
    `check_bytes` gets the bytes by which the session grows, and may raise. Raises
    NotFound, MessageDeleted, TooManyRevisions, ValidationFailed if nothing is left of
    the message, and PreconditionFailed if `if_revisions` is given and lacks the
    message's revision.
    """
    current = _read_current(session_id, message_id, owner_id)
    if if_revisions is not None and current.revision not in if_revisions:
        raise PreconditionFailed(
            f"Message {message_id} has changed: If-Match names another revision."
        )
    before = _kept_values(current)
    after = _merge(current, changes)
    _check(current, after, bounds)
    has_changed = any(_json(before[name]) != _json(after[name]) for name in _KEPT)
    after["search_text"] = search_text(after["content"], after["extra"] or {})
    text = after["search_text"] or after["content"]
    scopes = scopes_of(owner_id, session_id, current.role)
    words = entries.words_of(text, scopes) if has_changed else None
    # What the message said before stays as a revision, so the session grows.
    more_bytes = message_bytes(*(after[name] for name in _KEPT)) if has_changed else 0
    check_bytes(more_bytes)
    gained = tokens_of(after["extra"]).minus(tokens_of(before["extra"]))

    def edit() -> MessageJson | None:
        locked = lock_message(session_id, message_id, owner_id=owner_id)
        if locked.revision != current.revision:
            return None
        if words is not None:
            _check_revisions(message_id, bounds)
            keep_revision(message_id, locked.revision)
            if gained != NO_TOKENS:
                correct_tokens(message_id, gained)
            _overwrite(message_id, after)
            entries.replace_words([message_id], [words])
            refresh_session(session_id, gained=gained, gained_bytes=more_bytes)
        return get_message_json(session_id, message_id, owner_id=owner_id)

    return edit


def _read_current(session_id: UUID, message_id: int, owner_id: str) -> _Current:
    query = (
        select(*_CURRENT)
        .join(ChatSession)
        .where(owned(session_id, owner_id), Message.id == message_id)
    )
    row = None
    if message_id <= MAX_ID:
        with read_connection() as connection:
            row = connection.execute(query).first()
    if row is None:
        raise no_such_message(session_id, message_id)
    current = _Current(*row)
    if current.deleted_at is not None:
        raise message_deleted(message_id)
    return current


def message_deleted(message_id: int) -> MessageDeleted:
    """Return the error for a change of a message that was deleted."""
    return MessageDeleted(f"Message {message_id} was deleted.")


def _kept_values(current: _Current) -> Values:
    return {name: getattr(current, name) for name in _KEPT}


def _merge(current: _Current, changes: Mapping[str, Any]) -> Values:
    """Return the content, extra and metadata of the message after the changes."""
    merged = dict(current.extra or {})
    content = current.content
    if "content" in changes:
        content = text_of(changes["content"])
        merged.pop("parts", None)
        if not isinstance(changes["content"], str):
            merged["parts"] = changes["content"]
    for name in EXTRA_FIELDS:
        if changes.get(name) is not None:
            merged[name] = changes[name]
        elif name in changes:
            merged.pop(name, None)
    extra = {name: merged[name] for name in EXTRA_FIELDS if name in merged}
    metadata = changes.get("metadata", current.metadata_)
    return {"content": content, "extra": extra or None, "metadata_": metadata}


def _check(current: _Current, after: Values, bounds: EditBounds) -> None:
    extra = after["extra"] or {}
    size = len(orjson.dumps(extra)) if extra else 0
    if size > bounds.extra_bytes:
        detail = (
            f"The message would have {size} bytes of JSON, more than"
            f" {bounds.extra_bytes} ({PREFIX}MAX_MESSAGE_BYTES)."
        )
        raise ValidationFailed([Flaw("", detail)])
    has_something = (
        after["content"]
        or extra.get("parts")
        or extra.get("tool_calls")
        or after["metadata_"]
        or current.role == Role.ASSISTANT
    )
    if not has_something:
        raise ValidationFailed([Flaw("/content", "Nothing would be left.")])


def _json(value: Any) -> bytes:
    # Python's 1 equals 1.0 and true, and its objects have no order.
    return orjson.dumps(value)


def _check_revisions(message_id: int, bounds: EditBounds) -> None:
    kept = [getattr(MessageRevision, name) for name in _KEPT]
    count, size = db.session.execute(
        select(func.count(), func.coalesce(func.sum(disk_bytes(*kept)), 0)).where(
            MessageRevision.message_id == message_id
        )
    ).one()
    if count >= bounds.revisions or size > bounds.revision_bytes:
        raise TooManyRevisions(
            f"Message {message_id} keeps {count} earlier revisions. Append a new"
            " message instead."
        )


def _overwrite(message_id: int, after: Values) -> None:
    values = {getattr(Message, name): value for name, value in after.items()} | {
        Message.revision: Message.revision + 1,
        Message.edited_at: literal(utc_now(), UtcDateTime()),
    }
    db.session.execute(
        update(Message)
        .where(Message.id == message_id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
