"""Queries that append and read messages of a session; no HTTP, no commit."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    Subquery,
    Text,
    bindparam,
    case,
    exists,
    func,
    select,
)
from sqlalchemy import cast as sql_cast

from chatstore.db import (
    db,
    is_sqlite,
    prepared,
    prepared_first,
    read_connection,
    sqlite,
)
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Order, Role
from chatstore.errors import (
    ChatstoreError,
    HeadConflict,
    NotFound,
    ParentMissing,
    SeqConflict,
)
from chatstore.interchange.chat_completions import Content
from chatstore.models import ChatSession, Message
from chatstore.store.appends import draft_messages, write_messages
from chatstore.store.json_rows import (
    MAX_FIELD_SETS,
    AppendedMessage,
    Fields,
    in_list,
    join_columns,
    join_rows,
    json_value,
    split_values,
)
from chatstore.store.message_fields import (
    measures_texts,
    message_bytes,
    message_json,
)
from chatstore.store.search.entries import APPEND_WORDS
from chatstore.store.sessions import (
    HEAD_SEQ,
    IS_OWNED,
    MAX_SEQ,
    no_such_session,
    owned,
    session_parameters,
)
from chatstore.store.validators import LAST_CHANGES_OF_MESSAGES, parse_validator

# A chunk ends at the first of these bounds, so a listing holds one chunk in memory,
# whatever the size of its messages.
CHUNK_MESSAGES = 500
CHUNK_BYTES = 512 * 1024
# Old releases of SQLite read a text to know its size. Texts beyond the chunk are then
# read in vain, so a chunk there measures fewer messages.
_MESSAGES_READ_FOR_SIZE = 20
# PostgreSQL's greatest bigint. It refuses greater parameters.
MAX_ID = 2**63 - 1


_POSITION = select(ChatSession.last_seq, HEAD_SEQ).where(IS_OWNED)
# Bytes of a whole message, as stored.
MESSAGE_BYTES = message_bytes()


@dataclass(frozen=True)
class MessageRange:
    """The messages of a session to list: those with `after` < seq < `before`.

    At most `limit` messages, in this `order`; None means no bound. Each has these
    `fields`, or all.
    """

    after: int = 0
    before: int | None = None
    order: Order = Order.ASC
    role: Role | None = None
    limit: int | None = None
    fields: Fields | None = None

    def following(self, seqs: Sequence[int], *, end: int) -> "MessageRange":
        """Return the range after a chunk of `seqs`; `end` is an exclusive bound."""
        limit = self.limit - len(seqs) if self.limit is not None else None
        if self.order is Order.DESC:
            return replace(self, before=seqs[-1], limit=limit)
        before = end if self.before is None else min(self.before, end)
        return replace(self, after=seqs[-1], before=before, limit=limit)


@dataclass(frozen=True)
class MessageChunk:
    """JSON texts of the next messages of a listing, and the `rest` of its range.

    `rest` is None when the listing ends here. `has_more` says whether messages follow
    beyond the listing's limit. `seqs` are those of the messages. The `validator` of
    `store.validators` is as of them.
    """

    messages: Sequence[str]
    rest: MessageRange | None
    has_more: bool
    seqs: Sequence[int] = ()
    validator: str | None = None


@prepared_first
def append_message(
    session_id: UUID,
    *,
    owner_id: str,
    content: Content,
    role: Role = Role.USER,
    metadata: Mapping[str, Any] | None = None,
    extra: Mapping[str, Any] | None = None,
    parent_seq: int | None = None,
    expected_seq: int | None = None,
    expected_head: int | None = None,
) -> Callable[[], AppendedMessage]:
    """Append a message to the session and return it; see `append_messages`."""
    turn = {"content": content, "role": role, "metadata": metadata, "extra": extra}
    append = prepared(
        append_messages,
        session_id,
        owner_id=owner_id,
        turns=[turn],
        parent_seq=parent_seq,
        expected_seq=expected_seq,
        expected_head=expected_head,
    )
    return lambda: append()[0]


@prepared_first
def append_messages(
    session_id: UUID,
    *,
    owner_id: str,
    turns: Sequence[Mapping[str, Any]],
    parent_seq: int | None = None,
    expected_seq: int | None = None,
    expected_head: int | None = None,
    max_words: int = APPEND_WORDS,
) -> Callable[[], list[AppendedMessage]]:
    """Append one message per turn and return them.

    A turn has `content` (text, parts or None), `role`, `metadata`, and in `extra` those
    of `EXTRA_FIELDS` that were given. Message n has seq `last_seq + n`. Of N messages
    the last has the timestamp `max(now + (N - 1) µs, last_updated_at + N µs)`; the
    others are 1 µs apart. The first follows `parent_seq`, or the session's head; the
    head moves to the last. The update locks the session's row, so other writers of the
    session wait until the commit. On SQLite an append indexes at most `max_words` at
    once. Raises NotFound; SeqConflict when the first message
    would not get `expected_seq`; ParentMissing when there is no message `parent_seq`;
    HeadConflict when the session's head is not `expected_head`.
    """
    conditions = {
        "expected": None if expected_seq is None else min(expected_seq - 1, MAX_SEQ),
        "expected_head": None if expected_head is None else min(expected_head, MAX_SEQ),
        "parent": None if parent_seq is None else min(parent_seq, MAX_SEQ),
    }
    draft = draft_messages(
        session_id, owner_id=owner_id, turns=turns, max_words=max_words
    )

    def append() -> list[AppendedMessage]:
        messages = write_messages(draft, **conditions)
        if not messages:
            raise _why_refused(session_id, owner_id, **conditions)
        return messages

    return append


def _why_refused(
    session_id: UUID,
    owner_id: str,
    *,
    expected: int | None,
    expected_head: int | None,
    parent: int | None,
) -> ChatstoreError:
    """Return the error for a refused append. Raises NotFound."""
    last_seq, head_seq = get_position(session_id, owner_id=owner_id)
    if parent is not None and parent > last_seq:
        return ParentMissing(parent, last_seq)
    # A wrong seq is reported before a wrong head.
    if expected_head is not None and expected in (None, last_seq):
        return HeadConflict(head_seq)
    return SeqConflict(last_seq)


def get_message(session_id: UUID, message_id: int, *, owner_id: str) -> Message:
    """Return one message of the session; raise NotFound if it has no such message."""
    query = (
        select(Message)
        .join(ChatSession)
        .where(owned(session_id, owner_id), Message.id == message_id)
    )
    message: Message | None = None
    if message_id <= MAX_ID:
        message = db.session.scalar(query)
    if message is None:
        raise no_such_message(session_id, message_id)
    return message


class MessageJson(NamedTuple):
    """The JSON text of a message, and what its entity tag depends on."""

    text: str
    revision: int
    feedback: str | None


def get_message_json(
    session_id: UUID, message_id: int, *, owner_id: str, fields: Fields | None = None
) -> MessageJson:
    """Return one message of the session as JSON text; raise NotFound."""
    query = _ONE_AS_JSON if fields is None else _prepare_one(fields)
    found: Sequence[tuple[Any, ...]] = ()
    if message_id <= MAX_ID:
        parameters = session_parameters(session_id, owner_id)
        with read_connection() as connection:
            found = query.rows(connection, {**parameters, "the_message": message_id})
    if not found:
        raise no_such_message(session_id, message_id)
    return MessageJson(*found[0])


def _one_as_json(fields: Fields | None = None) -> Prepared:
    feedback = sql_cast(Message.feedback, Text)
    return Prepared(
        select(message_json(fields), Message.revision, feedback)
        .join(ChatSession)
        .where(IS_OWNED, Message.id == bindparam("the_message", type_=Message.id.type))
    )


_ONE_AS_JSON = _one_as_json()
_prepare_one = lru_cache(maxsize=MAX_FIELD_SETS)(_one_as_json)


def no_such_message(session_id: UUID, message_id: int) -> NotFound:
    """Return the error for a message that the session does not have."""
    return NotFound(f"There is no message {message_id} in session {session_id}.")


class Position(NamedTuple):
    """The seqs of a session's last message and of its head; 0 if it is empty."""

    last_seq: int
    head_seq: int


