"""Reads JSON as I-JSON (RFC 7493), refusing whatever a database would not keep.

SQLite and PostgreSQL differ in what they store: U+0000 and lone surrogates break
one or both, integers past 2**53 - 1 turn into floats, the last of two equal keys
wins. Refusing them at the door makes what is read what was stored, on both.
"""

import codecs
import json
import math
import re
from collections.abc import Iterator
from functools import reduce
from itertools import islice
from typing import Any

from chatstore.errors import MAX_FLAWS, Flaw, MalformedRequest, ValidationFailed

MAX_INTEGER = 2**53 - 1
NUL = "U+0000 (NUL) cannot be stored."
SURROGATE = "A lone surrogate is not text and cannot be stored."
_SURROGATES = re.compile("[\ud800-\udfff]")
# Python makes an object of some 60 to 200 bytes of each value, so a body of brackets
# would take 25 times its size.
MOST_VALUES = 1_000_000
# A string, or what looks like one up to the end of a body that breaks off.
_TEXT = rb'"[^"\\]*(?:\\.[^"\\]*)*\\?(?:"|\Z)'
_STRING = re.compile(_TEXT, re.DOTALL)
_TOKEN = re.compile(_TEXT + rb"|[\[\]{},:]", re.DOTALL)


class _Fault:
    """Stands for what is malformed, until we know its place."""

    def __init__(self, detail: str) -> None:
        self._detail = detail

    def at(self, place: str) -> MalformedRequest:
        """Return the error that names the place."""
        where = f", at {place[:200]}" if place else ""
        return MalformedRequest(f"{self._detail}{where}.")


def loads(body: bytes, *, max_depth: int, levels_around: int = 0) -> Any:
    """Return the value that the JSON text `body`, in UTF-8, stands for.

    Raises MalformedRequest when it is no JSON, has two equal keys in an object, has
    more than a million values or nests deeper than `max_depth`; ValidationFailed,
    naming each place, when a number or a string cannot be kept as it is.
    `levels_around` levels of an object do not count, such as the list around the
    messages of a batch.
    """
    _refuse_other_encodings(body)
    _refuse_many_values(body)
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except RecursionError:
        place = _deep_place(body, max_depth + levels_around, levels_around + 1)
        raise _too_deep(max_depth, place) from None
    except UnicodeDecodeError as error:
        raise MalformedRequest(
            f"The body is not UTF-8: byte {error.start} is out of place."
        ) from None
    except json.JSONDecodeError as error:
        raise MalformedRequest(
            f"The body is not JSON: {error.msg}, at line {error.lineno},"
            f" column {error.colno}."
        ) from None
    # NUL and lone surrogates come as an escape, or not at all: raw ones are no JSON.
    if not isinstance(value, dict):
        levels_around = 0
    most = max_depth + levels_around
    if _is_flawless(value, most, may_hide=b"\\u" in body):
        return value
    flaws = list(islice(_find_flaws(value, max_depth, levels_around), MAX_FLAWS))
    if flaws:
        raise ValidationFailed(flaws)
    return value


def text_flaw(text: str) -> str | None:
    """Say why `text` cannot be stored, or return None when it can."""
    if "\0" in text:
        return NUL
    if _SURROGATES.search(text):
        return SURROGATE
    return None


def pointer(parent: str, key: str | int) -> str:
    """Return the RFC 6901 pointer to `key` within `parent`."""
    return f"{parent}/{str(key).replace('~', '~0').replace('/', '~1')}"


def _refuse_other_encodings(body: bytes) -> None:
    # UTF-32 in little-endian order begins like UTF-16 does.
    if body.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) or (
        len(body) > 1 and b"\0" in body[:2]
    ):
        raise MalformedRequest(
            "The body is not UTF-8 but UTF-16 or UTF-32: send UTF-8."
        )
    if body.startswith(codecs.BOM_UTF8):
        raise MalformedRequest(
            "The body is not JSON: it begins with a byte order mark (U+FEFF)."
            " Leave it out."
        )


