"""Identifies the caller of a request, for each blueprint of the API."""

from dataclasses import dataclass

from flask import g

# There are no API keys yet, so everything belongs to one owner.
LOCAL_OWNER = "local"
# What that owner may do: everything.
LOCAL_SCOPES = ("read", "write", "admin")


@dataclass(frozen=True)
class Caller:
    """The sender of a request."""

    owner_id: str
    scopes: tuple[str, ...]


def identify_caller() -> None:
    """Set `g.caller`; a blueprint runs this before its views."""
    g.caller = Caller(owner_id=LOCAL_OWNER, scopes=LOCAL_SCOPES)


def current_owner() -> str:
    """Return the owner that every query of this request is scoped to."""
    return current_caller().owner_id


def current_caller() -> Caller:
    """Return the sender of this request."""
    caller: Caller = g.caller
    return caller
