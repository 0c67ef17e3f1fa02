"""Keyset paging: pages that stay right while rows come and go; no HTTP here."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True)
class SessionPlace:
    """A place between two sessions of a list, and the way to read from there.

    Beside the session with this sort value and id; `pinned` says in which part of a
    list that shows pinned sessions first, and is None in others.
    """

    value: datetime | str
    id: UUID
    pinned: bool | None = None
    backward: bool = False


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a listing, and the places where the pages beside it begin."""

    items: Sequence[T]
    next_place: SessionPlace | None
    previous_place: SessionPlace | None = None
