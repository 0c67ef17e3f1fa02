"""Every view and state of the web UI, one after the other, in one page."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.api import SESSIONS
from tests.support.servers import LiveServer, environ_of

CODE = "```python\n# a comment\ndef double(n: int):\n    return n * 2, 'two'\n```"
TABLE = f"| name | {'column | ' * 12}\n|---|{'---|' * 12}\n| a | {'cell | ' * 12}\n"
RICH = f"""## A heading

Some **strong** words, `code`, [a link](https://docs.example/x) and a picture:
![two folders](https://pictures.example/a.png)

> a quotation

1. one
2. {"W" * 200}

{TABLE}
{CODE}
"""
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "disk_usage", "arguments": '{"path": "/srv"}'},
}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "You are brief."},
    {"role": "user", "content": "How do I double a number?"},
    {
        "role": "assistant",
        "content": RICH,
        "tool_calls": [CALL],
        "usage": {"input_tokens": 1000, "output_tokens": 30},
        "metadata": {"trace": "abc"},
    },
    {"role": "tool", "tool_call_id": "call_1", "content": '{"free": 2}'},
    {"role": "user", "content": "شكرا"},
    {"role": "assistant", "content": "As you wish."},
]


class Store:
    """A server with logins, whose owner alice has sessions of every kind."""

    def __init__(self, server: LiveServer) -> None:
        self.server = server
        command = [sys.executable, "-m", "chatstore", "keys", "issue"]
        issued = subprocess.run(
            [*command, "--owner", "alice", "--scope", "admin"],
            cwd=server.folder,
            env=environ_of(),
            capture_output=True,
            check=True,
        )
        self.key = issued.stdout.decode().strip()
        self.rich_id = self.add(
            "Everything at once", *MESSAGES, tags=["home", "garden"]
        )
        path = f"{SESSIONS}{self.rich_id}"
        other = {"role": "assistant", "content": "Another answer.", "parent_seq": 5}
        self.send("POST", f"{path}/messages", other)
        last = self.send("GET", f"{path}/messages?after=6")["messages"][0]
        edited = f"{path}/messages/{last['id']}"
        self.send("PATCH", edited, {"content": "Another answer, edited."})
        self.send("PUT", f"{edited}/feedback", {"rating": 1})
        self.token = self.send("POST", f"{path}/shares", {})["token"]
        self.add("Pinned one", *MESSAGES[:2], pinned=True)
        for number in range(5):
            self.add(f"Number {number}", *MESSAGES[1:3])
        self.add("Archived one", *MESSAGES[:2], archived=True)
        self.send("DELETE", f"{SESSIONS}{self.add('Deleted one', *MESSAGES[:2])}")

    def send(self, method: str, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.server.port}{path}",
            json.dumps(body).encode() if body is not None else None,
            {"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
            method=method,
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    def add(self, name: str, *messages: dict[str, Any], **fields: Any) -> str:
        """Make a session of these messages; returns its id."""
        body = {"name": name, "metadata_tags": fields.pop("tags", [])}
        session_id: str = self.send("POST", SESSIONS, body)["id"]
        batch = f"{SESSIONS}{session_id}/messages/batch"
        self.send("POST", batch, {"messages": list(messages)})
        if fields:
            self.send("PATCH", f"{SESSIONS}{session_id}", fields)
        return session_id

    def login(self, browser: Any) -> Any:
        """Return the storage of a browser that is logged in."""
        address = f"http://127.0.0.1:{self.server.port}"
        context = browser.new_context(base_url=address)
        page = context.new_page()
        page.goto("/login?next=/no")
        page.get_by_label("API key").fill(self.key)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url("**/no")
        state = context.storage_state()
        context.close()
        return state


@contextmanager
def answering(page: Any, pattern: str, **answer: Any) -> Iterator[None]:
    """Answer these requests instead of the server; without an answer, never."""
    page.route(pattern, lambda route: answer and route.fulfill(**answer))
    yield
    page.unroute(pattern)


def states(page: Any, store: Store) -> Iterator[str]:
    """Bring `page` into one state after the other; yields the name of each."""
    yield from _list_states(page)
    yield from _session_states(page, store)
    yield from _message_states(page, store)
    yield from _failure_states(page, store)
    yield from _other_pages(page, store)


def _is_phone(page: Any) -> bool:
    return bool(page.viewport_size["width"] <= 700)


def _open_menu(page: Any, name: str) -> None:
    row = page.locator("li.item", has_text=name)
    row.hover()
    row.get_by_role("button", name="More for").click()


def _list_states(page: Any) -> Iterator[str]:
    page.goto("/")
    page.locator("a.row", has_text="Number 3").wait_for()
    yield "list"
    _open_menu(page, "Number 3")
    page.get_by_role("menu").wait_for()
    yield "menu of a row"
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name of the session").wait_for()
    yield "row renamed"
    page.keyboard.press("Escape")
    _open_menu(page, "Number 3")
    page.get_by_role("menuitem", name="Tag…").click()
    page.get_by_label("New tag").fill("green")
    page.keyboard.press("Enter")
    yield "dialog of tags"
    page.get_by_role("button", name="Cancel").click()
    _open_menu(page, "Number 3")
    page.get_by_role("menuitem", name="Select").click()
    page.locator("a.row", has_text="Number 4").click()
    yield "selection"
    page.get_by_role("group", name="Selection").get_by_text("Delete").click()
    page.get_by_role("dialog", name="Delete 2 sessions?").wait_for()
    yield "question before a deletion"
    page.get_by_role("button", name="Cancel").click()
    page.get_by_role("button", name="Leave selection").click()
    page.locator("#filter-button").click()
    page.get_by_role("button", name="garden").click()
    yield "menu of filters"
    page.keyboard.press("Escape")
    yield "filtered list"
    page.get_by_role("button", name="Remove the filter garden").click()
    page.get_by_role("button", name="Search everything").click()
    page.get_by_role("listbox").get_by_role("option").first.wait_for()
    yield "palette"
    page.get_by_role("combobox", name="Search").fill("double")
    page.get_by_role("dialog").locator("mark").first.wait_for()
    yield "palette with hits"
    page.get_by_role("combobox", name="Search").fill("nothingatall")
    page.get_by_text("Nothing found.").wait_for()
    yield "palette without hits"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Keys (?)").click()
    page.get_by_role("dialog", name="Keys").wait_for()
    yield "help"
    page.keyboard.press("Escape")


def _session_states(page: Any, store: Store) -> Iterator[str]:
    page.goto(f"/s/{store.rich_id}")
    page.locator(".code .k").first.wait_for()
    yield "session"
    for fold in page.locator(".fold-line").all():
        fold.click()
    yield "session, unfolded"
    page.get_by_role("banner").or_(page.locator(".session-bar")).get_by_role(
        "button", name="More", exact=True
    ).click()
    page.get_by_role("menuitem", name="Print").wait_for()
    yield "menu of a session"
    page.get_by_role("menuitem", name="Rename").click()
    page.get_by_label("Name of the session").wait_for()
    yield "session renamed"
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Find in this session").click()
    page.get_by_role("search").get_by_role("textbox").fill("double")
    page.get_by_text("1 of").wait_for()
    yield "find bar"
    page.get_by_role("search").get_by_role("button", name="Close").click()
    if _is_phone(page):
        page.locator(".session-bar").get_by_role("button", name="More").click()
        page.get_by_role("menuitem", name="Details").click()
        page.get_by_role("complementary").wait_for()
        yield "details"
        page.get_by_role("complementary").get_by_role("button", name="Close").click()
    page.goto(f"/s/{store.rich_id}#2")
    page.locator(".hit").wait_for()
    yield "message of the address"


def _message_states(page: Any, store: Store) -> Iterator[str]:
    page.goto(f"/s/{store.rich_id}#7")
    message = page.locator("#m7")
    message.locator(".branches").wait_for()

    def choose(act: str) -> None:
        message.hover()
        message.get_by_role("button", name="More").click()
        page.get_by_role("menu", name="More").wait_for()
        page.get_by_role("menu").get_by_text(act).click()

    message.hover()
    message.get_by_role("button", name="More").click()
    page.get_by_role("menu", name="More").wait_for()
    yield "menu of a message"
    page.keyboard.press("Escape")
    choose("Details")
    page.get_by_role("dialog").locator(".code").last.wait_for()
    yield "details of a message"
    page.keyboard.press("Escape")
    choose("Earlier texts")
    page.get_by_role("dialog").get_by_text("Revision").first.wait_for()
    yield "earlier texts"
    page.keyboard.press("Escape")
    choose("Delete text")
    page.get_by_role("dialog").wait_for()
    yield "question before a text is deleted"
    page.keyboard.press("Escape")
    choose("Edit as another version")
    page.get_by_label("Text of the other version").wait_for()
    yield "editor of a version"
    page.keyboard.press("Escape")


def _failure_states(page: Any, store: Store) -> Iterator[str]:
    refused = {"status": 413, "json": {"title": "Too large", "detail": "Too long."}}
    path = f"/s/{store.rich_id}"
    with (
        answering(page, "**/messages/batch", **refused),
        answering(page, "**/messages", **refused),
    ):
        page.goto(path)
        page.locator("#composer").fill("Refused text")
        page.get_by_role("button", name="Add", exact=True).click()
        page.locator(".is-refused").wait_for()
        yield "message refused"
        page.get_by_role("button", name="Discard").click()
    page.clock.install()
    page.goto(path)
    page.locator("#composer").fill("Waiting text")
    page.context.set_offline(True)
    page.get_by_role("button", name="Add", exact=True).click()
    page.clock.run_for(12_000)
    page.get_by_text("No connection").wait_for()
    yield "offline"
    page.context.set_offline(False)
    with answering(page, "**/api/v1/sessions/?*"):
        page.goto("/")
        page.get_by_text("Loading…").wait_for()
        yield "list loading"
    with answering(page, "**/api/v1/sessions/?*", status=500, json={"title": "No"}):
        page.goto("/")
        page.get_by_role("button", name="Try again").wait_for()
        yield "list failed"
    nothing = {"sessions": [], "total": 0, "has_more": False, "next_cursor": None}
    with answering(page, "**/api/v1/sessions/?*", json=nothing):
        page.goto("/")
        page.get_by_text("Nothing here yet").first.wait_for(state="attached")
        yield "empty store"
    with answering(page, f"**/api/v1/sessions/{store.rich_id}*"):
        page.goto(path)
        page.locator("main [aria-busy=true]").wait_for()
        yield "session loading"
    failed = {"status": 500, "json": {"title": "No"}}
    with answering(page, f"**/api/v1/sessions/{store.rich_id}/path*", **failed):
        page.goto(path)
        page.get_by_role("main").get_by_role("button", name="Try now").wait_for()
        yield "session failed"
    page.goto(f"/s/{'0' * 8}-0000-4000-8000-{'0' * 12}")
    page.get_by_text("There is no such session").wait_for()
    yield "no such session"


def _other_pages(page: Any, store: Store) -> Iterator[str]:
    main = page.get_by_role("main")
    page.goto("/search?q=double")
    main.locator("mark").first.wait_for()
    yield "/search"
    for path, text in {"/archived": "Archive", "/trash": "Trash"}.items():
        page.goto(path)
        page.locator("a.row").first.wait_for()
        if not _is_phone(page):
            main.get_by_role("heading", name=text).wait_for()
        yield path
    page.goto("/usage")
    page.locator(".chart canvas").wait_for()
    page.get_by_role("table", name="By model").wait_for()
    yield "/usage"
    page.goto("/settings")
    page.get_by_label("What the key is for").fill("a bot")
    page.get_by_role("button", name="New key").click()
    page.locator(".secret").wait_for()
    yield "/settings"
    page.goto("/no/page")
    main.get_by_role("link", name="All sessions").wait_for()
    yield "404"
    page.goto(f"/shared/{store.token}")
    page.get_by_text("How do I double").first.wait_for()
    yield "/shared"
    page.goto(f"/shared/{store.token[:-4]}AAAA")
    page.get_by_text("This link does not work").wait_for()
    yield "/shared, ended"
    page.goto("/login")
    yield "/login"
    page.get_by_label("API key").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").wait_for()
    yield "/login, refused"
