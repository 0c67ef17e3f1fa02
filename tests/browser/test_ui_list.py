import re

import pytest
from playwright.sync_api import expect

from tests.support import SESSIONS

BULK = f"{SESSIONS}bulk"
MANY = 160


@pytest.fixture
def store(server):
    """Requests to the server, whose store is empty."""
    store = Store(server)
    for selector in ({"all": True}, {"filter": {"archived": True}}, {"trash": True}):
        store.bulk(action="purge", **selector)
    return store


class Store:
    def __init__(self, server):
        self.server = server

    def send(self, method, path, body=None):
        answer = self.server.request(method, path, body)
        assert answer.status_code < 400, answer.data
        return answer.json if answer.data else None

    def bulk(self, **body):
        return self.send("POST", BULK, body)

    def add(self, *names, **fields):
        return [
            self.send("POST", SESSIONS, {"name": name, **fields})["id"]
            for name in names
        ]

    def change(self, session_id, **fields):
        return self.send("PATCH", f"{SESSIONS}{session_id}", fields)

    def names(self, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        found = self.send("GET", f"{SESSIONS}?{text}")["sessions"]
        return [each["name"] for each in found]


@pytest.fixture
def pages(store, open_page):
    """Opens pages whose list is there."""

    def open_list(path="/", **options):
        page = open_page(path, **options)
        expect(page.get_by_text("Loading…")).to_have_count(0)
        return page

    return open_list


def row(page, name):
    exactly = re.compile(f"^{re.escape(name)}$")
    return page.locator("a.row", has=page.locator(".row-name", has_text=exactly))


def names_of(page):
    return page.locator(".row-name")


def press(page, *keys):
    for key in keys:
        page.keyboard.press(key)


def test_an_empty_store_says_how_to_begin(pages, store):
    page = pages()
    expect(page.get_by_role("heading", name="Nothing here yet")).to_be_visible()
    press(page, "c")
    expect(page).to_have_url(re.compile(r"/s/[0-9a-f-]{36}$"))
    expect(row(page, "Untitled")).to_have_attribute("aria-current", "page")
    assert store.names() == [None]


def test_a_list_that_fits_the_screen_still_loads_more(pages, store):
    store.add(*(f"n{number:03}" for number in range(MANY)))
    page = pages(viewport={"width": 1200, "height": 6_500})
    expect(row(page, f"n{MANY - 115:03}")).to_be_visible()
    page.set_viewport_size({"width": 1200, "height": 700})
    page.locator(".list").evaluate("each => each.scrollTop = each.scrollHeight")
    expect(row(page, "n000")).to_be_in_viewport()
    assert page.locator("a.row").count() < 60
    assert row(page, "n000").locator("..").get_attribute("aria-posinset") == str(MANY)


def test_what_another_tab_does_appears_and_the_scroll_stays(pages, store):
    ids = store.add(*(f"n{number:03}" for number in range(60)))
    page = pages(viewport={"width": 1200, "height": 700})
    page.locator(".list").evaluate("each => each.scrollTop = 900")
    seen = row(page, "n040")
    expect(seen).to_be_in_viewport()
    before = seen.bounding_box()["y"]
    store.add("created")
    store.change(ids[41], name="renamed")
    store.change(ids[0], pinned=True)
    store.send("DELETE", f"{SESSIONS}{ids[58]}")
    expect(row(page, "renamed")).to_be_visible()
    expect(page.locator(".foot")).to_contain_text("60 sessions")
    assert abs(seen.bounding_box()["y"] - before) <= 1
    page.locator(".list").evaluate("each => each.scrollTop = 0")
    expect(names_of(page).nth(0)).to_have_text("n000")
    expect(names_of(page).nth(1)).to_have_text("created")
    expect(row(page, "n058")).to_have_count(0)


def test_an_enter_that_ends_a_composition_renames_nothing(pages, store):
    store.add("before")
    page = pages()
    row(page, "before").focus()
    press(page, "r")
    field = page.get_by_label("Name of the session")
    expect(field).to_be_focused()
    cdp = page.context.new_cdp_session(page)
    cdp.send(
        "Input.imeSetComposition",
        {"text": "にほん", "selectionStart": 3, "selectionEnd": 3},
    )
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 229}
    cdp.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    cdp.send("Input.insertText", {"text": "日本"})
    cdp.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    expect(field).to_be_focused()
    assert store.names() == ["before"]
    press(page, "Enter")
    expect(row(page, "日本")).to_be_focused()
    assert store.names() == ["日本"]


