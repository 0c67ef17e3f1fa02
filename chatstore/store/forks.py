"""Copies a branch of a session to a new session, in the database; no HTTP, no commit.

Other writers would wait for one long transaction. So a large branch is copied in
several ones, and the last one gives the new session to its owner. Until then
`COPYING_OWNER` owns the session, and no query of an owner finds it. The background
deletions delete it if no batch was added for `LEASE`.

Each step that adds to the session or takes it away first updates its row, under the
condition that `COPYING_OWNER` still owns it. So a copy never has gaps, whatever the
clocks of the processes say.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import chain, islice
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import case, func, insert, literal, select, update
from sqlalchemy.orm import aliased

from chatstore.clock import utc_now
from chatstore.db import db, prepared_first, run_read
from chatstore.enums import Facet
from chatstore.errors import DatabaseUnavailable, SeqMissing
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.models.sessions import (
    COPYING_OWNER,
    DELETED_OWNER,
    new_number,
)
from chatstore.store.batches import fitting
from chatstore.store.json_rows import disk_bytes, stored_bytes
from chatstore.store.message_copies import copy_messages
from chatstore.store.paths import get_path
from chatstore.store.previews import find_preview
from chatstore.store.search import entries
from chatstore.store.sessions import HEAD_SEQ, folded_name, no_such_session, owned
from chatstore.store.tokens import NO_TOKENS

# A fork that gets no batch for this long was left by a process that was killed. The
# clocks of two processes may differ by less.
LEASE = timedelta(minutes=5)
_TEXTS = (Message.content, Message.metadata_, Message.extra)


@dataclass(frozen=True)
class CopyBounds:
    """The most messages and bytes of one transaction; one message may be larger.

    On SQLite the search entries of a transaction follow in one step of `rebuild`, so
    its bytes are bounded as there.
    """

    messages: int = 1000
    bytes: int = 1024 * 1024


BOUNDS = CopyBounds()


@dataclass(frozen=True)
class Fork:
    """A branch to copy to the new session `id`, up to the message `at_seq`.

    `copied` of its `length` messages are copied, `runs` has the seqs of the others, and
    `batch` the next ones, which have `batch_bytes`.
    """

    id: UUID
    source_id: UUID
    owner_id: str
    at_seq: int
    length: int
    name: str | None
    name_words: entries.Words | None
    runs: Sequence[tuple[int, int]]
    bounds: CopyBounds
    batch: Sequence[int] = ()
    batch_bytes: int = 0
    copied: int = 0

    @property
    def is_last_batch(self) -> bool:
        """Whether nothing follows after the batch."""
        return self.copied + len(self.batch) == self.length


def plan_fork(
    session_id: UUID,
    *,
    owner_id: str,
    at_seq: int | None = None,
    bounds: CopyBounds = BOUNDS,
    **changes: str | None,
) -> Fork:
    """Return the branch that ends with the message `at_seq`, or with the head.

    The new session keeps the name, unless `changes` has another `name`. Only reads.
    Raises NotFound if the owner has no such session, and SeqMissing if the session has
    no such message.
    """
    query = select(ChatSession.name, ChatSession.last_seq, HEAD_SEQ)
    source = db.session.execute(query.where(owned(session_id, owner_id))).first()
    if source is None:
        raise no_such_session(session_id)
    name, last_seq, head_seq = source
    at_seq = head_seq if at_seq is None else at_seq
    if at_seq > last_seq:
        raise SeqMissing(at_seq, last_seq)
    path = get_path(session_id, owner_id=owner_id, head_seq=at_seq)
    new_id, name = uuid4(), changes.get("name", name)
    fork = Fork(
        id=new_id,
        source_id=session_id,
        owner_id=owner_id,
        at_seq=at_seq,
        length=path.runs.length,
        name=name,
        name_words=entries.words_of_name(name, owner_id, new_id),
        runs=path.runs.pairs(),
        bounds=bounds,
    )
    return _with_next_batch(fork)


def _without_batch(fork: Fork) -> Fork:
    """Return the fork after its batch is copied, without a next one."""
    done = fork.batch[-1]
    place = bisect_right(fork.runs, done, key=lambda run: run[1])
    first, last = fork.runs[place]
    return replace(
        fork,
        runs=[(max(first, done + 1), last), *fork.runs[place + 1 :]],
        copied=fork.copied + len(fork.batch),
        batch=(),
        batch_bytes=0,
    )


def _with_next_batch(fork: Fork) -> Fork:
    """Return the fork with the next seqs to copy, within the bounds."""
    ranges = (range(first, last + 1) for first, last in fork.runs)
    seqs = list(islice(chain.from_iterable(ranges), fork.bounds.messages))
    bytes_of: dict[int, int] = {}
    # PostgreSQL reads a text to know its bytes, but not to know its bytes on disk. So
    # those cut the batch first.
    for size in (disk_bytes(*_TEXTS), stored_bytes(*_TEXTS)):
        query = select(Message.seq, size).where(
            Message.session_id == fork.source_id, Message.seq.in_(seqs)
        )
        rows: Sequence[Any] = db.session.execute(query).all()
        bytes_of = dict.fromkeys(seqs, 0) | dict(rows)
        seqs = fitting(seqs, bytes_of.__getitem__, fork.bounds.bytes)
    return replace(fork, batch=seqs, batch_bytes=sum(bytes_of[seq] for seq in seqs))


def begin_fork(fork: Fork) -> None:
    """Add the new session, without messages; nobody's query finds it."""
    _require_source(fork)
    now = utc_now()
    chat = ChatSession(
        id=fork.id,
        owner_id=COPYING_OWNER,
        former_owner_id=fork.owner_id,
        created_at=now,
        last_updated_at=now,
        llm_model_name="",
        forked_from_id=fork.source_id,
        forked_from_seq=fork.at_seq,
    )
    db.session.add(chat)
    db.session.flush()


