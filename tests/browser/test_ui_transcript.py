"""The transcript: where it opens, what it mounts, and when it moves."""

import json
import re
import urllib.request

import pytest
from playwright.sync_api import expect

from tests.support import SESSIONS

LONG = 1_500
WIDE = {"width": 1280, "height": 800}
# Distance of the reader from the end, and the place of a message on the screen.
TO_END = "box => box.scrollHeight - box.scrollTop - box.clientHeight"
TOP_OF = """(box, seq) => box.querySelector(`article[data-seq="${seq}"]`)
    .getBoundingClientRect().top"""
FIRST_SEEN = """box => Number([...box.querySelectorAll("[data-chunk] article")].find(
    each => each.getBoundingClientRect().top >= box.getBoundingClientRect().top
).dataset.seq)"""
FRAMES = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
FOLLOW = """path => {
    history.pushState(null, "", path);
    dispatchEvent(new PopStateEvent("popstate"));
}"""
# Scroll up as a wheel does, and note where the message in the middle goes.
SCROLL_UP = """async (box, [steps, pixels]) => {
    const frame = () => new Promise(requestAnimationFrame);
    const middle = box.getBoundingClientRect().top + box.clientHeight / 2;
    const inMiddle = () => [...box.querySelectorAll("article[data-seq]")].find(each => {
        const place = each.getBoundingClientRect();
        return place.top <= middle && place.bottom + 20 >= middle;
    });
    let blank = 0;
    const jumps = [];
    for (let step = 0; step < steps; step++) {
        const slot = inMiddle();
        if (!slot) { blank++; await frame(); continue; }
        const before = slot.getBoundingClientRect().top;
        const room = box.scrollTop;
        box.scrollTop -= pixels;
        for (let frames = 0; frames < 3; frames++) await frame();
        const moved = slot.getBoundingClientRect().top - before;
        if (Math.abs(moved - Math.min(pixels, room)) > 1) jumps.push([step, moved]);
    }
    return { blank, jumps };
}"""


@pytest.fixture
def page_options():
    return {"viewport": WIDE}