def get_last_seq(session_id: UUID, *, owner_id: str) -> int:
    """Return the seq of the session's last message, or 0; raise NotFound."""
    return get_position(session_id, owner_id=owner_id).last_seq


def get_position(session_id: UUID, *, owner_id: str) -> Position:
    """Return the seqs of the session's last message and head; raise NotFound."""
    with read_connection() as connection:
        found = connection.execute(
            _POSITION, session_parameters(session_id, owner_id)
        ).first()
    if found is None:
        raise no_such_session(session_id)
    return Position(*found)


def list_messages(
    session_id: UUID, *, owner_id: str, wanted: MessageRange
) -> MessageChunk:
    """Return the first chunk of the `wanted` messages, as JSON texts.

    The chunk's `rest` is the range to ask for next. It excludes messages that are
    appended after the first chunk was read. Raises NotFound.
    """
    found = read_messages(session_id, owner_id=owner_id, wanted=wanted)
    rest, has_more = None, False
    if found.is_cut:
        has_more = len(found.messages) == wanted.limit
        if not has_more:
            rest = wanted.following(found.seqs, end=found.last_seq + 1)
    return MessageChunk(found.messages, rest, has_more, found.seqs, found.validator)


class FoundMessages(NamedTuple):
    """Seqs and JSON texts of messages; `is_cut` says whether more of them match."""

    seqs: list[int]
    messages: Sequence[str]
    is_cut: bool
    last_seq: int
    validator: str | None


