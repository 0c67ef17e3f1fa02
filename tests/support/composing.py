"""What tests of the composer and the outbox do to a page, and ask the server."""

from typing import Any

from tests.support.api import SESSIONS
from tests.support.servers import LiveServer

_COMPOSER = "Add a message"


def new_chat(server: LiveServer) -> str:
    """Create a session; return its id."""
    created: str = server.request("POST", SESSIONS, {"name": "A test"}).json["id"]
    return created


def contents(server: LiveServer, chat: str) -> list[str]:
    """Return what the server has stored, in its order."""
    answer = server.request("GET", f"{SESSIONS}{chat}/messages")
    return [each["content"] for each in answer.json["messages"]]


def composer(page: Any) -> Any:
    return page.get_by_label(_COMPOSER)


def write(page: Any, text: str) -> None:
    """Replace the text of the composer."""
    composer(page).fill(text)


def add(page: Any, text: str) -> None:
    """Write a message and press Enter."""
    write(page, text)
    composer(page).press("Enter")


def shown(page: Any, text: str) -> Any:
    """The stored messages with this text."""
    return page.locator("article.msg:not(.pending)", has_text=text)


def waiting(page: Any) -> Any:
    """The messages that are not stored yet."""
    return page.locator("article.pending")
