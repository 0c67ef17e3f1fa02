"""Rewrites the facets, folded names and sums of sessions; no HTTP, no commit.

Older versions write sessions without them, so lists would miss these sessions.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, join, select, update

from chatstore.db import db
from chatstore.models import ChatSession, Message, MessageRevision
from chatstore.store.batches import fitting
from chatstore.store.deletions import IS_WHOLE
from chatstore.store.facets import COLUMNS, replace_facets
from chatstore.store.json_rows import stored_bytes
from chatstore.store.sessions import folded_name
from chatstore.store.tokens import INPUT_TOKENS, OUTPUT_TOKENS, Tokens, summed

BATCH = 200
# Most bytes of tags, document ids and metadata in a batch of more than one session.
# That is thousands of short ones, which take a tenth of a second to write.
BATCH_BYTES = 64 * 1024

_BYTES, _EARLIER_BYTES = (
    func.coalesce(
        select(func.sum(stored_bytes(model.content, model.metadata_, model.extra)))
        .select_from(source)
        .where(Message.session_id == ChatSession.id)
        .correlate(ChatSession)
        .scalar_subquery(),
        0,
    )
    for model, source in (
        (Message, Message),
        (
            MessageRevision,
            join(Message, MessageRevision, MessageRevision.message_id == Message.id),
        ),
    )
)
_SIZE = stored_bytes(*(getattr(ChatSession, name) for name in COLUMNS.values()))


@dataclass(frozen=True)
class Batch:
    """The number of sessions in a batch, and the `last` of their ids."""

    count: int
    last: UUID


@dataclass(frozen=True)
class Sums:
    """The tokens and bytes of a session's messages, as they were at its revision."""

    session_id: UUID
    revision: int
    tokens: Tokens
    bytes: int


def rebuild_batch(*, after: UUID | None, max_bytes: int = BATCH_BYTES) -> Batch | None:
    """Rewrite the next sessions by id; return None when no sessions are left."""
    sizes = select(ChatSession.id, _SIZE).order_by(ChatSession.id).limit(BATCH)
    sizes = sizes.where(IS_WHOLE)
    if after is not None:
        sizes = sizes.where(ChatSession.id > after)
    rows = db.session.execute(sizes).all()
    batch = fitting(rows, lambda row: row[1], max_bytes)
    locked = (
        select(ChatSession)
        .where(ChatSession.id.in_([row.id for row in batch]))
        .where(IS_WHOLE)
        .order_by(ChatSession.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    chats = db.session.scalars(locked).all()
    for chat in chats:
        if chat.trashed_at is None:  # a session in the trash has no facets
            columns = {name: getattr(chat, name) for name in COLUMNS.values()}
            replace_facets({chat.id: columns}, owner_id=chat.owner_id)
        folded = folded_name(chat.name)
        if chat.name_folded != folded:
            _change(chat, name_folded=folded)
    return Batch(len(chats), batch[-1].id) if batch else None


def find_wrong_sums(batch: Batch, *, after: UUID | None) -> list[Sums]:
    """Return the right sums of those sessions of the batch that have wrong ones.

    Only reads, because a session may have a million messages.
    """
    query = (
        select(
            ChatSession.id,
            ChatSession.revision,
            ChatSession.input_tokens,
            ChatSession.output_tokens,
            ChatSession.content_bytes,
            summed(INPUT_TOKENS),
            summed(OUTPUT_TOKENS),
            _BYTES + _EARLIER_BYTES,
        )
        .outerjoin(
            Message,
            (Message.session_id == ChatSession.id) & Message.extra.is_not(None),
        )
        .where(ChatSession.id <= batch.last, IS_WHOLE)
        .group_by(ChatSession.id)
    )
    if after is not None:
        query = query.where(ChatSession.id > after)
    return [
        Sums(chat_id, revision, Tokens(*right[:2]), right[2])
        for chat_id, revision, *sums in db.session.execute(query)
        if (right := [int(each) for each in sums[3:]]) != sums[:3]
    ]


def correct_sums(sums: Sums) -> bool:
    """Write the sums; return False, and write none, if the session has changed since.

    The sums are shown, so the session's revision changes with them.
    """
    correcting = (
        update(ChatSession)
        .where(ChatSession.id == sums.session_id, ChatSession.revision == sums.revision)
        .values(
            input_tokens=sums.tokens.input,
            output_tokens=sums.tokens.output,
            content_bytes=sums.bytes,
            revision=ChatSession.revision + 1,
        )
        .returning(ChatSession.id)
        .execution_options(synchronize_session=False)
    )
    return db.session.scalar(correcting) is not None


def _change(chat: ChatSession, **values: str) -> None:
    db.session.execute(
        update(ChatSession)
        .where(ChatSession.id == chat.id)
        .values(values)
        .execution_options(synchronize_session=False)
    )
