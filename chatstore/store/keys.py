"""Queries of API keys; no HTTP, no commit.

A key's text is returned once, by the function that creates it, and is stored nowhere.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import ColumnElement, or_, select, update

from chatstore.access.secret_tokens import API_KEY_PREFIX, new_token
from chatstore.clock import utc_now
from chatstore.db import db
from chatstore.enums import Scope
from chatstore.errors import NotFound
from chatstore.models import ApiKey


def create_key(
    *,
    owner_id: str,
    scope: Scope,
    name: str | None = None,
    expires_at: datetime | None = None,
) -> tuple[str, ApiKey]:
    """Create a key; return its text, which is shown only now, and its row."""
    text, token = new_token(API_KEY_PREFIX)
    key = ApiKey(
        id=token.id,
        sha256=token.sha256,
        owner_id=owner_id,
        scope=scope,
        name=name,
        created_at=utc_now(),
        expires_at=expires_at,
    )
    db.session.add(key)
    db.session.flush()
    return text, key


def find_valid_key(key_id: str) -> ApiKey | None:
    """Return the key, or None if it does not exist, is revoked, or has expired."""
    return db.session.scalar(
        select(ApiKey).where(ApiKey.id == key_id, *is_valid_at(utc_now()))
    )


def is_valid_at(instant: datetime) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    """Return the conditions of a key that is neither revoked nor expired."""
    return (
        ApiKey.revoked_at.is_(None),
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > instant),
    )


def get_key(key_id: str) -> ApiKey:
    """Return the key, valid or not; raises NotFound."""
    key = db.session.get(ApiKey, key_id)
    if key is None:
        raise NotFound(f"There is no API key {key_id}.")
    return key


def list_keys(
    *, owner_id: str | None = None, after: str | None = None, limit: int
) -> Sequence[ApiKey]:
    """Return keys in the order of their ids, of one owner or of all, `limit` at most.

    `after` is the id of the last key of the page before.
    """
    query = select(ApiKey).order_by(ApiKey.id).limit(limit)
    if owner_id is not None:
        query = query.where(ApiKey.owner_id == owner_id)
    if after is not None:
        query = query.where(ApiKey.id > after)
    return db.session.scalars(query).all()


def revoke_key(key_id: str) -> ApiKey | None:
    """Revoke the key and return it, or None if it is revoked already.

    Raises NotFound.
    """
    key = _revoke(ApiKey.id == key_id)
    if key is None:
        get_key(key_id)
    return key


def rotate_key(key_id: str) -> tuple[str, ApiKey]:
    """Revoke the key and create one with its owner, scope, name and end.

    Raises NotFound if the key does not exist, is revoked, or has expired.
    """
    # The update decides between two requests at the same time: one gets the row.
    old = _revoke(
        ApiKey.id == key_id,
        or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > utc_now()),
    )
    if old is None:
        raise NotFound(f"There is no valid API key {key_id}.")
    return create_key(
        owner_id=old.owner_id,
        scope=Scope(old.scope),
        name=old.name,
        expires_at=old.expires_at,
    )


def write_uses(last_used: Mapping[str, datetime]) -> None:
    """Write down when keys were last used; a later time that is stored stays."""
    for key_id, instant in sorted(last_used.items()):  # in one order: no deadlock
        db.session.execute(
            update(ApiKey)
            .where(
                ApiKey.id == key_id,
                or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < instant),
            )
            .values(last_used_at=instant)
            .execution_options(synchronize_session=False)
        )


def _revoke(*conditions: ColumnElement[bool]) -> ApiKey | None:
    return db.session.scalar(
        update(ApiKey)
        .where(ApiKey.revoked_at.is_(None), *conditions)
        .values(revoked_at=utc_now())
        .returning(ApiKey)
    )
