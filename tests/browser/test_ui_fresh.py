"""What changes elsewhere appears in each tab, and the server is asked once for all."""

from itertools import pairwise

import pytest
from playwright.sync_api import expect

from tests.support import SESSIONS
from tests.support.ui import watched

FEED = "/api/v1/changes"
READING = "count=true&limit=100"  # the list from its beginning
# A tab in the background, as far as its page can tell.
HIDE = """() => {
    Object.defineProperty(document, "hidden", {get: () => true, configurable: true});
    document.dispatchEvent(new Event("visibilitychange"));
}"""
SHOW = """() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
}"""
# Has an answer after those of the requests before.
ASK = "fetch('/static/none').then(() => null, () => null)"
REFUSE_STORAGE = """
    Object.defineProperty(window, "localStorage", {get() { throw new Error("no"); }});
"""


@pytest.fixture
def add(server):
    """Adds a session of this name, as another program."""

    def add(name):
        return server.request("POST", SESSIONS, {"name": name}).json["id"]

    return add


@pytest.fixture
def another_tab(open_page):
    """Opens the list in a further tab of the browser of `page`."""
    opened = []

    def another_tab(page):
        tab = watched(page.context.new_page())
        opened.append(tab)
        tab.goto("/")
        expect(tab.locator("a.row").first).to_be_visible()
        return tab

    yield another_tab
    for tab in opened:
        assert tab.is_closed() or tab.complaints == []


@pytest.fixture
def page(open_page, add):
    """The list, with one row at least."""
    add("first")
    page = open_page("/")
    expect(page.locator("a.row").first).to_be_visible()
    return page


def rows_of(page, name):
    return page.locator(".row-name", has_text=name)


def asked(page, text):
    """How many requests of the page have `text` in their URL."""
    return sum(text in url for url in page.requested)


def test_12_one_tab_polls_and_all_see_what_changes(page, another_tab, add):
    other = another_tab(page)
    add("for both")
    expect(rows_of(page, "for both")).to_be_visible()
    expect(rows_of(other, "for both")).to_be_visible()
    assert asked(other, FEED) == 0


def test_12_a_visible_tab_takes_the_poll_from_a_hidden_one(page, another_tab, add):
    with page.expect_response("**/changes?since=*wait=0"):
        page.evaluate(HIDE)
    other = another_tab(page)
    add("seen at once")
    expect(rows_of(other, "seen at once")).to_be_visible()
    expect(rows_of(page, "seen at once")).to_be_visible()
    assert asked(other, f"{FEED}?since=") > 0
    assert asked(other, READING) == 1


def test_12_a_hidden_tab_sees_within_a_minute_what_changes(open_page, add):
    add("before")
    page = open_page()
    page.clock.install()
    page.goto("/")
    expect(rows_of(page, "before").first).to_be_visible()
    with page.expect_response("**/changes?since=*wait=0"):
        page.evaluate(HIDE)
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1"))
    add("in the background")
    page.clock.run_for(58_000)
    expect(rows_of(page, "in the background")).to_be_visible()
    page.evaluate(SHOW)
    add("in front")
    page.clock.run_for(2_000)
    expect(rows_of(page, "in front")).to_be_visible()


def test_12_the_next_poller_goes_on_where_the_last_one_stopped(page, another_tab, add):
    other = another_tab(page)
    page.goto("about:blank")
    add("between two pollers")
    expect(rows_of(other, "between two pollers")).to_be_visible()
    assert asked(other, f"{FEED}?since=") > 0
    assert asked(other, READING) == 1


def test_12_each_tab_polls_where_the_browser_stores_nothing(open_page, add):
    add("before")
    page = open_page()
    page.add_init_script(REFUSE_STORAGE)
    page.goto("/")
    expect(rows_of(page, "before").first).to_be_visible()
    for name in ("one", "two"):
        add(f"unstored {name}")
        expect(rows_of(page, f"unstored {name}")).to_be_visible()
    assert 0 < asked(page, FEED) <= 5


def test_12_the_list_is_read_once_and_misses_nothing(open_page, another_tab, add):
    add("before")
    page = open_page()

    def change_meanwhile(route):
        answer = route.fetch()
        add("while the list was read")
        route.fulfill(response=answer)

    page.route(f"**{SESSIONS}?*count=true*", change_meanwhile, times=1)
    page.goto("/")
    expect(rows_of(page, "while the list was read")).to_be_visible()
    other = another_tab(page)
    add("after both")
    for tab in (page, other):
        expect(rows_of(tab, "after both")).to_be_visible()
        assert asked(tab, READING) == 1


@pytest.fixture
def timed_page(open_page, add):
    """The list in a page whose clock stands still."""
    add("before")
    page = open_page()
    page.clock.install()
    with page.expect_request(f"**{FEED}?since=*"):
        page.goto("/")
    expect(rows_of(page, "before").first).to_be_visible()
    page.clock.pause_at(page.evaluate("Date.now() / 1000 + 1"))
    return page


def lose_network(page):
    """Cut the network off, and wait until the page has met it."""

    def is_refused(request):
        return request.failure != "net::ERR_ABORTED"

    with page.expect_event("requestfailed", is_refused):
        page.context.set_offline(True)
    page.evaluate(ASK)


def test_28_a_gap_of_2_seconds_says_nothing(timed_page, add):
    lose_network(timed_page)
    timed_page.clock.run_for(2_000)
    timed_page.context.set_offline(False)
    timed_page.clock.resume()
    add("after the gap")
    expect(rows_of(timed_page, "after the gap")).to_be_visible()
    timed_page.clock.run_for(8_000)
    expect(timed_page.locator(".banner")).to_have_count(0)
    expect(timed_page.locator(".foot")).to_contain_text("Up to date")


def test_28_after_10_seconds_a_banner_says_so(timed_page, add):
    lose_network(timed_page)
    timed_page.clock.run_for(10_000)
    expect(timed_page.locator(".banner")).to_contain_text("No connection")
    timed_page.context.set_offline(False)
    timed_page.clock.resume()
    add("after the banner")
    expect(rows_of(timed_page, "after the banner")).to_be_visible()
    expect(timed_page.locator(".banner")).to_have_count(0)


def test_28_tries_become_rarer_up_to_one_a_minute(timed_page):
    lose_network(timed_page)
    counts = [asked(timed_page, "/api/")]
    for _ in range(60):
        timed_page.clock.run_for(5_000)
        timed_page.evaluate(ASK)
        counts.append(asked(timed_page, "/api/"))
    assert max(after - before for before, after in pairwise(counts)) == 1
    # After 5, 15, 35, 75, 135, 195 and 255 seconds.
    assert counts[-1] - counts[0] == 7
    with timed_page.expect_response(f"**{FEED}?since=*"):
        timed_page.context.set_offline(False)
