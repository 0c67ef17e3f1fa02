"""Lists, renames and deletes the tags of an owner's sessions; no HTTP, no commit.

Tags are equal whatever their case and Unicode form; see `facets.tag_value`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Integer,
    Text,
    bindparam,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.orm import aliased

from chatstore.db import cached_per_database, db, is_sqlite
from chatstore.db.prepared import Prepared, bounded
from chatstore.enums import Archived, Facet
from chatstore.fulltext.folding import fold_case
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.batches import in_batches
from chatstore.store.facets import (
    COLUMNS,
    COMPARED_LENGTH,
    FacetCount,
    add_tag,
    prepare_counts,
    read_counts,
    tag_value,
)
from chatstore.store.filters import SessionFilters, select_all_matching
from chatstore.store.json_rows import disk_bytes
from chatstore.store.paging import Page

_OWNER = bindparam("the_owner", type_=ChatSession.owner_id.type)
EVERY_SESSION = SessionFilters(archived=Archived.ANY)
_LAST_CHARACTER, _SURROGATES = 0x10FFFF, range(0xD800, 0xE000)


def list_tags(
    *,
    owner_id: str,
    limit: int,
    prefix: str = "",
    filters: SessionFilters = EVERY_SESSION,
) -> Page[FacetCount]:
    """Return up to `limit` tags: the most common first, equals by name.

    Only tags that begin with `prefix`, of sessions that match the filters. Each is
    spelled as in the oldest session that has it.
    """
    start = fold_case(prefix.lstrip())[:COMPARED_LENGTH]
    end = _after_prefix(start)
    matching = None if filters == EVERY_SESSION else filters.shape()
    counts = _prepare_counts(matching, bool(start), bool(end))
    parameters = {"the_owner": owner_id, "limit": limit, "start": start, "end": end}
    return read_counts(counts, parameters | filters.parameters())


@cached_per_database(maxsize=64)  # building it costs more than running it
def _prepare_counts(
    matching: SessionFilters | None, has_start: bool, has_end: bool
) -> Prepared:
    conditions = [
        SessionFacet.owner_id == _OWNER,
        SessionFacet.kind == Facet.TAG,
        *_is_between(has_start, has_end),
    ]
    if matching is not None:
        ids = select_all_matching(select(ChatSession.id), matching, owner_id=_OWNER)
        conditions.append(SessionFacet.session_id.in_(ids))
    count = func.count()
    counted = (
        select(SessionFacet.value, count.label("sessions"))
        .where(*conditions)
        .group_by(SessionFacet.value)
        .order_by(count.desc(), SessionFacet.value)
    )
    tags = bounded(counted, bindparam("limit", type_=Integer)).subquery()
    spelling = func.coalesce(_oldest_spelling(tags.c.value), tags.c.value)
    return prepare_counts(
        select(spelling.label("label"), tags.c.value, tags.c.sessions).subquery()
    )


def _is_between(has_start: bool, has_end: bool) -> Iterator[ColumnElement[bool]]:
    """Yield the conditions of a range, for which any collation can use the index."""
    at_least, less = (">=", "<") if is_sqlite() else ("~>=~", "~<~")
    if has_start:
        start = bindparam("start", type_=Text)
        yield SessionFacet.value.bool_op(at_least)(start)
    if has_end:
        yield SessionFacet.value.bool_op(less)(bindparam("end", type_=Text))


def _after_prefix(prefix: str) -> str:
    """Return the first text after all that begin with `prefix`; empty if none is."""
    head = prefix.rstrip(chr(_LAST_CHARACTER))
    if not head:
        return ""
    following = ord(head[-1]) + 1
    if following in _SURROGATES:
        following = _SURROGATES.stop
    return head[:-1] + chr(following)


def _oldest_spelling(value: ColumnElement[str]) -> ColumnElement[str]:
    facet = aliased(SessionFacet)
    return (
        select(func.coalesce(facet.label, facet.value))
        .where(
            facet.owner_id == _OWNER,
            facet.kind == Facet.TAG,
            facet.value == value,
            facet.number.is_not(None),
        )
        .order_by(facet.number, facet.session_id)
        .limit(1)
        .scalar_subquery()
    )


@dataclass(frozen=True)
class TagChange:
    """Replaces the tag `old` by `new` in all sessions of the owner, or removes it."""

    owner_id: str
    old: str
    new: str | None = None

    def values(self) -> list[str]:
        """Return the values of the tags that the change may move."""
        return [tag_value(tag) for tag in (self.old, self.new) if tag is not None]

    def apply(self, tags: Sequence[str]) -> list[str]:
        """Return a session's tags after the change.

        If the session has both tags, one stays, at the first place.
        """
        values = self.values()
        if values[0] not in map(tag_value, tags):
            return list(tags)
        kept, new = [], self.new
        for tag in tags:
            if tag_value(tag) not in values:
                kept.append(tag)
            elif new is not None:
                kept.append(new)
                new = None
        return kept


@dataclass(frozen=True)
class ChangeBounds:
    """The most sessions, and bytes of their lists, that one transaction changes.

    The ids of `page` sessions are read at a time.
    """

    sessions: int = 500
    bytes: int = 4 * 1024 * 1024
    page: int = 10_000


BOUNDS = ChangeBounds()


def find_batches(
    change: TagChange, *, after: UUID | None, bounds: ChangeBounds = BOUNDS
) -> list[list[UUID]]:
    """Return the ids of the next sessions with the old tag, in batches by id."""
    size = disk_bytes(*(getattr(ChatSession, name) for name in COLUMNS.values()))
    query = (
        select(SessionFacet.session_id, size)
        .join(ChatSession, ChatSession.id == SessionFacet.session_id)
        .where(
            SessionFacet.owner_id == change.owner_id,
            SessionFacet.kind == Facet.TAG,
            SessionFacet.value == tag_value(change.old),
        )
        .order_by(SessionFacet.session_id)
        .limit(bounds.page)
    )
    if after is not None:
        query = query.where(SessionFacet.session_id > after)
    # Each session counts at least its share, which bounds their number.
    share = bounds.bytes // bounds.sessions
    rows = db.session.execute(query).all()
    batches = in_batches(rows, lambda row: max(row[1], share), bounds.bytes)
    return [[row[0] for row in batch] for batch in batches]


def change_batch(change: TagChange, session_ids: Sequence[UUID]) -> int:
    """Change the tags of these sessions; return how many sessions changed.

    `last_updated_at` stays.
    """
    # Lock rows in id order so that two such requests cannot deadlock.
    locking = (
        select(ChatSession.id, ChatSession.revision, ChatSession.metadata_tags)
        .where(ChatSession.owner_id == change.owner_id, ChatSession.id.in_(session_ids))
        .order_by(ChatSession.id)
        .with_for_update()
    )
    changes = [
        {"id": chat.id, "metadata_tags": tags, "revision": chat.revision + 1}
        for chat in db.session.execute(locking)
        if (tags := change.apply(chat.metadata_tags)) != chat.metadata_tags
    ]
    if not changes:
        return 0
    db.session.execute(update(ChatSession), changes)
    ids = [each["id"] for each in changes]
    db.session.execute(
        delete(SessionFacet).where(
            SessionFacet.session_id.in_(ids),
            SessionFacet.kind == Facet.TAG,
            SessionFacet.value.in_(change.values()),
        )
    )
    if change.new is not None:
        add_tag(change.new, ids, owner_id=change.owner_id)
    return len(changes)
