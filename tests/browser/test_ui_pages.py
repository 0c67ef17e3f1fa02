import json
import subprocess
import sys
import urllib.request
from contextlib import suppress

import pytest

from tests.support import SESSIONS, LiveServer, wait_until
from tests.support.servers import environ_of

HOSTILE = "<img src=x onerror=alert(1)> **needle** &amp;"


@pytest.fixture(scope="module")
def expect(browser):
    from playwright.sync_api import expect

    return expect


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with LiveServer(folder, workers="1", auth="api-key") as started:
        yield started


@pytest.fixture(scope="module")
def post(server):
    """Send a body as the owner of the pages; returns the answer."""
    command = [sys.executable, "-m", "chatstore", "keys", "issue"]
    issued = subprocess.run(
        [*command, "--owner", "alice", "--scope", "admin"],
        cwd=server.folder,
        env=environ_of(),
        capture_output=True,
        check=True,
    )
    key = issued.stdout.decode().strip()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}

    def send(path, body):
        url = f"http://127.0.0.1:{server.port}{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)

    send.key = key
    return send


@pytest.fixture(scope="module")
def make_session(post):
    def make(name, *texts, **members):
        chat = post(SESSIONS, {"name": name, **members})
        bodies = [
            {
                "role": "assistant" if index % 2 else "user",
                "content": text,
                "usage": {"input_tokens": 1000, "output_tokens": 30},
            }
            for index, text in enumerate(texts)
        ]
        if bodies:
            post(f"{SESSIONS}{chat['id']}/messages/batch", {"messages": bodies})
        return chat["id"]

    return make


