"""Draws a table of numbers with a bar for each row, in plain text."""

from collections.abc import Iterator, Sequence

LEAST_BAR = 10
_GAP = "  "

Row = tuple[str, Sequence[int]]


def draw_table(
    heads: Sequence[str], rows: Sequence[Row], *, bars: int = 0, width: int = 0
) -> Iterator[str]:
    """Yield the lines of a table; a row is a label and numbers.

    The first `bars` rows get a bar for their first number, if lines of `width`
    characters leave the longest bar at least `LEAST_BAR`.
    """
    texts = [(label, *(f"{number:,}" for number in numbers)) for label, numbers in rows]
    columns = list(zip(heads, *texts, strict=True))
    sizes = [max(map(len, column)) for column in columns]
    room = width - sum(sizes) - len(_GAP) * len(sizes)
    most = max((numbers[0] for _, numbers in rows[:bars]), default=0)
    yield _line(heads, sizes)
    for place, text in enumerate(texts):
        line = _line(text, sizes)
        number = rows[place][1][0]
        if place < bars and number > 0 and room >= LEAST_BAR:
            # A small number has a bar too.
            line += _GAP + "#" * max(1, number * room // most)
        yield line


def _line(texts: Sequence[str], sizes: Sequence[int]) -> str:
    first, *others = zip(texts, sizes, strict=True)
    cells = [first[0].ljust(first[1]), *(text.rjust(size) for text, size in others)]
    return _GAP.join(cells)
