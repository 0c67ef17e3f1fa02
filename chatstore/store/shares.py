"""Queries of the links that share a session, and what a link shows; no HTTP, no commit.

A link's token is returned once, by the function that creates it, and is stored nowhere.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    and_,
    case,
    delete,
    exists,
    func,
    literal,
    not_,
    or_,
    select,
    update,
)

from chatstore.access.secret_tokens import (
    SHARE_PREFIX,
    is_same_secret,
    new_token,
    parse_token,
)
from chatstore.access.share_reads import Reads
from chatstore.clock import utc_now
from chatstore.db import UtcDateTime, db, read_connection
from chatstore.db.row_owner import ALL_OWNERS, rows_of
from chatstore.errors import Flaw, NotFound, TooManyShares, ValidationFailed
from chatstore.models import ChatSession, Share
from chatstore.schemas.shares import SharedMessageSchema
from chatstore.store.path_messages import BranchRange, list_branch
from chatstore.store.paths import get_path
from chatstore.store.sessions import HEAD_SEQ, no_such_session, owned

# What a link shows of a message.
_FIELDS = tuple(SharedMessageSchema().fields)


@dataclass(frozen=True)
class SharedPage:
    """What a link shows: the session, and a page of the messages on its path.

    `session` maps the names of its fields to values. `messages` are JSON texts.
    """

    share_id: str
    session: Mapping[str, Any]
    live: bool
    expires_at: datetime | None
    messages: Sequence[str]
    has_more: bool


def create_share(
    session_id: UUID,
    *,
    owner_id: str,
    max_shares: int,
    live: bool = False,
    expires_at: datetime | None = None,
) -> tuple[str, Share]:
    """Create a link; return its token, which is shown only now, and its row.

    It shows the path to the session's head of now, or of each read if it is `live`. If
    the session has `max_shares`, those that are no longer valid are deleted. Raises
    NotFound; ValidationFailed if `expires_at` has passed; TooManyShares.
    """
    now = utc_now()
    if expires_at is not None and expires_at <= now:
        raise ValidationFailed([Flaw("/expires_at", "It must be later than now.")])
    count = select(func.count()).where(Share.session_id == session_id)
    # The lock only keeps the session's row from being deleted, so no append waits.
    # Requests at the same time may create a few links more than `max_shares`.
    found = db.session.execute(
        select(HEAD_SEQ.label("head_seq"), count.scalar_subquery().label("shares"))
        .where(owned(session_id, owner_id))
        .with_for_update(read=True, key_share=True, of=ChatSession)
    ).first()
    if found is None:
        raise no_such_session(session_id)
    deleted = 0 if found.shares < max_shares else _delete_invalid(session_id, now)
    if found.shares - deleted >= max_shares:
        raise TooManyShares(max_shares)
    text, token = new_token(SHARE_PREFIX)
    share = Share(
        id=token.id,
        sha256=token.sha256,
        owner_id=owner_id,
        session_id=session_id,
        head_seq=None if live else found.head_seq,
        created_at=now,
        expires_at=expires_at,
    )
    db.session.add(share)
    db.session.flush()
    return text, share


def list_shares(session_id: UUID, *, owner_id: str) -> Sequence[Share]:
    """Return the session's links, valid or not, newest first; raise NotFound.

    `create_share` bounds their number.
    """
    session = select(ChatSession.id).where(owned(session_id, owner_id))
    if db.session.scalar(session) is None:
        raise no_such_session(session_id)
    shares = (
        select(Share)
        .where(Share.session_id == session_id, Share.owner_id == owner_id)
        .order_by(Share.created_at.desc(), Share.id)
        .execution_options(populate_existing=True)
    )
    return db.session.scalars(shares).all()


def revoke_share(session_id: UUID, share_id: str, *, owner_id: str) -> bool:
    """Revoke the link; return False if it was revoked before. Raises NotFound."""
    of_owner = and_(
        Share.id == share_id,
        Share.session_id == session_id,
        Share.owner_id == owner_id,
        exists().where(owned(session_id, owner_id)),
    )
    revoked = db.session.scalar(
        update(Share)
        .where(of_owner, Share.revoked_at.is_(None))
        .values(revoked_at=utc_now())
        .returning(Share.id)
        .execution_options(synchronize_session=False)
    )
    if revoked is None and db.session.scalar(select(Share.id).where(of_owner)) is None:
        raise NotFound(f"There is no link {share_id} to session {session_id}.")
    return revoked is not None


def read_shared(text: str, *, after: int, limit: int) -> SharedPage:
    """Return what the link with the token `text` shows: messages with seq > `after`.

    A page may be shorter than `limit` without being the last. Raises the same NotFound
    for a token that does not exist, is revoked or has expired, and for a session that
    is in the trash, deleted or another owner's by now. Raises TooManyForks.
    """
    # The token is the proof here, so the query that finds its owner may see all rows.
    with rows_of(ALL_OWNERS):
        row = _find_valid(text)
    if row is None:
        raise _no_such_link()
    try:
        with rows_of(row.owner_id):
            own = {"owner_id": row.owner_id}
            runs = get_path(row.session_id, head_seq=row.head_seq, **own).runs
            chunk = list_branch(
                row.session_id,
                **own,
                wanted=BranchRange(after=after, limit=limit, fields=_FIELDS, runs=runs),
            )
    except NotFound:  # deleted since; the error would name the session
        raise _no_such_link() from None
    session = {
        "name": row.name,
        "llm_model_name": row.llm_model_name,
        "created_at": row.created_at,
        "message_count": runs.length,
    }
    return SharedPage(
        row.id,
        session,
        row.head_seq is None,
        row.expires_at,
        chunk.messages,
        chunk.has_more or chunk.rest is not None,
    )


def add_reads(reads: Mapping[str, Reads]) -> None:
    """Add to the counts of links; a later time that is stored stays."""
    for share_id, each in sorted(reads.items()):  # in one order: no deadlock
        last = literal(each.last, UtcDateTime())
        is_later = or_(Share.last_read_at.is_(None), Share.last_read_at < last)
        db.session.execute(
            update(Share)
            .where(Share.id == share_id)
            .values(
                reads=Share.reads + each.count,
                last_read_at=case((is_later, last), else_=Share.last_read_at),
            )
            .execution_options(synchronize_session=False)
        )


def _is_valid(now: datetime) -> ColumnElement[bool]:
    is_current = or_(Share.expires_at.is_(None), Share.expires_at > now)
    return and_(Share.revoked_at.is_(None), is_current)


def _delete_invalid(session_id: UUID, now: datetime) -> int:
    """Delete the session's links that are no longer valid; return how many."""
    deleted = db.session.execute(
        delete(Share)
        .where(Share.session_id == session_id, not_(_is_valid(now)))
        .returning(Share.id)
        .execution_options(synchronize_session=False)
    )
    return len(deleted.all())


def _find_valid(text: str) -> Any | None:
    token = parse_token(SHARE_PREFIX, text)
    if token is None:
        return None
    # A hidden session, such as one in the trash, has another owner.
    is_its = and_(
        ChatSession.id == Share.session_id, ChatSession.owner_id == Share.owner_id
    )
    query = (
        select(
            Share.id,
            Share.sha256,
            Share.session_id,
            Share.owner_id,
            Share.head_seq,
            Share.expires_at,
            ChatSession.name,
            ChatSession.llm_model_name,
            ChatSession.created_at,
        )
        .join(ChatSession, is_its)
        .where(Share.id == token.id, _is_valid(utc_now()))
    )
    with read_connection() as connection:
        row = connection.execute(query).first()
    return row if row is not None and is_same_secret(token, row.sha256) else None


def _no_such_link() -> NotFound:
    return NotFound("There is no such link, or it is no longer valid.")