@pytest.fixture(scope="module")
def login(browser, server, post):
    """The cookies of a browser that is logged in."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
    page = context.new_page()
    page.goto("/login?next=/docs")
    page.get_by_label("API key").fill(post.key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/docs")
    state = context.storage_state()
    context.close()
    return state


@pytest.fixture
def page_options(login):
    return {"storage_state": login}


def open_palette(page):
    page.get_by_role("main").wait_for()
    page.keyboard.press("Control+k")
    field = page.get_by_role("combobox", name="Search sessions")
    field.wait_for()
    return field


def options(page):
    return page.get_by_role("listbox").get_by_role("option")


# The palette


def test_an_older_answer_is_not_shown(page, expect, make_session):
    make_session("First", "alphaword is here")
    make_session("Second", "betaword is here")
    held = []
    page.route(
        "**/api/v1/search?q=alphaword*",
        lambda route: held.append(route),
    )
    page.goto("/settings")
    field = open_palette(page)
    with page.expect_request("**/api/v1/search?q=alphaword*"):
        field.fill("alphaword")
    field.fill("betaword")
    expect(options(page).filter(has_text="betaword")).to_have_count(1)
    with suppress(Exception):  # the page has given the request up
        held[0].continue_()
    expect(options(page).filter(has_text="betaword")).to_have_count(1)
    expect(options(page).filter(has_text="alphaword")).to_have_count(0)


@pytest.mark.parametrize("order", ["enter ends it", "it ends before enter"])
def test_enter_that_ends_a_composition_opens_nothing(page, expect, make_session, order):
    make_session("Composed", "漢字 in a message")
    page.goto("/settings")
    field = open_palette(page)
    keyboard = page.context.new_cdp_session(page)
    keyboard.send(
        "Input.imeSetComposition",
        {"text": "漢字", "selectionStart": 2, "selectionEnd": 2},
    )
    if order == "it ends before enter":
        keyboard.send("Input.insertText", {"text": "漢字"})
    expect(options(page).filter(has_text="漢字").first).to_be_visible()
    keyboard.send(
        "Input.dispatchKeyEvent",
        {"type": "rawKeyDown", "key": "Enter", "windowsVirtualKeyCode": 229},
    )
    expect(field).to_be_focused()
    assert page.url.endswith("/settings")
    if order == "enter ends it":
        keyboard.send("Input.insertText", {"text": "漢字"})
    expect(options(page).filter(has_text="漢字").first).to_be_visible()
    page.keyboard.press("Enter")
    page.wait_for_url("**/s/*")


def test_escape_leaves_the_focus_and_the_view_as_they_were(page, expect):
    page.goto("/settings")
    opener = page.get_by_label("Dark")
    opener.focus()
    open_palette(page).fill("anything")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(opener).to_be_focused()
    assert page.url.endswith("/settings")


def test_a_hit_opens_at_its_message_here_or_in_a_new_tab(page, expect, make_session):
    session_id = make_session("Copies", "one gammaword", "two", "three gammaword")
    page.goto("/settings")
    open_palette(page).fill("gammaw")
    expect(options(page)).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    with page.context.expect_page() as opened:
        page.keyboard.press("Control+Enter")
    assert opened.value.url.endswith((f"/s/{session_id}#1", f"/s/{session_id}#3"))
    assert page.url.endswith("/settings")
    chosen = options(page).and_(page.locator("[aria-selected=true]"))
    path = chosen.get_attribute("href")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**{path}")
    expect(page.get_by_role("dialog")).to_have_count(0)
    marked = "[...(CSS.highlights.get('found-now') ?? [])].map(String)"
    wait_until(lambda: page.evaluate(marked))
    assert {each.lower() for each in page.evaluate(marked)} == {"gammaword"}


def test_hits_are_marked_text_and_never_html(page, expect, make_session):
    make_session(HOSTILE, f"{HOSTILE} 🚀 needle")
    page.goto("/settings")
    open_palette(page).fill("needle")
    expect(options(page)).to_have_count(2)
    expect(options(page).locator("mark")).to_have_text(["needle"] * 3)
    expect(options(page).first).to_contain_text(HOSTILE)
    expect(page.locator("dialog img")).to_have_count(0)


def test_typed_filters_narrow_the_search(page, expect, make_session):
    make_session("Tagged", "deltaword", "deltaword", metadata_tags=["home server"])
    make_session("Plain", "deltaword", "deltaword")
    page.goto("/settings")
    field = open_palette(page)
    for text, count in {
        "deltaw": 4,
        "deltaw role:user": 2,
        'tag:"home server" deltaw': 2,
        "deltaw after:2020 before:2021-02": 0,
    }.items():
        field.fill(text)
        expect(options(page)).to_have_count(count)
    page.get_by_role("button", name="Names").click()
    field.fill("tagg")
    expect(options(page)).to_have_count(1)
    expect(options(page)).to_contain_text("Tagged")


def test_commands_are_found_as_one_types(page, expect):
    page.goto("/settings")
    open_palette(page).fill("dark th")
    page.get_by_role("option", name="Dark theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    open_palette(page).fill("usage")
    page.keyboard.press("Enter")
    page.wait_for_url("**/usage")


# The search page


def test_the_search_page_shows_further_pages(page, expect, make_session):
    for number in range(25):
        make_session(f"Number {number}", "epsilonword")
    page.goto("/search?q=epsilonw")
    links = page.get_by_role("main").get_by_role("link", name="epsilonword")
    expect(links).to_have_count(20)
    page.get_by_role("button", name="Show more").click()
    expect(links).to_have_count(25)
    page.get_by_role("searchbox").fill("epsilonword nothing")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    assert page.url.endswith("/search?q=epsilonword+nothing")


# Usage


def test_usage_is_drawn_listed_and_downloaded(page, expect, make_session):
    model = '=cmd|"x"'
    make_session("Used", "one", "two", llm_model_name=model)
    page.goto("/usage")
    row = page.get_by_role("table", name="By model").get_by_role("row", name=model)
    expect(row.get_by_role("cell")).to_have_text(["2", "2,000", "60"])
    expect(page.locator(".chart canvas")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    head, *lines = download.value.path().read_text().splitlines()
    assert len(lines) == 30
    assert '"\'=cmd|""x"" messages"' in head


# Settings


def test_settings_last(page, expect):
    page.goto("/settings")
    page.get_by_label("Dark").check()
    page.get_by_label("Wide").check()
    page.get_by_label("breaks the line; Ctrl Enter adds").check()
    page.get_by_label("Single letters are keys").uncheck()
    page.reload()
    root = page.locator("html")
    expect(root).to_have_attribute("data-theme", "dark")
    expect(root).to_have_attribute("data-width", "wide")
    expect(page.get_by_label("breaks the line; Ctrl Enter adds")).to_be_checked()
    expect(page.get_by_label("Single letters are keys")).not_to_be_checked()


def test_single_letters_can_be_switched_off(page, expect):
    page.goto("/settings")
    page.get_by_role("heading", name="Settings").click()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keys")).to_be_visible()
    page.keyboard.press("Escape")
    page.get_by_label("Single letters are keys").uncheck()
    page.get_by_role("heading", name="Settings").click()
    page.keyboard.press("?")
    page.keyboard.press("u")
    page.keyboard.press("Control+k")
    expect(page.get_by_role("dialog")).to_have_count(1)
    expect(page.get_by_role("dialog", name="Search")).to_be_visible()
    assert page.url.endswith("/settings")


def test_a_key_is_shown_once_and_revoked(page, expect):
    page.goto("/settings")
    page.get_by_label("What the key is for").fill("support bot")
    page.get_by_label("What it may do").select_option("read")
    page.get_by_role("button", name="New key").click()
    expect(page.get_by_text("It is shown only once.")).to_be_visible()
    assert page.locator(".secret").inner_text().startswith("chs_")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Revoke support bot").click()
    expect(page.get_by_role("button", name="Revoke support bot")).to_have_count(0)
    page.reload()
    expect(page.get_by_text("support bot")).to_be_visible()
    expect(page.locator(".secret")).to_have_count(0)


def test_the_settings_log_out(open_page, post, expect):
    page = open_page("/login?next=/settings")
    page.get_by_label("API key").fill(post.key)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("button", name="End all logins")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    assert page.context.cookies() == []


# A shared session


def test_a_shared_session_needs_no_login(open_page, post, expect, make_session):
    texts = [f"message number {number}." for number in range(1, 61)]
    session_id = make_session("Shared one", *texts)
    share = post(f"{SESSIONS}{session_id}/shares", {})
    page = open_page(f"/shared/{share['token']}")
    expect(page.get_by_role("heading", name="Shared one")).to_be_visible()
    expect(page.get_by_text("message number 50.")).to_be_visible()
    page.get_by_role("button", name="Show more messages").click()
    expect(page.get_by_text("message number 60.")).to_be_visible()
    expect(page.get_by_role("button", name="Show more messages")).to_have_count(0)
    flipped = "A" if share["token"][-1] != "A" else "B"
    page.goto(f"/shared/{share['token'][:-1]}{flipped}")
    expect(page.get_by_text("This link does not work")).to_be_visible()


# All pages


@pytest.mark.parametrize("path", ["/search?q=wideword", "/usage", "/settings", "/no"])
def test_no_page_scrolls_sideways_on_a_phone(page, expect, make_session, path):
    if "search" in path:
        make_session("x" * 200, f"wideword {'x' * 2000}", llm_model_name="m" * 60)
    page.set_viewport_size({"width": 320, "height": 640})
    page.goto(path)
    expect(page.get_by_role("main").get_by_role("heading").first).to_be_visible()
    if "search" in path:
        expect(page.locator("mark").first).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_a_path_without_a_page_leads_back(page, expect):
    page.goto("/no/such/page")
    page.get_by_role("main").get_by_role("link", name="All sessions").click()
    page.wait_for_url("**/")
