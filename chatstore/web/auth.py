"""Identifies the caller of a request, for each blueprint of the API."""

from dataclasses import dataclass

from flask import g

# There are no API keys yet, so everything belongs to one owner.
LOCAL_OWNER = "local"


@dataclass(frozen=True)
class Caller:
    """The sender of a request."""

    owner_id: str


def identify_caller() -> None:
    """Set `g.caller`; a blueprint runs this before its views."""
    g.caller = Caller(owner_id=LOCAL_OWNER)


def current_owner() -> str:
    """Return the owner that every query of this request is scoped to."""
    caller: Caller = g.caller
    return caller.owner_id
