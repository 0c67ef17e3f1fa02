"""Queries of browser logins; no HTTP, no commit.

The row of a login ends with it. A login by a key is valid only while the key is. A
login by OpenID has no key.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

from sqlalchemy import (
    ColumnElement,
    and_,
    delete,
    exists,
    or_,
    select,
    union_all,
    update,
)

from chatstore.access.secret_tokens import LOGIN_PREFIX, SecretToken, new_token
from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.enums import Scope
from chatstore.errors import Unauthorized
from chatstore.models import ApiKey, LoginSession
from chatstore.store.keys import find_valid_key, is_valid_at

# An owner's oldest logins end when there are more, so that their number is bounded.
MAX_LOGINS = 100
# `last_seen_at` is written once a minute, so a login in use may look this idle.
_MAX_DELAY = timedelta(minutes=2)


def create_login(
    key_id: str, *, lifetime: timedelta, replaced: SecretToken | None = None
) -> tuple[str, LoginSession]:
    """Create a login with what the key may do; return its token and its row.

    The login `replaced` ends: it is that of the same browser. Raises Unauthorized if
    the key is no longer valid.
    """
    key = find_valid_key(key_id)
    if key is None:
        raise Unauthorized("This API key is revoked or has expired.")
    return _add_login(
        owner_id=key.owner_id,
        scope=Scope(key.scope),
        key_id=key.id,
        key_expires_at=key.expires_at,
        lifetime=lifetime,
        replaced=replaced,
    )


def create_login_without_key(
    owner_id: str,
    scope: Scope,
    *,
    lifetime: timedelta,
    replaced: SecretToken | None = None,
) -> tuple[str, LoginSession]:
    """Create a login of an owner whom a provider named; return its token and its row.

    The login `replaced` ends: it is that of the same browser.
    """
    return _add_login(
        owner_id=owner_id,
        scope=scope,
        key_id=None,
        key_expires_at=None,
        lifetime=lifetime,
        replaced=replaced,
    )


def find_valid_login(login_id: str, *, idle: timedelta) -> LoginSession | None:
    """Return the login; None if it has ended, was `idle`, or its key is not valid."""
    now = utc_now()
    has_valid_key = exists().where(ApiKey.id == LoginSession.key_id, *is_valid_at(now))
    return db.session.scalar(
        select(LoginSession).where(
            LoginSession.id == login_id,
            LoginSession.expires_at > now,
            LoginSession.last_seen_at > now - idle - _MAX_DELAY,
            or_(LoginSession.key_id.is_(None), has_valid_key),
        )
    )


def delete_login(token: SecretToken) -> bool:
    """End the login; return whether there was one."""
    deleted = db.session.scalar(
        delete(LoginSession).where(_is_of(token)).returning(LoginSession.id)
    )
    return deleted is not None


def delete_logins_of(owner_id: str) -> int:
    """End all logins of the owner; return how many there were."""
    return _delete(LoginSession.owner_id == owner_id)


def find_expired(*, limit: int) -> Sequence[str]:
    """Return the ids of logins that have expired, at most `limit`."""
    return db.session.scalars(
        select(LoginSession.id)
        .where(LoginSession.expires_at <= utc_now())
        .order_by(LoginSession.expires_at)
        .limit(limit)
    ).all()


def delete_expired(login_ids: Sequence[str]) -> None:
    """Delete the logins."""
    _delete(LoginSession.id.in_(login_ids))


def write_uses(last_used: Mapping[str, datetime]) -> None:
    """Write down when logins were last used; a later time that is stored stays."""
    for login_id, instant in sorted(last_used.items()):  # in one order: no deadlock
        db.session.execute(
            update(LoginSession)
            .where(LoginSession.id == login_id, LoginSession.last_seen_at < instant)
            .values(last_seen_at=instant)
            .execution_options(synchronize_session=False)
        )


def _make_room(owner_id: str, replaced: SecretToken | None) -> None:
    """End the replaced login, and the owner's oldest ones if there are too many."""
    too_old = (
        select(LoginSession.id)
        .where(LoginSession.owner_id == owner_id)
        .order_by(LoginSession.created_at.desc(), LoginSession.id)
        .offset(MAX_LOGINS - 1)
        .subquery()
    )
    ending = [select(too_old.c.id)]
    if replaced is not None:
        ending.append(select(LoginSession.id).where(_is_of(replaced)))
    # A union, because an OR would read the whole table.
    _delete(LoginSession.id.in_(union_all(*ending)))


def _is_of(token: SecretToken) -> ColumnElement[bool]:
    return and_(LoginSession.id == token.id, LoginSession.sha256 == token.sha256)


def _delete(condition: ColumnElement[bool]) -> int:
    """Delete logins and return how many.

    Locks them in id order, so that two of us cannot deadlock.
    """
    locking = select(LoginSession.id).where(condition).order_by(LoginSession.id)
    ids = db.session.scalars(locking.with_for_update()).all()
    if ids:
        db.session.execute(
            delete(LoginSession)
            .where(LoginSession.id.in_(ids))
            .execution_options(synchronize_session=False)
        )
    return len(ids)


def _add_login(
    *,
    owner_id: str,
    scope: Scope,
    key_id: str | None,
    key_expires_at: datetime | None,
    lifetime: timedelta,
    replaced: SecretToken | None,
) -> tuple[str, LoginSession]:
    _make_room(owner_id, replaced)
    now = utc_now()
    text, token = new_token(LOGIN_PREFIX)
    login = LoginSession(
        id=token.id,
        owner_id=owner_id,
        scope=scope,
        sha256=token.sha256,
        key_id=key_id,
        created_at=now,
        last_seen_at=now,
        expires_at=min(now + lifetime, key_expires_at or now + lifetime),
    )
    db.session.add(login)
    db.session.flush()
    return text, login