@prepared_first
def copy_batch(fork: Fork) -> Callable[[], Fork]:
    """Copy the batch, which is not the last one; return the fork with its next one."""
    following = _without_batch(fork)
    following = run_read(_with_next_batch, following)

    def copy() -> Fork:
        _require_source(fork)
        _copy_messages(fork)
        return following

    return copy


def finish_fork(fork: Fork) -> ChatSession:
    """Copy the fork's last batch, give the new session to its owner, and return it.

    Begins the fork too if this batch is its only one. Raises NotFound if the session
    was deleted meanwhile.
    """
    if not fork.copied:
        begin_fork(fork)
    if fork.batch:
        _copy_messages(fork)
    # The source keeps its row until the commit, so the facets fit the lists.
    _require_source(fork, is_locking=True)
    chat = _reveal(fork)
    _copy_facets(fork, chat)
    if fork.name_words is not None:
        entries.put_name(chat, fork.name_words)
    return chat


def _require_source(fork: Fork, *, is_locking: bool = False) -> None:
    query = select(ChatSession.id).where(owned(fork.source_id, fork.owner_id))
    if is_locking:
        query = query.with_for_update(read=True)
    if db.session.scalar(query) is None:
        raise no_such_session(fork.source_id)


def _copy_messages(fork: Fork) -> None:
    total = fork.copied + len(fork.batch)
    keeping = (
        update(ChatSession)
        .where(
            ChatSession.id == fork.id,
            ChatSession.owner_id == COPYING_OWNER,
            ChatSession.last_seq == fork.copied,
        )
        .values(
            last_seq=total,
            message_count=total,
            content_bytes=ChatSession.content_bytes + fork.batch_bytes,
            last_updated_at=utc_now(),
        )
        .returning(ChatSession.id)
    )
    if db.session.scalar(keeping.execution_options(synchronize_session=False)) is None:
        raise _given_up()
    copied = copy_messages(fork.source_id, fork.batch, to=fork.id, after=fork.copied)
    if copied.count != len(fork.batch):  # the session is being deleted
        raise no_such_session(fork.source_id)
    if copied.tokens != NO_TOKENS:
        db.session.execute(
            update(ChatSession)
            .where(ChatSession.id == fork.id)
            .values(
                input_tokens=ChatSession.input_tokens + copied.tokens.input,
                output_tokens=ChatSession.output_tokens + copied.tokens.output,
            )
            .execution_options(synchronize_session=False)
        )


def _reveal(fork: Fork) -> ChatSession:
    source = aliased(ChatSession)
    last = select(Message.timestamp).where(
        Message.session_id == fork.id, Message.seq == fork.length
    )
    now = utc_now()
    updated_at = max(now, db.session.scalar(last) or now)
    revealing = (
        update(ChatSession)
        .where(
            ChatSession.id == fork.id,
            ChatSession.owner_id == COPYING_OWNER,
            ChatSession.last_seq == fork.length,
            source.id == ChatSession.forked_from_id,
        )
        .values(
            owner_id=fork.owner_id,
            former_owner_id=None,
            number=new_number(now),
            name=fork.name,
            name_folded=folded_name(fork.name),
            created_at=now,
            last_updated_at=updated_at,
            last_message_preview=find_preview(fork.id),
            llm_model_name=source.llm_model_name,
            rag_document_ids=source.rag_document_ids,
            metadata_tags=source.metadata_tags,
            metadata_=source.metadata_,
            expires_at=source.expires_at,
        )
        .returning(ChatSession)
        .execution_options(synchronize_session=False, populate_existing=True)
    )
    chat: ChatSession | None = db.session.scalar(revealing)
    if chat is None:
        raise _given_up()
    return chat


def _given_up() -> DatabaseUnavailable:
    return DatabaseUnavailable(
        "The copy took too long, so another process has deleted it. Nothing was"
        " created."
    )


def _copy_facets(fork: Fork, chat: ChatSession) -> None:
    number = literal(chat.number, SessionFacet.number.type)
    facets = select(
        literal(fork.id, SessionFacet.session_id.type),
        SessionFacet.kind,
        SessionFacet.value,
        SessionFacet.owner_id,
        SessionFacet.label,
        case((SessionFacet.kind == Facet.TAG, number)),
    ).where(SessionFacet.session_id == fork.source_id)
    columns = ["session_id", "kind", "value", "owner_id", "label", "number"]
    db.session.execute(insert(SessionFacet).from_select(columns, facets))


def hide_fork(fork_id: UUID) -> None:
    """Leave an unfinished fork to the background deletions."""
    _hide(ChatSession.id == fork_id)


def hide_abandoned_forks() -> None:
    """Leave the forks that got no batch for `LEASE` to the background deletions."""
    _hide(ChatSession.last_updated_at < utc_now() - LEASE)


def _hide(condition: Any) -> None:
    hiding = (
        update(ChatSession)
        .where(ChatSession.owner_id == COPYING_OWNER, condition)
        .values(owner_id=DELETED_OWNER)
    )
    db.session.execute(hiding.execution_options(synchronize_session=False))


def count_unfinished() -> int:
    """Return how many forks are being copied, or were left by a killed process."""
    unfinished = select(func.count()).where(ChatSession.owner_id == COPYING_OWNER)
    return db.session.scalar(unfinished) or 0