def _refuse_many_values(body: bytes) -> None:
    # Texts have such signs, too, but most bodies need no second look.
    if _count_signs(body) < MOST_VALUES or (
        _count_signs(_STRING.sub(b"", body)) < MOST_VALUES
    ):
        return
    raise MalformedRequest(f"The body has more than {MOST_VALUES:,} values.")


def _count_signs(body: bytes) -> int:
    """Return how many signs begin a value, or part it from the one before."""
    return sum(map(body.count, (b",", b"[", b"{", b":")))


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any] | _Fault:
    members = dict(pairs)
    if len(members) < len(pairs):
        return _Fault("An object in the body has the same key twice")
    return members


def _integer(digits: str) -> int | float:
    # int() refuses more than 4,300 digits, with an error of its own.
    return int(digits) if len(digits) <= 17 else math.inf


def _float(text: str) -> float:
    value = float(text)
    mantissa = text.lower().partition("e")[0]
    # Too small for a double: it would come back as another number, like one too large.
    return value if value or not mantissa.strip("-0.") else math.inf


def _constant(name: str) -> _Fault:
    return _Fault(f"The body is not JSON: {name} is no JSON number")


def _too_deep(max_depth: int, place: str = "") -> MalformedRequest:
    where = f"The value at {place}" if place else "The body"
    return MalformedRequest(
        f"{where} nests deeper than {max_depth} levels (CHATSTORE_MAX_JSON_DEPTH)."
    )


def _deep_place(body: bytes, most: int, length: int) -> str:
    """Return the pointer, of `length` keys, to what nests too deep to be read."""
    around: list[Any] = []  # the present key of each object, or place in each array
    text = b""
    for token in _TOKEN.findall(body):
        if token in b"[{":
            around.append(0 if token == b"[" else "")
            if len(around) > most:
                break
        elif token in b"]}":
            del around[-1:]
        elif token == b":":
            around[-1:] = [text[1:-1].decode(errors="replace")]
        elif token != b",":
            text = token
        elif around and isinstance(around[-1], int):
            around[-1] += 1
    return reduce(pointer, around[:length], "")[:200]


def _is_flawless(value: Any, max_depth: int, *, may_hide: bool) -> bool:
    """Whether nothing is wrong: a fifteenth of the cost of finding out where.

    `may_hide` says whether texts are worth a look.
    """
    level, depth = [value], 1
    while level:
        below: list[Any] = []
        for each in level:
            kind = type(each)
            if kind is str:
                if may_hide and text_flaw(each):
                    return False
            elif kind is dict or kind is list:
                if depth > max_depth:
                    return False
                if kind is dict and may_hide and any(map(text_flaw, each)):
                    return False
                below += each.values() if kind is dict else each
            elif kind is _Fault or _scalar_flaw(each):
                return False
        level, depth = below, depth + 1
    return True


def _find_flaws(value: Any, max_depth: int, levels_around: int) -> Iterator[Flaw]:
    pending: list[tuple[str, Any, int]] = [("", value, 1)]
    while pending:
        place, each, depth = pending.pop()
        if isinstance(each, _Fault):
            raise each.at(place)
        if isinstance(each, dict | list):
            if depth > max_depth + levels_around:
                # The field is what the client knows, not a place 32 levels below.
                parts = place.split("/")[: levels_around + 2]
                raise _too_deep(max_depth, "/".join(parts)[:200])
            children = each.items() if isinstance(each, dict) else enumerate(each)
            for key, child in children:
                problem = text_flaw(key) if isinstance(key, str) else None
                if problem:
                    yield Flaw(place, f"A key cannot be stored: {problem}")
                else:
                    pending.append((pointer(place, key), child, depth + 1))
        else:
            problem = _scalar_flaw(each)
            if problem:
                yield Flaw(place, problem)


def _scalar_flaw(value: Any) -> str | None:
    if isinstance(value, str):
        return text_flaw(value)
    if isinstance(value, float) and not math.isfinite(value):
        return (
            "The number is out of range: a double, or an integer up to 2**53 - 1."
            " Send it as text, in a JSON string."
        )
    if isinstance(value, int) and abs(value) > MAX_INTEGER:
        return (
            "The integer is out of range: at most 2**53 - 1 either way."
            " Send it as text, in a JSON string."
        )
    return None
