"""Keyset paging: pages that stay right while rows come and go; no HTTP here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True)
class SessionKey:
    """Where a session stands in the list of sessions, newest activity first."""

    last_updated_at: datetime
    id: UUID


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a listing; `next_key` is where the next page starts after."""

    items: Sequence[T]
    next_key: SessionKey | None