def test_keys_are_text_while_a_name_is_typed(pages, store):
    store.add("x")
    page = pages()
    row(page, "x").focus()
    press(page, "r")
    page.keyboard.type("cjkxept#r/?")
    press(page, "Enter")
    expect(row(page, "cjkxept#r/?")).to_be_focused()
    assert store.names() == ["cjkxept#r/?"]
    press(page, "r", "Escape")
    expect(row(page, "cjkxept#r/?")).to_be_focused()


def test_a_session_renamed_twice_shows_both_names_and_loses_none(pages, store):
    (session_id,) = store.add("first")
    page = pages()
    row(page, "first").focus()
    press(page, "r")
    page.keyboard.type("mine")
    store.change(session_id, name="theirs")
    press(page, "Enter")
    expect(page.get_by_role("alert")).to_contain_text("theirs")
    expect(page.get_by_role("alert")).to_contain_text("mine")
    assert store.names() == ["theirs"]
    field = page.get_by_label("Name of the session")
    expect(field).to_have_value("mine")
    field.press("Enter")
    expect(row(page, "mine")).to_be_focused()
    assert store.names() == ["mine"]


def test_a_deletion_moves_the_focus_to_the_next_row_and_is_undone(pages, store):
    store.add("c", "b", "a")
    page = pages()
    row(page, "b").focus()
    press(page, "#")
    expect(row(page, "b")).to_have_count(0)
    expect(row(page, "c")).to_be_focused()
    assert store.names() == ["a", "c"]
    page.get_by_role("button", name="Undo").click()
    expect(names_of(page)).to_have_text(["a", "b", "c"])
    assert store.names() == ["a", "b", "c"]


def test_pin_archive_and_tag_by_keyboard(pages, store):
    store.add("b", "a")
    page = pages()
    row(page, "b").focus()
    press(page, "p")
    expect(page.locator(".day").first).to_have_text("Pinned")
    expect(row(page, "b")).to_be_focused()
    press(page, "t")
    expect(page.get_by_label("New tag")).to_be_focused()
    page.keyboard.type("work")
    press(page, "Enter", "Enter")
    expect(page.locator("dialog[open]")).to_have_count(0)
    expect(row(page, "b")).to_be_focused()
    expect(page.locator(".toast")).to_contain_text("tags")
    assert store.names(tag="work", pinned="true") == ["b"]
    press(page, "e")
    expect(row(page, "a")).to_be_focused()
    page.get_by_role("link", name="Archived").click()
    expect(page).to_have_url(re.compile("/archived$"))
    expect(names_of(page)).to_have_text(["b"])


def test_every_act_is_reached_by_mouse_in_the_menu_of_the_row(pages, store):
    store.add("only")
    page = pages()
    row(page, "only").hover()
    page.get_by_role("button", name="More for only").click()
    expect(page.get_by_role("menuitem")).to_have_count(6)
    press(page, "Escape")
    expect(page.get_by_role("button", name="More for only")).to_be_focused()
    press(page, "Enter")
    page.get_by_role("menuitem", name="Delete").click()
    expect(row(page, "only")).to_have_count(0)
    page.get_by_role("link", name="Trash").click()
    row(page, "only").click()
    page.get_by_role("menuitem", name="Restore").click()
    expect(page.get_by_text("The trash is empty.")).to_be_visible()
    assert store.names() == ["only"]


