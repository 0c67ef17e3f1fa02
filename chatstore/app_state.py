"""Keeps the objects that an application owns: one of each class, found by its class."""

from typing import TypeVar

from flask import Flask, current_app

T = TypeVar("T")

_KEY = "chatstore"


def add_to_app(app: Flask, value: object) -> None:
    """Store `value` in `app`; it replaces an object of the same class."""
    app.extensions.setdefault(_KEY, {})[type(value)] = value


def find_in_app(kind: type[T], app: Flask | None = None) -> T | None:
    """Return the object of this class in `app` (the current one), or None."""
    found: T | None = (app or current_app).extensions.get(_KEY, {}).get(kind)
    return found


def get_from_app(kind: type[T], app: Flask | None = None) -> T:
    """Return the object of this class in `app` (the current one).

    Raises LookupError if the application has none.
    """
    found = find_in_app(kind, app)
    if found is None:
        raise LookupError(f"the application has no {kind.__name__}")
    return found
