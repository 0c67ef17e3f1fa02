"""One check per promise about stored data: a query for data that breaks it."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import Select, column, func, or_, select, table, text

from chatstore.db import db, is_sqlite
from chatstore.enums import Role
from chatstore.fulltext.index_format import MESSAGES, NAMES
from chatstore.models import ChatSession, Message
from chatstore.store.deletions import IS_WHOLE
from chatstore.store.search import rebuild
from chatstore.store.verify.branches import (
    find_wrong_heads,
    find_wrong_parents,
    find_wrong_paths,
)
from chatstore.store.verify.corrections import (
    find_deleted_texts,
    find_wrong_feedback,
    find_wrong_revisions,
)
from chatstore.store.verify.index import Progress, find_wrong
from chatstore.store.verify.lists import find_wrong_facets, find_wrong_names
from chatstore.store.verify.previews import find_wrong_previews
from chatstore.store.verify.tokens import find_wrong_tokens


@dataclass(frozen=True)
class Check:
    """One promise; `finder(progress)` yields a sentence for each violation."""

    name: str
    finder: Callable[[Progress], Iterator[str]]

    def find(self, progress: Progress = lambda what: None) -> Iterator[str]:
        """Yield a sentence for each place where the promise is broken."""
        return self.finder(progress)


def _without_progress(
    find: Callable[[], Iterator[str]],
) -> Callable[[Progress], Iterator[str]]:
    return lambda progress: find()


def _find_gaps() -> Iterator[str]:
    found = (
        select(
            Message.session_id,
            func.count().label("messages"),
            func.min(Message.seq).label("first"),
            func.max(Message.seq).label("last"),
        )
        .group_by(Message.session_id)
        .subquery()
    )
    count, last = func.coalesce(found.c.messages, 0), func.coalesce(found.c.last, 0)
    query = (
        select(ChatSession.id, ChatSession.last_seq, count, found.c.first, last)
        .outerjoin(found, found.c.session_id == ChatSession.id)
        .where(
            IS_WHOLE,
            or_(
                count != ChatSession.last_seq,
                last != ChatSession.last_seq,
                found.c.first != 1,
            ),
        )
    )
    for chat_id, last_seq, messages, first, final in _rows(query):
        yield (
            f"session {chat_id} must have seq 1 to {last_seq},"
            f" but has {messages} messages from {first} to {final}"
        )


def _find_wrong_counts() -> Iterator[str]:
    messages = (
        select(func.count())
        .where(Message.session_id == ChatSession.id)
        .scalar_subquery()
    )
    query = select(ChatSession.id, ChatSession.message_count, messages).where(
        IS_WHOLE, ChatSession.message_count != messages
    )
    for chat_id, counted, actual in _rows(query):
        yield f"session {chat_id} has message_count {counted}, but {actual} messages"


def _find_disorder() -> Iterator[str]:
    timeline = select(
        Message.session_id,
        Message.seq,
        Message.timestamp,
        func.lag(Message.timestamp)
        .over(partition_by=Message.session_id, order_by=Message.seq)
        .label("previous"),
    ).subquery()
    query = select(timeline.c.session_id, timeline.c.seq).where(
        timeline.c.timestamp <= timeline.c.previous
    )
    for chat_id, seq in _rows(query):
        yield f"session {chat_id}: message {seq} is not later than its predecessor"


# A fork keeps the timestamps of its messages, and was updated when it was created.
_IS_NEW_FORK = ChatSession.forked_from_id.is_not(None) & (
    ChatSession.last_updated_at == ChatSession.created_at
)


def _find_wrong_last_messages() -> Iterator[str]:
    query = (
        select(ChatSession.id)
        .outerjoin(
            Message,
            (Message.session_id == ChatSession.id)
            & (Message.seq == ChatSession.last_seq),
        )
        .where(
            IS_WHOLE,
            or_(
                (Message.timestamp != ChatSession.last_updated_at) & ~_IS_NEW_FORK,
                Message.timestamp > ChatSession.last_updated_at,
                Message.id.is_(None)
                & (ChatSession.last_updated_at != ChatSession.created_at),
                ChatSession.last_updated_at < ChatSession.created_at,
            ),
        )
    )
    for (chat_id,) in _rows(query):
        yield f"session {chat_id}: the last update differs from the last message"
    yield from find_wrong_previews()


def _find_orphans() -> Iterator[str]:
    query = (
        select(Message.id, Message.session_id)
        .outerjoin(ChatSession, ChatSession.id == Message.session_id)
        .where(ChatSession.id.is_(None))
    )
    for message_id, chat_id in _rows(query):
        yield f"message {message_id} belongs to session {chat_id}, which is missing"


def _find_unknown_roles() -> Iterator[str]:
    query = select(Message.id, Message.role).where(Message.role.not_in(list(Role)))
    for message_id, role in _rows(query):
        yield f"message {message_id} has the unknown role {role!r}"


def _find_unsearchable(progress: Progress) -> Iterator[str]:
    for key in find_wrong(MESSAGES, progress):
        yield f"message {key} has a missing or wrong entry in the search index"
    for key in rebuild.find_strays(MESSAGES):
        yield f"the search index has an entry of message {key}, which is missing"
    for key in find_wrong(NAMES, progress):
        yield f"the name of session number {key} has a missing or wrong search entry"
    for key in rebuild.find_strays(NAMES):
        yield f"the search index has an entry of session number {key}, without a name"
    for chat_id in rebuild.find_unnumbered():
        yield f"session {chat_id} has no number, so search cannot find its name"


def _find_damage() -> Iterator[str]:
    if not is_sqlite():
        return
    indexes = text("SELECT name FROM sqlite_schema WHERE sql LIKE '%USING fts5%'")
    for index in db.session.scalars(indexes):
        # The check trusts FTS5's cache of an index, which another connection may have
        # changed. A query makes FTS5 refresh the cache.
        rowids: Select[int] = select(column("rowid")).select_from(table(index))
        db.session.execute(rowids.limit(1)).all()
    # A row that violates a CHECK is no damage to the file; other checks report it.
    db.session.execute(text("PRAGMA ignore_check_constraints = ON"))
    try:
        for (line,) in db.session.execute(text("PRAGMA integrity_check")):
            if line != "ok":
                yield line
    finally:
        db.session.execute(text("PRAGMA ignore_check_constraints = OFF"))


def _rows(query: Select[*tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
    for row in db.session.execute(query, execution_options={"yield_per": 1000}):
        yield tuple(row)


CHECKS = (
    Check("file", _without_progress(_find_damage)),
    Check("orphans", _without_progress(_find_orphans)),
    Check("seq", _without_progress(_find_gaps)),
    Check("count", _without_progress(_find_wrong_counts)),
    Check("tokens", _without_progress(find_wrong_tokens)),
    Check("order", _without_progress(_find_disorder)),
    Check("last message", _without_progress(_find_wrong_last_messages)),
    Check("role", _without_progress(_find_unknown_roles)),
    Check("parents", _without_progress(find_wrong_parents)),
    Check("heads", _without_progress(find_wrong_heads)),
    Check("paths", _without_progress(find_wrong_paths)),
    Check("revisions", _without_progress(find_wrong_revisions)),
    Check("deleted", _without_progress(find_deleted_texts)),
    Check("feedback", _without_progress(find_wrong_feedback)),
    Check("facets", _without_progress(find_wrong_facets)),
    Check("names", _without_progress(find_wrong_names)),
    Check("search", _find_unsearchable),
)