def read_messages(
    session_id: UUID,
    *,
    owner_id: str,
    wanted: MessageRange,
    seqs: Sequence[int] | None = None,
) -> FoundMessages:
    """Return the `wanted` messages that fit into a chunk, of these `seqs` if given.

    Raises NotFound.
    """
    size = _max_chunk_messages(wanted.fields)
    if wanted.limit is not None:
        size = min(size, wanted.limit)
    parameters = {
        **session_parameters(session_id, owner_id),
        "after": min(wanted.after, MAX_SEQ),
        "before": MAX_SEQ if wanted.before is None else min(wanted.before, MAX_SEQ),
        "role": wanted.role,
        "size": size,
        "seqs": ",".join(map(str, seqs or ())),
    }
    shape = _RangeShape(
        wanted.order, has_role=wanted.role is not None, has_seqs=seqs is not None
    )
    if wanted.fields is None:
        query = _prepare_whole(shape)
    else:
        query = _prepare_chosen(shape, wanted.fields)
    with read_connection() as connection:
        rows = query.rows(connection, parameters)
    ((texts, found, last_seq, last_changes),) = rows
    if last_seq is None:
        raise no_such_session(session_id)
    parts = split_values(texts)
    messages = parts[1::2]
    return FoundMessages(
        list(map(int, parts[::2])),
        messages,
        found > len(messages),
        last_seq,
        parse_validator(last_changes),
    )


def _max_chunk_messages(fields: Fields | None) -> int:
    is_cheap = not is_sqlite() or sqlite.has_cheap_text_sizes()
    if is_cheap or not measures_texts(fields):
        return CHUNK_MESSAGES
    return _MESSAGES_READ_FOR_SIZE


class _RangeShape(NamedTuple):
    """The order of a range, and which parameters its statement takes."""

    order: Order
    has_role: bool
    has_seqs: bool


@cache  # building it costs more than running it
def _prepare_whole(shape: _RangeShape) -> Prepared:
    return _prepare_range(shape, None)


@lru_cache(maxsize=MAX_FIELD_SETS)
def _prepare_chosen(shape: _RangeShape, fields: Fields) -> Prepared:
    return _prepare_range(shape, fields)


def _prepare_range(shape: _RangeShape, fields: Fields | None) -> Prepared:
    # Between two statements the session might be deleted, and the listing would look
    # complete. So one statement reads the session and its messages.
    last_seq = select(ChatSession.last_seq).where(IS_OWNED).scalar_subquery()
    conditions = [
        Message.session_id == bindparam("the_session"),
        exists().where(IS_OWNED),
        Message.seq > bindparam("after"),
        Message.seq < bindparam("before"),
    ]
    if shape.has_role:
        conditions.append(Message.role == bindparam("role"))
    if shape.has_seqs:
        conditions.append(in_list(Message.seq, bindparam("seqs", type_=Text)))
    order = shape.order
    by_seq = Message.seq.asc() if order is Order.ASC else Message.seq.desc()
    size = bindparam("size", type_=Integer)

    def rows(*columns: Any) -> Select[Any]:
        return select(*columns).where(*conditions).order_by(by_seq)

    sizes = bounded(
        rows(Message.seq, message_bytes(fields).label("bytes")), size + 1
    ).subquery()
    whole = (
        select(func.count().label("found"), func.sum(sizes.c.bytes).label("bytes"))
        .select_from(sizes)
        .cte("whole")
    )
    fitting = case(
        (whole.c.bytes <= CHUNK_BYTES, size), else_=_count_fitting(sizes, order, size)
    )
    seq_and_text = join_columns(
        json_value("integer", Message.seq), message_json(fields)
    )
    chunk = rows(seq_and_text.label("item"), Message.seq)
    chunk = bounded(chunk, select(fitting).scalar_subquery())
    found = select(whole.c.found).scalar_subquery()
    chunk_rows = chunk.subquery()
    is_descending = order is Order.DESC
    texts = join_rows(
        chunk_rows.c.item, by=[chunk_rows.c.seq], is_descending=is_descending
    )
    return Prepared(select(texts, found, last_seq, LAST_CHANGES_OF_MESSAGES))


def _count_fitting(
    sizes: Subquery, order: Order, size: BindParameter[int]
) -> ColumnElement[int]:
    """Return SQL for the number of messages that fit into a chunk: at least one."""
    by_seq = sizes.c.seq.asc() if order is Order.ASC else sizes.c.seq.desc()
    earlier = func.sum(sizes.c.bytes).over(order_by=by_seq, rows=(None, -1))
    rows = select(earlier.label("earlier")).order_by(by_seq)
    sums = bounded(rows, size).subquery()
    return (
        select(func.count())
        .select_from(sums)
        .where(func.coalesce(sums.c.earlier, 0) <= CHUNK_BYTES)
        .scalar_subquery()
    )
