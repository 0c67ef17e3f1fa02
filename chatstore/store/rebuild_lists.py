"""Rewrites the facets and folded names of sessions; no HTTP, no commit.

Older versions write sessions without them, so lists would miss these sessions.
"""

from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select, update

from chatstore.db import db
from chatstore.models import ChatSession
from chatstore.store.batches import fitting
from chatstore.store.facets import COLUMNS, replace_facets
from chatstore.store.json_rows import stored_bytes
from chatstore.store.sessions import folded_name

BATCH = 200
# Most bytes of tags, document ids and metadata in a batch of more than one session.
# That is thousands of short ones, which take a tenth of a second to write.
BATCH_BYTES = 64 * 1024

_SIZE = stored_bytes(*(getattr(ChatSession, name) for name in COLUMNS.values()))


@dataclass(frozen=True)
class Batch:
    """The number of sessions in a batch, and the `last` of their ids."""

    count: int
    last: UUID


def rebuild_batch(*, after: UUID | None, max_bytes: int = BATCH_BYTES) -> Batch | None:
    """Rewrite the next sessions by id; return None when no sessions are left."""
    sizes = select(ChatSession.id, _SIZE).order_by(ChatSession.id).limit(BATCH)
    sizes = sizes.where(ChatSession.former_owner_id.is_(None))
    if after is not None:
        sizes = sizes.where(ChatSession.id > after)
    rows = db.session.execute(sizes).all()
    batch = fitting(rows, lambda row: row[1], max_bytes)
    locked = (
        select(ChatSession)
        .where(ChatSession.id.in_([row.id for row in batch]))
        .where(ChatSession.former_owner_id.is_(None))
        .order_by(ChatSession.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    chats = db.session.scalars(locked).all()
    for chat in chats:
        columns = {name: getattr(chat, name) for name in COLUMNS.values()}
        replace_facets({chat.id: columns}, owner_id=chat.owner_id)
        folded = folded_name(chat.name)
        if chat.name_folded != folded:
            db.session.execute(
                update(ChatSession)
                .where(ChatSession.id == chat.id)
                .values(name_folded=folded)
                .execution_options(synchronize_session=False)
            )
    return Batch(len(chats), batch[-1].id) if batch else None