def test_filters_live_in_the_address(pages, store):
    store.add("b", metadata_tags=["red"])
    store.add("a", metadata_tags=["red", "blue"])
    page = pages()
    page.get_by_role("button", name="Filter").click()
    page.get_by_role("button", name="red", exact=True).click()
    page.get_by_role("button", name="blue", exact=True).click()
    press(page, "Escape")
    expect(names_of(page)).to_have_text(["a"])
    expect(page).to_have_url(re.compile(r"/\?tag=red&tag=blue$"))
    row(page, "a").click()
    expect(page).to_have_url(re.compile(r"/s/.*\?tag=red&tag=blue$"))
    page.reload()
    expect(names_of(page)).to_have_text(["a"])
    page.get_by_role("button", name="Remove the filter blue").click()
    expect(names_of(page)).to_have_text(["a", "b"])
    expect(page.locator("#filter-button")).to_be_focused()
    page.go_back()
    expect(page).to_have_url(re.compile(r"/\?tag=red&tag=blue$"))
    expect(names_of(page)).to_have_text(["a"])


def test_a_selection_by_keyboard_says_how_many_it_deletes(pages, store):
    store.add("d", "c", "b", "a")
    page = pages()
    row(page, "a").focus()
    press(page, "x", "Shift+J", "Shift+J")
    expect(page.locator(".bulk b")).to_have_text("3 selected")
    expect(page.get_by_role("checkbox", name="b")).to_be_checked()
    press(page, "#")
    dialog = page.get_by_role("dialog", name="Delete 3 sessions?")
    dialog.get_by_role("button", name="Cancel").click()
    assert len(store.names()) == 4
    press(page, "#")
    dialog.get_by_role("button", name="Delete").click()
    expect(names_of(page)).to_have_text(["d"])
    page.get_by_role("button", name="Undo").click()
    expect(names_of(page)).to_have_text(["a", "b", "c", "d"])


def test_the_undo_of_a_selection_touches_only_what_changed(pages, store):
    store.add("c", "b")
    (pinned,) = store.add("a")
    store.change(pinned, pinned=True)
    page = pages()
    row(page, "a").click(modifiers=["Control"])
    row(page, "c").click(modifiers=["Shift"])
    page.get_by_role("group", name="Selection").get_by_text("Pin").click()
    expect(page.locator(".toast")).to_contain_text("Pinned 2 sessions")
    page.get_by_role("button", name="Undo").click()
    expect(page.locator(".day")).to_have_text(["Pinned", "Today"])
    assert store.names(pinned="true") == ["a"]


def test_all_that_match_are_more_than_what_is_loaded(pages, store):
    store.add(*(f"n{number:03}" for number in range(105)))
    page = pages()
    row(page, "n104").click(modifiers=["Control"])
    page.get_by_role("button", name="All 105 that match").click()
    page.get_by_role("button", name="Archive", exact=True).click()
    expect(page.locator(".toast")).to_contain_text("Archived 105 sessions")
    assert store.names() == []
    page.get_by_role("button", name="Undo").click()
    expect(row(page, "n104")).to_be_visible()
    assert store.names(archived="true") == []


def test_a_long_press_selects_and_opens_nothing(pages, store):
    store.add("b", "a")
    size = {"width": 375, "height": 667}
    page = pages(viewport=size, has_touch=True, is_mobile=True)
    box = row(page, "a").bounding_box()
    cdp = page.context.new_cdp_session(page)
    point = {"x": box["x"] + 40, "y": box["y"] + 20}
    cdp.send("Input.dispatchTouchEvent", {"type": "touchStart", "touchPoints": [point]})
    expect(page.locator(".bulk b")).to_have_text("1 selected")
    cdp.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    expect(page.locator(".bulk b")).to_have_text("1 selected")
    row(page, "b").tap()
    expect(page.locator(".bulk b")).to_have_text("2 selected")
    assert page.evaluate("document.documentElement.scrollWidth") == 375


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Pacific/Pago_Pago"])
def test_days_begin_at_the_midnight_of_the_reader(pages, store, zone):
    store.add("now")
    page = pages(timezone_id=zone)
    expect(page.locator(".day")).to_have_text(["Today"])
    page.clock.set_fixed_time(
        page.evaluate(
            """() => {
                const now = new Date();
                const day = now.getDate() + 1;
                return new Date(now.getFullYear(), now.getMonth(), day) / 1000;
            }"""
        )
    )
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.locator(".day")).to_have_text(["Yesterday"])