@pytest.fixture(scope="module")
def ask(server):
    def ask(method, path, body=None):
        request = urllib.request.Request(
            f"http://127.0.0.1:{server.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.loads(answer.read() or b"null")

    return ask


def texts(first, last):
    """Questions and answers of different heights."""
    return [
        {
            "role": "user" if seq % 2 else "assistant",
            "content": f"Message {seq}." + " Some more words follow." * (seq * 7 % 40),
        }
        for seq in range(first, last + 1)
    ]


@pytest.fixture
def make(ask):
    """Make a session with so many messages; returns its path."""

    def make(messages, **fields):
        chat = ask("POST", SESSIONS, fields)
        add(ask, chat["id"], 1, messages)
        return f"/s/{chat['id']}"

    return make


def add(ask, session_id, first, last):
    for start in range(first, last + 1, 100):
        some = texts(start, min(last, start + 99))
        ask("POST", f"{SESSIONS}{session_id}/messages/batch", {"messages": some})


@pytest.fixture(scope="module")
def long(ask):
    chat = ask("POST", SESSIONS, {"name": "Long"})
    add(ask, chat["id"], 1, LONG)
    return f"/s/{chat['id']}"


def log(page):
    return page.get_by_role("log")


def message(page, seq):
    return page.get_by_role("article", name=re.compile(rf"message {seq}$"))


def shown(page, seq):
    return log(page).evaluate(TOP_OF, seq)


def first_seen(page):
    return log(page).evaluate(FIRST_SEEN)


def follow_link(page, path):
    """Go elsewhere in the same page, as a link does."""
    page.evaluate(FOLLOW, path)


def open_at_end(page, path, last):
    page.goto(path)
    expect(message(page, last)).to_be_in_viewport()


def test_4_a_session_opens_exactly_at_its_end(page, make):
    open_at_end(page, make(120), 120)
    page.evaluate(FRAMES)
    assert log(page).evaluate(TO_END) <= 1


def test_2_a_reader_above_stays_where_he_is(page, make, ask):
    path = make(60)
    open_at_end(page, path, 60)
    log(page).evaluate("box => { box.scrollTop -= 500 }")
    page.evaluate(FRAMES)
    seq = first_seen(page)
    before = shown(page, seq)
    add(ask, path[3:], 61, 260)
    expect(page.get_by_role("complementary")).to_contain_text("Messages260")
    page.evaluate(FRAMES)
    assert abs(shown(page, seq) - before) <= 1
    page.get_by_role("button", name="To the end").click()
    expect(message(page, 260)).to_be_in_viewport()


def test_2_a_reader_at_the_end_follows(page, make, ask):
    path = make(60)
    open_at_end(page, path, 60)
    add(ask, path[3:], 61, 180)
    expect(message(page, 180)).to_be_in_viewport()
    page.evaluate(FRAMES)
    assert log(page).evaluate(TO_END) <= 1


def test_3_messages_move_only_with_the_reader(page, long):
    open_at_end(page, long, LONG)
    steps = log(page).evaluate(SCROLL_UP, [60, 900])
    assert steps == {"blank": 0, "jumps": []}


def test_5_a_message_far_away_is_shown_and_has_the_focus(page, long):
    page.goto(f"{long}#17")
    expect(message(page, 17)).to_be_in_viewport()
    expect(message(page, 17)).to_be_focused()
    follow_link(page, f"{long}#900")
    expect(message(page, 900)).to_be_focused()
    expect(message(page, 900)).to_be_in_viewport()


def test_5_a_message_of_another_version_is_shown_with_its_branch(page, make, ask):
    path = make(4)
    url = f"{SESSIONS}{path[3:]}/messages"
    ask("POST", url, {"content": "Another question.", "parent_seq": 2})
    page.goto(f"{path}#3")
    expect(message(page, 3)).to_be_focused()
    expect(message(page, 4)).to_be_visible()
    expect(message(page, 5)).to_have_count(0)
    expect(page.get_by_label("Add a message")).to_have_count(0)
    page.get_by_role("button", name="Back to the shown version").click()
    expect(message(page, 5)).to_be_visible()
    expect(message(page, 3)).to_have_count(0)
    page.keyboard.press("Control+f")
    page.locator("#find").fill("message 4")
    expect(message(page, 4)).to_be_in_viewport()
    page.get_by_role("button", name="Continue with this version").click()
    expect(page.get_by_label("Add a message")).to_be_visible()
    assert ask("GET", SESSIONS + path[3:])["head_seq"] == 4


def test_5_a_message_that_is_not_there_is_named(page, make):
    page.goto(f"{make(3)}#17")
    expect(page.get_by_text("This conversation has no message 17.")).to_be_visible()
    expect(message(page, 3)).to_be_in_viewport()


def test_5_at_most_1000_messages_and_8000_nodes_are_mounted(page, long):
    open_at_end(page, long, LONG)
    for seq in (17, 700, 1_100, 1_300, 1_400, 200, 300):
        follow_link(page, f"{long}#{seq}")
        expect(message(page, seq)).to_be_in_viewport()
        assert page.locator("article[data-seq]").count() <= 1_000
        assert page.evaluate("document.getElementsByTagName('*').length") <= 8_000


def test_6_find_here_counts_what_the_server_counts(page, long, ask):
    open_at_end(page, long, LONG)
    page.keyboard.press("Control+f")
    page.keyboard.type("message 7*")
    query = f"?q=message%207*&session_id={long[3:]}&count=true&sort=seq"
    total = ask("GET", f"/api/v1/search{query}")["total"]
    assert total > 100
    expect(page.get_by_role("search")).to_contain_text(f"1 of {total}")
    expect(message(page, 7)).to_be_in_viewport()
    page.keyboard.press("Shift+Enter")
    expect(page.get_by_role("search")).to_contain_text(f"{total} of {total}")
    expect(message(page, 799)).to_be_in_viewport()
    page.keyboard.press("Escape")
    expect(page.get_by_role("search")).to_have_count(0)


def test_6_a_session_of_1000_messages_is_whole_in_the_page(page, make):
    # As many as fit into 8,000 elements; the find bar finds the others.
    open_at_end(page, make(1_000), 1_000)
    expect(page.locator("article[data-seq]")).to_have_count(1_000, timeout=20_000)
    assert page.evaluate("document.getElementsByTagName('*').length") <= 8_000
    assert log(page).evaluate(TO_END) <= 1


def test_11_a_late_answer_does_not_show_in_another_session(page, make):
    late, other = make(3, name="Late"), make(4, name="Other")
    held = []
    page.route(f"**/sessions/{late[3:]}/path", lambda route: held.append(route))
    page.goto(late)
    expect(page.locator("main [aria-busy=true]")).to_be_attached()
    follow_link(page, other)
    expect(message(page, 4)).to_be_in_viewport()
    for route in held:
        route.continue_()
    page.evaluate(FRAMES)
    expect(page.get_by_role("heading", name="Other")).to_be_visible()
    expect(page.locator("article[data-seq]")).to_have_count(4)


def test_12_a_session_that_is_deleted_elsewhere_stays_readable(page, make, ask):
    path = make(3)
    open_at_end(page, path, 3)
    ask("DELETE", SESSIONS + path[3:])
    expect(page.get_by_text("Deleted elsewhere.")).to_be_visible()
    expect(message(page, 3)).to_be_visible()
    ask("POST", f"{SESSIONS}{path[3:]}/restore")
    expect(page.get_by_text("Deleted elsewhere.")).to_have_count(0)


def test_24_one_line_is_said_for_a_new_message(page, make, ask):
    path = make(2)
    open_at_end(page, path, 2)
    expect(log(page)).to_have_attribute("aria-live", "off")
    add(ask, path[3:], 4, 4)
    expect(page.get_by_text("New message from assistant")).to_be_attached()


def test_a_session_opens_at_the_first_message_that_is_new(page, make):
    path = make(80)
    page.goto("/docs")
    mark = json.dumps({"seq": 30, "at": "2026-01-01T14:30:00Z"})
    page.evaluate(
        "mark => localStorage.setItem(...mark)", [f"chatstore:read:{path[3:]}", mark]
    )
    page.goto(path)
    expect(page.get_by_text("New since")).to_be_in_viewport()
    expect(message(page, 31)).to_be_in_viewport()
    expect(message(page, 80)).not_to_be_in_viewport()


def test_keys_move_from_message_to_message_and_to_the_ends(page, make):
    open_at_end(page, make(130), 130)
    page.keyboard.press("Home")
    expect(message(page, 1)).to_be_in_viewport()
    for key, seq in [
        ("j", 1),
        ("j", 2),
        ("j", 3),
        ("k", 2),
        ("]", 3),
        ("]", 5),
        ("[", 3),
    ]:
        page.keyboard.press(key)
        expect(message(page, seq)).to_be_focused()
    page.keyboard.press("End")
    expect(message(page, 130)).to_be_in_viewport()


def test_19_a_reload_shows_the_place_where_the_reader_was(page, make):
    path = make(150)
    open_at_end(page, path, 150)
    page.keyboard.press("Home")
    expect(message(page, 1)).to_be_in_viewport()
    page.reload()
    expect(message(page, 1)).to_be_in_viewport()


def test_a_session_is_renamed_in_place(page, make, ask):
    path = make(1, name="Before")
    open_at_end(page, path, 1)
    page.keyboard.press("r")
    field = page.get_by_label("Name of the session")
    expect(field).to_be_focused()
    field.fill("After")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="After")).to_be_visible()
    assert ask("GET", SESSIONS + path[3:])["name"] == "After"


def test_the_outline_leads_to_a_question(page, make):
    open_at_end(page, make(90), 90)
    details = page.get_by_role("complementary")
    details.get_by_role("link", name="Message 3.").click()
    expect(message(page, 3)).to_be_focused()
    expect(details.locator("[aria-current=location]")).to_contain_text("Message")
    page.keyboard.press("i")
    expect(details).to_have_count(0)


def test_29_switches_between_sessions_leave_nothing_behind(page, make):
    paths = [make(30, name="One"), make(40, name="Other")]
    developer = page.context.new_cdp_session(page)
    developer.send("Performance.enable")

    def switch(times):
        for number in range(times):
            page.locator(f"a.row[href='{paths[number % 2]}']").click()
            expect(message(page, 30 + number % 2 * 10)).to_be_in_viewport()
        developer.send("HeapProfiler.collectGarbage")
        metrics = developer.send("Performance.getMetrics")["metrics"]
        found = {each["name"]: each["value"] for each in metrics}
        return found["JSEventListeners"], found["Nodes"]

    page.goto("/")
    listeners, nodes = switch(6)
    listeners_later, nodes_later = switch(20)
    assert listeners_later <= listeners
    assert nodes_later <= nodes
