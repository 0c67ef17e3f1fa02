"""The web UI by keyboard alone: one way through all of it, and where the focus goes."""

import pytest
from playwright.sync_api import expect

from tests.support import SESSIONS, wait_until

DESKTOP = {"width": 1280, "height": 800}
FOCUSED = "document.activeElement"
# Each text that the one live region has said.
LISTEN = """() => {
    window.said = [];
    const line = document.querySelector(".notices > [role=status]");
    new MutationObserver(() => said.push(line.textContent)).observe(
        line, {childList: true, characterData: true, subtree: true});
}"""
# What layouts with AltGr and the Turkish one send while a key is held down.
LAYOUT_KEYS = """() => {
    const press = given => document.body.dispatchEvent(new KeyboardEvent(
        "keydown", {bubbles: true, cancelable: true, ...given}));
    return [
        {key: "[", code: "Digit8", ctrlKey: true, altKey: true},
        {key: "#", code: "KeyE", altKey: true},
        {key: "/", code: "KeyU", ctrlKey: true, altKey: true},
        {key: "ı", code: "KeyI"},
        {key: "ç", code: "Period"},
        {key: "Dead", code: "BracketLeft"},
    ].filter(given => !press(given)).map(given => given.key);
}"""


@pytest.fixture
def page_options():
    return {"viewport": DESKTOP}


def focused(page):
    return page.locator("*:focus")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def tab_to(page, locator):
    """Press Tab until `locator` has the focus."""
    for _ in range(20):
        page.keyboard.press("Tab")
        if locator.evaluate(f"each => each === {FOCUSED}"):
            return
    raise AssertionError(f"Tab does not reach {locator}")


def choose(page, name):
    """Open the menu of the focused message and choose an act by arrows."""
    tab_to(page, page.locator("article:focus-within").get_by_label("More"))
    press(page, "Enter")
    item = page.get_by_role("menu").get_by_text(name, exact=True)
    for _ in range(10):
        if item.evaluate(f"each => each === {FOCUSED}"):
            break
        press(page, "ArrowDown")
    press(page, "Enter")


def in_palette(page, text):
    """Search for a text and open the first hit."""
    press(page, "Control+k")
    page.keyboard.type(text)
    option = page.get_by_role("listbox").get_by_role("option", selected=True)
    expect(option).to_contain_text(text.title() if text == "settings" else text)
    press(page, "Enter")
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_22_everything_is_done_by_keyboard_and_the_focus_is_never_lost(page, server):
    composer = page.get_by_label("Add a message")
    articles = page.get_by_role("article")
    page.goto("/")
    page.get_by_text("Up to date").wait_for()
    press(page, "c")
    page.wait_for_url("**/s/*")
    expect(composer).to_be_focused()
    for text in ("How many legs has a spider?", "And a fly?"):
        page.keyboard.type(text)
        press(page, "Enter")
        expect(composer).to_be_focused()
        expect(articles.filter(has_text=text)).to_be_visible()
    expect(page.locator(".pending")).to_have_count(0)
    # Name it: F6 leads out of the composer, where letters are text.
    press(page, "F6", "F6", "F6")
    expect(page.get_by_role("log")).to_be_focused()
    press(page, "r")
    expect(page.get_by_label("Name of the session")).to_be_focused()
    page.keyboard.type("Legs")
    press(page, "Enter")
    expect(page.get_by_role("button", name="Legs", exact=True)).to_be_focused()
    # Write another version of the first message, and look at the one before.
    press(page, "k")
    expect(articles.first).to_be_focused()
    choose(page, "Edit as another version")
    expect(page.get_by_label("Text of the other version")).to_be_focused()
    press(page, "Escape")
    expect(articles.first).to_be_focused()
    choose(page, "Edit as another version")
    page.keyboard.type(" Edited.")
    press(page, "Control+Enter")
    expect(articles).to_have_count(1)
    expect(articles).to_be_focused()
    tab_to(page, page.get_by_role("button", name="Previous version"))
    press(page, "Enter")
    expect(articles).to_have_count(2)
    expect(page.get_by_role("button", name="Next version")).to_be_focused()
    # Rate an answer, then delete the text of a message.
    path = f"{SESSIONS}{page.url.split('/')[-1]}/messages"
    answer = {"role": "assistant", "content": "Six.", "parent_seq": 2}
    server.request("POST", path, answer)
    expect(articles).to_have_count(3)
    press(page, "j", "j")
    expect(articles.nth(2)).to_be_focused()
    choose(page, "Good")
    expect(page.get_by_role("img", name="Rated as good")).to_be_visible()
    expect(articles.nth(2).get_by_label("More")).to_be_focused()
    press(page, "k")
    expect(articles.nth(1)).to_be_focused()
    choose(page, "Delete text…")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    press(page, "Tab", "Enter")
    expect(articles.nth(1)).to_contain_text("Its place is kept")
    expect(articles.nth(1)).to_be_focused()
    # Search, open the hit, find here.
    in_palette(page, "spider")
    expect(articles.first).to_be_focused()
    press(page, "Control+f")
    page.keyboard.type("six")
    expect(page.get_by_text("1 of 1")).to_be_visible()
    press(page, "Escape")
    expect(articles.nth(2)).to_be_focused()
    # Tag, archive, undo.
    press(page, "t")
    page.keyboard.type("animals")
    press(page, "Enter", "Enter")
    expect(page.locator(".session-tags")).to_have_text("animals")
    expect(articles.nth(2)).to_be_focused()
    press(page, "e")
    undo = page.get_by_role("button", name="Undo")
    expect(undo).to_be_visible()
    expect(articles.nth(2)).to_be_focused()
    press(page, "F6", "F6", "F6")
    expect(undo).to_be_focused()
    press(page, "Enter")
    expect(page.get_by_role("main")).to_be_focused()
    expect(page.locator("a.row.is-open")).to_contain_text("Legs")
    # Settings and help.
    in_palette(page, "settings")
    page.wait_for_url("**/settings")
    expect(page.get_by_role("main")).to_be_focused()
    press(page, "?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    press(page, "Escape")
    expect(page.get_by_role("main")).to_be_focused()
    page.go_back()
    expect(focused(page)).to_have_count(1)


def test_23_keys_of_other_layouts_are_not_keys_of_the_page(page):
    page.goto("/settings")
    page.get_by_label("Dark").wait_for()
    assert page.evaluate(LAYOUT_KEYS) == []
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_24_the_one_live_region_says_each_new_message_once(page, server):
    session = server.request("POST", SESSIONS, {"name": "Heard"}).json
    path = f"{SESSIONS}{session['id']}/messages"
    server.request("POST", path, {"role": "user", "content": "first"})
    page.goto(f"/s/{session['id']}")
    page.get_by_role("article").wait_for()
    page.evaluate(LISTEN)
    for count, text in enumerate(("one", "two"), 1):
        server.request("POST", path, {"role": "assistant", "content": text})
        expect(page.get_by_role("article").filter(has_text=text)).to_be_visible()
        wait_until(lambda count=count: len(page.evaluate("said")) >= count, "a word")
    said = [text.strip() for text in page.evaluate("said")]
    assert said == ["New message from assistant"] * 2
    assert page.locator("[role=log]").get_attribute("aria-live") == "off"
