"""Keyset paging: pages stay right while rows are added and deleted; no HTTP."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

T = TypeVar("T")


@dataclass(frozen=True)
class SessionPlace:
    """A place in a list of sessions, and the direction to read from there.

    Pages from there exclude the session with this sort value and id. `pinned` tells the
    part of a list that shows pinned sessions first; it is None in other lists.
    """

    value: datetime | str
    id: UUID
    pinned: bool | None = None
    backward: bool = False


@dataclass(frozen=True)
class Page(Generic[T]):
    """Rows of a listing, and the places where the next and previous pages begin.

    The validator is that of `store.validators`, as of the rows or older.
    """

    items: Sequence[T]
    next_place: SessionPlace | None
    previous_place: SessionPlace | None = None
    validator: str | None = None
