"""Cuts sequences into batches of bounded size; no database, no HTTP."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_batches(
    items: Iterable[T], size_of: Callable[[T], int], max_size: int
) -> Iterator[list[T]]:
    """Yield batches of consecutive items whose sizes sum to at most `max_size`.

    A larger item is a batch alone.
    """
    total = 0
    batch: list[T] = []
    for item in items:
        size = size_of(item)
        if batch and total + size > max_size:
            yield batch
            total, batch = 0, []
        total += size
        batch.append(item)
    if batch:
        yield batch


def fitting(items: Iterable[T], size_of: Callable[[T], int], max_size: int) -> list[T]:
    """Return the first batch of `in_batches`; empty if there are no items."""
    return next(in_batches(items, size_of, max_size), [])
