"""The long conversation of the demo: twenty evenings of mental arithmetic."""

from collections.abc import Iterator
from typing import Any

_EVENINGS, _TASKS = 20, 15
_RULES = (
    "You practise mental arithmetic with Mira, who is eleven. Show one way to the"
    " result in one line, and never more than one."
)
_DAY = 24 * 60 * 60


def lessons() -> dict[str, Any]:
    """Return the conversation in the form of the TOML files; it has 601 messages."""
    return {
        "name": "Mental arithmetic with Mira, every evening",
        "model": "llama-3.3-70b",
        "tags": ["school", "maths"],
        "pinned": True,
        "days_ago": 0.6,
        "messages": [{"role": "system", "content": _RULES}, *_each_message()],
    }


def _each_message() -> Iterator[dict[str, Any]]:
    for number in range(_EVENINGS * _TASKS):
        evening, task = divmod(number, _TASKS)
        left, right = 11 + (7 * number) % 83, 3 + (5 * number + evening) % 17
        question = f"{left} × {right}?"
        if task == 0:
            question = f"Evening {evening + 1}, I am ready. {question}"
        is_new_evening = task == 0 and evening > 0
        wait = _DAY - 25 * 60 if is_new_evening else 70 + 13 * number % 60
        yield {"role": "user", "content": question, "wait": wait}
        yield {"role": "assistant", "content": _answer(left, right), "wait": 2}


def _answer(left: int, right: int) -> str:
    tens, ones = left // 10 * 10, left % 10
    result = f"**{left * right}**"
    if not ones:
        return f"{tens // 10} × {right} = {tens // 10 * right}, and a zero: {result}"
    parts = f"{tens * right} + {ones * right}"
    return f"{tens} × {right} + {ones} × {right} = {parts} = {result}"
