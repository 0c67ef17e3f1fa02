"""Counts the tokens of messages by their `usage`, in Python and in SQL; no queries."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from sqlalchemy import BigInteger, ColumnElement, func, literal_column
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from chatstore.models import Message

# A message counts at most this many tokens of each kind, so that no sum of the messages
# of a session can overflow a bigint. No model comes near.
MAX_TOKENS = 1_000_000_000


class Tokens(NamedTuple):
    """Tokens that models read (input) and wrote (output)."""

    input: int = 0
    output: int = 0

    def plus(self, other: "Tokens") -> "Tokens":
        """Return the sums of both kinds."""
        return Tokens(self.input + other.input, self.output + other.output)

    def minus(self, other: "Tokens") -> "Tokens":
        """Return the differences of both kinds."""
        return Tokens(self.input - other.input, self.output - other.output)


NO_TOKENS = Tokens()


def tokens_of(extra: Mapping[str, Any] | None) -> Tokens:
    """Return the tokens that a message with this `extra` counts."""
    usage = (extra or {}).get("usage")
    if not usage:
        return NO_TOKENS
    return Tokens(
        min(usage.get("input_tokens", 0), MAX_TOKENS),
        min(usage.get("output_tokens", 0), MAX_TOKENS),
    )


def sum_tokens(tokens: Iterable[Tokens]) -> Tokens:
    """Return the sums of all these tokens."""
    total = NO_TOKENS
    for each in tokens:
        if each is not NO_TOKENS:
            total = total.plus(each)
    return total


class counted_tokens(FunctionElement[int]):
    """SQL for the tokens of one kind that a message counts, from its `extra`."""

    name = "counted_tokens"
    type = BigInteger()
    inherit_cache = True

    def __init__(self, kind: str, extra: Any = Message.extra) -> None:
        super().__init__(literal_column(kind), extra)


@compiles(counted_tokens)
def _counted_tokens(element: Any, compiler: Any, **options: Any) -> str:
    kind, extra = element.clauses
    column = compiler.process(extra, **options)
    value = f"CAST(json_extract({column}, '$.usage.{kind.name}') AS INTEGER)"
    return f"min(coalesce({value}, 0), {MAX_TOKENS})"


@compiles(counted_tokens, "postgresql")
def _counted_tokens_in_postgresql(element: Any, compiler: Any, **options: Any) -> str:
    kind, extra = element.clauses
    column = compiler.process(extra, **options)
    value = f"CAST({column} #>> '{{usage,{kind.name}}}' AS numeric)"
    # `least` ignores null.
    return f"CAST(least(coalesce({value}, 0), {MAX_TOKENS}) AS bigint)"


INPUT_TOKENS = counted_tokens("input_tokens")
OUTPUT_TOKENS = counted_tokens("output_tokens")


def summed(column: ColumnElement[int]) -> ColumnElement[int]:
    """Return SQL for the sum of a column as a bigint; 0 of no rows."""
    # PostgreSQL sums bigints to a numeric, which the driver returns as a Decimal.
    return func.coalesce(func.sum(column), 0).cast(BigInteger)
