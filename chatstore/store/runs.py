"""Runs of consecutive seqs, which a path consists of; no queries."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field


def _seqs() -> "array[int]":
    return array(
        "i"
    )  # four bytes a seq: a stream holds its runs for as long as it runs


@dataclass(frozen=True)
class Runs:
    """Runs of consecutive seqs, ascending and disjoint: run n is firsts[n] to lasts[n].

    Immutable by convention, so that the chunks of a listing share it.
    """

    firsts: "array[int]" = field(default_factory=_seqs)
    lasts: "array[int]" = field(default_factory=_seqs)

    @classmethod
    def of_one(cls, first: int, last: int) -> "Runs":
        """Return one run, or none if `last` is before `first`."""
        runs = range(first, last + 1)
        return cls(
            array("i", [first] if runs else []), array("i", [last] if runs else [])
        )

    @classmethod
    def of(cls, seqs: Sequence[int]) -> "Runs":
        """Return the runs of these ascending seqs."""
        runs = cls()
        for seq in seqs:
            if runs.lasts and runs.lasts[-1] == seq - 1:
                runs.lasts[-1] = seq
            else:
                runs.firsts.append(seq)
                runs.lasts.append(seq)
        return runs

    @property
    def length(self) -> int:
        """The number of seqs in all runs."""
        return sum(self.lasts) - sum(self.firsts) + len(self.firsts)

    def pairs(self) -> list[tuple[int, int]]:
        """Return each run as (first, last)."""
        return list(zip(self.firsts, self.lasts, strict=True))

    def holds(self, seq: int) -> bool:
        """Whether one of the runs has this seq."""
        place = bisect_left(self.lasts, seq)
        return place < len(self.firsts) and self.firsts[place] <= seq

    def between(
        self, after: int, before: int, *, is_descending: bool
    ) -> Iterator[tuple[int, int]]:
        """Yield the parts of the runs with `after` < seq < `before`, in this order."""
        start = bisect_right(self.lasts, after)
        end = bisect_left(self.firsts, before)
        places = range(start, end)
        for place in reversed(places) if is_descending else places:
            first = max(self.firsts[place], after + 1)
            last = min(self.lasts[place], before - 1)
            if first <= last:
                yield first, last

    def seqs(
        self, *, count: int, after: int, before: int, is_descending: bool
    ) -> list[int]:
        """Return the first `count` seqs between two exclusive bounds, in this order."""
        found: list[int] = []
        for first, last in self.between(after, before, is_descending=is_descending):
            seqs = range(first, last + 1)
            found += (seqs[::-1] if is_descending else seqs)[: count - len(found)]
            if len(found) == count:
                break
        return found
