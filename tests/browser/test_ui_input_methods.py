"""An Enter that ends a composition of an input method does nothing else anywhere."""

import json
import re
import subprocess
import sys
from functools import partial

import pytest
from playwright.sync_api import expect

from tests.support import API, SESSIONS, LiveServer
from tests.support.access import bearer
from tests.support.servers import environ_of

WORD = "日本"
CONTROL = 2  # of the modifiers of Input.dispatchKeyEvent
# Chromium sends the Enter before the composition ends, Safari after it.
ORDERS = ["before the end", "after the end as 13", "after the end as 229"]


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with LiveServer(folder, workers="1", auth="api-key") as started:
        yield started


@pytest.fixture(scope="module")
def headers(server):
    """The headers of an administrator, who may issue keys."""
    command = [sys.executable, "-m", "chatstore", "keys", "issue", "--owner", "a"]
    issued = subprocess.run(
        [*command, "--scope", "admin"],
        cwd=server.folder,
        env=environ_of(),
        capture_output=True,
        check=True,
    )
    return bearer(issued.stdout.decode().strip())


@pytest.fixture
def page_options(headers):
    return {"extra_http_headers": headers}


@pytest.fixture
def ask(server, headers):
    return partial(server.request, headers=headers)


@pytest.fixture
def chat(ask):
    """The id of a session in which a search finds three messages."""
    messages = [{"content": f"{WORD} {number}"} for number in range(3)]
    body = {"name": "Before", "messages": messages}
    answer = ask("POST", SESSIONS, body)
    assert answer.status_code == 201, json.loads(answer.data)
    return answer.json["id"]


class Field:
    """A field, how a reader gets to it, and what Enter does there."""

    modifiers = 0

    def __init__(self, page, chat):
        self.page, self.chat = page, chat

    def open(self):
        self.page.goto(f"/s/{self.chat}")
        self.page.locator("#m3").wait_for()

    def wait_until_ready(self):
        """Wait until Enter would do something."""

    def expect_nothing(self, field):
        expect(field).to_be_focused()
        expect(field).to_have_value(WORD)


class ComposerField(Field):
    def open(self):
        super().open()
        return self.page.get_by_label("Add a message")

    def expect_act(self, ask):
        expect(self.page.locator("article.msg", has_text=WORD)).to_have_count(4)


class NameInBar(Field):
    def open(self):
        super().open()
        self.page.keyboard.press("r")
        return self.page.get_by_label("Name of the session")

    def expect_act(self, ask):
        expect(self.page.get_by_role("heading", name=WORD)).to_be_visible()


class NameInList(Field):
    def open(self):
        self.page.goto("/")
        self.page.locator("a.row").first.focus()
        self.page.keyboard.press("r")
        return self.page.get_by_label("Name of the session")

    def expect_act(self, ask):
        expect(self.page.locator("a.row").first).to_be_focused()
        expect(self.page.locator(".row-name").first).to_have_text(WORD)


class SearchPage(Field):
    def open(self):
        self.page.goto("/search")
        return self.page.get_by_role("searchbox")

    def wait_until_ready(self):
        self.page.locator("#main .found a").first.wait_for()

    def expect_act(self, ask):
        # Enter has nothing to do here: what is found is shown while one types.
        expect(self.page).to_have_url(re.compile(r"/search\?q=%E6%97%A5%E6%9C%AC$"))


class Palette(Field):
    def open(self):
        self.page.goto("/settings")
        self.page.get_by_role("radio").first.wait_for()
        self.page.keyboard.press("Control+k")
        return self.page.get_by_role("combobox", name="Search sessions")

    def wait_until_ready(self):
        self.page.locator("#found [role=option]").first.wait_for()

    def expect_act(self, ask):
        expect(self.page.get_by_role("dialog")).to_have_count(0)


class FindBar(Field):
    def open(self):
        super().open()
        self.page.keyboard.press("Control+f")
        return self.page.locator("#find")

    def wait_until_ready(self):
        expect(self.page.locator(".find-count")).to_have_text("1 of 3")

    def expect_nothing(self, field):
        super().expect_nothing(field)
        expect(self.page.locator(".find-count")).to_have_text("1 of 3")

    def expect_act(self, ask):
        expect(self.page.locator(".find-count")).to_have_text("2 of 3")


class VersionEditor(Field):
    modifiers = CONTROL

    def open(self):
        super().open()
        self.page.locator("#m1").get_by_role("button", name="More").click()
        self.page.get_by_role("menuitem", name="Edit as another version").click()
        field = self.page.get_by_label("Text of the other version")
        field.fill("")
        return field

    def expect_act(self, ask):
        expect(self.page.locator("#m4")).to_contain_text(WORD)


class TagDialog(Field):
    def open(self):
        super().open()
        self.page.keyboard.press("t")
        return self.page.get_by_label("New tag")

    def expect_nothing(self, field):
        super().expect_nothing(field)
        expect(self.page.locator(".ask-tags button")).to_have_count(0)

    def expect_act(self, ask):
        expect(self.page.locator(".ask-tags button")).to_have_text(WORD)


class NewKey(Field):
    def open(self):
        self.page.goto("/settings")
        return self.page.get_by_label("What the key is for")

    def expect_act(self, ask):
        expect(self.page.get_by_text("Copy this key now")).to_be_visible()
        names = [
            each["name"] for each in ask("GET", f"{API}/keys?owner=a").json["keys"]
        ]
        named = names.count(WORD)
        assert named == NewKey.issued + 1
        NewKey.issued = named

    issued = 0


FIELDS = [
    ComposerField,
    NameInBar,
    NameInList,
    SearchPage,
    Palette,
    FindBar,
    VersionEditor,
    TagDialog,
    NewKey,
]


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("kind", FIELDS)
def test_an_enter_that_ends_a_composition_does_nothing_else(
    page, chat, ask, kind, order
):
    place = kind(page, chat)
    field = place.open()
    field.focus()
    field.select_text()
    ime = page.context.new_cdp_session(page)
    ime.send(
        "Input.imeSetComposition",
        {"text": WORD, "selectionStart": 2, "selectionEnd": 2},
    )
    place.wait_until_ready()
    code = 13 if order.endswith("13") else 229
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": code}
    enter["modifiers"] = place.modifiers
    # The text of the key lets an input send its form, unless the page prevents it.
    is_input = field.evaluate("each => each.tagName") == "INPUT"
    pressed = {"type": "keyDown", "text": "\r"} if is_input else {"type": "rawKeyDown"}
    if order != ORDERS[0]:
        ime.send("Input.insertText", {"text": WORD})
    ime.send("Input.dispatchKeyEvent", {**pressed, **enter})
    ime.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    if order == ORDERS[0]:
        ime.send("Input.insertText", {"text": WORD})
    place.expect_nothing(field)
    page.keyboard.press("Control+Enter" if place.modifiers else "Enter")
    place.expect_act(ask)
