"""Pages that stay right while rows come and go, and how much one holds; no HTTP."""

from collections.abc import Callable, Iterable, Iterator, Sequence
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


def in_batches(
    items: Iterable[T], size_of: Callable[[T], int], most: int
) -> Iterator[list[T]]:
    """Yield the items in batches of sizes up to `most` in all: one at least in each."""
    total = 0
    batch: list[T] = []
    for item in items:
        size = size_of(item)
        if batch and total + size > most:
            yield batch
            total, batch = 0, []
        total += size
        batch.append(item)
    if batch:
        yield batch


def fitting(items: Iterable[T], size_of: Callable[[T], int], most: int) -> list[T]:
    """Return the first items, of sizes up to `most` in all: one at least, if any."""
    return next(in_batches(items, size_of, most), [])
