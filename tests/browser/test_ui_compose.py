"""What a reader writes is stored once, whatever happens to the page or the server."""

import pytest

from tests.support import SESSIONS
from tests.support.servers import kill_workers
from tests.support.ui import watched


@pytest.fixture
def chat(server):
    """The id of a new session."""
    return server.request("POST", SESSIONS, {"name": "A test"}).json["id"]


def contents(server, chat):
    answer = server.request("GET", f"{SESSIONS}{chat}/messages")
    return [each["content"] for each in answer.json["messages"]]


def write(page, text):
    page.get_by_label("Add a message").fill(text)


def shown(page, text):
    return page.locator("article.msg:not(.pending)", has_text=text)


def compose_in_order(page, *, of_safari):
    """End a composition with Enter, in the order of Chromium or of Safari."""
    ime = page.context.new_cdp_session(page)
    page.get_by_label("Add a message").focus()
    ime.send(
        "Input.imeSetComposition",
        {"text": "にほん", "selectionStart": 3, "selectionEnd": 3},
    )
    if of_safari:
        ime.send("Input.insertText", {"text": "日本"})
    enter = {"key": "Enter", "code": "Enter", "windowsVirtualKeyCode": 13}
    ime.send("Input.dispatchKeyEvent", {"type": "rawKeyDown", **enter})
    ime.send("Input.dispatchKeyEvent", {"type": "keyUp", **enter})
    if not of_safari:
        ime.send("Input.insertText", {"text": "日本"})


@pytest.mark.parametrize("of_safari", [False, True])
def test_an_enter_that_ends_a_composition_adds_nothing(page, server, chat, of_safari):
    page.goto(f"/s/{chat}")
    compose_in_order(page, of_safari=of_safari)
    assert page.get_by_label("Add a message").input_value() == "日本"
    assert contents(server, chat) == []
    page.keyboard.press("Enter")
    shown(page, "日本").wait_for()
    assert contents(server, chat) == ["日本"]


def test_shift_enter_breaks_the_line(page, server, chat):
    page.goto(f"/s/{chat}")
    page.get_by_label("Add a message").focus()
    page.keyboard.type("one")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("two")
    page.keyboard.press("Enter")
    shown(page, "two").wait_for()
    assert contents(server, chat) == ["one\ntwo"]


def test_a_draft_survives_a_crash_and_a_switch(page, server, chat):
    other = server.request("POST", SESSIONS, {}).json["id"]
    writer = page.context.new_page()
    writer.goto(f"/s/{chat}")
    write(writer, "half a thought")
    writer.goto(f"/s/{other}")
    assert writer.get_by_label("Add a message").input_value() == ""
    writer.goto(f"/s/{chat}")
    write(writer, "half a thought more")
    writer.close(run_before_unload=False)
    page.goto(f"/s/{chat}")
    assert page.get_by_label("Add a message").input_value() == "half a thought more"
    page.get_by_role("button", name="Add").click()
    shown(page, "half a thought more").wait_for()
    page.reload()
    shown(page, "half a thought more").wait_for()
    assert page.get_by_label("Add a message").input_value() == ""


def test_a_double_press_and_a_lost_answer_add_one_message(page, server, chat):
    lost = []

    def lose_answer(route):
        if route.request.method == "POST" and not lost:
            lost.append(route.fetch().status)
            route.abort()
        else:
            route.continue_()

    page.route("**/messages", lose_answer)
    page.goto(f"/s/{chat}")
    write(page, "once")
    page.get_by_role("button", name="Add").dblclick()
    shown(page, "once").wait_for()
    assert lost == [201]
    assert contents(server, chat) == ["once"]


def test_a_refused_message_can_be_edited(page, server, chat):
    refusals = []

    def refuse(route):
        if route.request.method == "POST" and not refusals:
            refusals.append(route.request)
            body = (
                '{"title": "Too large", "detail": "longer than 1 MiB", "status": 413}'
            )
            route.fulfill(
                status=413, body=body, content_type="application/problem+json"
            )
        else:
            route.continue_()

    page.route("**/messages", refuse)
    page.goto(f"/s/{chat}")
    write(page, "too long")
    page.keyboard.press("Enter")
    page.get_by_text("Not stored: longer than 1 MiB").wait_for()
    assert contents(server, chat) == []
    page.reload()
    page.get_by_role("button", name="Edit").click()
    assert page.get_by_label("Add a message").input_value() == "too long"
    assert page.locator("article.pending").count() == 0


def test_messages_wait_in_order_while_the_server_is_away(page, server, chat):
    away = [True]
    page.route(
        "**/messages",
        lambda route: (
            route.abort()
            if away and route.request.method == "POST"
            else route.continue_()
        ),
    )
    page.goto(f"/s/{chat}")
    for text in ("first", "second", "third"):
        write(page, text)
        page.keyboard.press("Enter")
    page.locator("article.pending").nth(2).wait_for()
    page.reload()
    page.locator("article.pending").nth(2).wait_for()
    away.clear()
    shown(page, "third").wait_for()
    assert contents(server, chat) == ["first", "second", "third"]


def test_two_tabs_send_each_message_once(page, server, chat):
    other = watched(page.context.new_page())
    page.goto(f"/s/{chat}")
    other.goto(f"/s/{chat}")
    for number in range(3):
        write(page, f"left {number}")
        page.keyboard.press("Enter")
        write(other, f"right {number}")
        other.keyboard.press("Enter")
    for tab in (page, other):
        for side in ("left", "right"):
            shown(tab, f"{side} 2").wait_for()
    stored = contents(server, chat)
    assert len(stored) == 6
    assert [each for each in stored if "left" in each] == ["left 0", "left 1", "left 2"]
    assert not other.complaints


def test_a_message_is_stored_once_after_the_workers_were_killed(page, server, chat):
    page.goto(f"/s/{chat}")
    for number in range(3):
        write(page, f"text {number}")
        page.keyboard.press("Enter")
        kill_workers(server)
    shown(page, "text 2").wait_for(timeout=30_000)
    assert contents(server, chat) == ["text 0", "text 1", "text 2"]


def test_after_a_day_the_outbox_looks_before_it_sends(page, server, chat):
    page.goto(f"/s/{chat}")
    stored = server.request(
        "POST", f"{SESSIONS}{chat}/messages", {"content": "on Friday"}
    )
    assert stored.status_code == 201
    page.evaluate(
        """chat => {
            const entry = {
                name: "outbox:000000000000001:x", sessionId: chat, key: "forgotten",
                body: {role: "user", content: "on Friday"}, writtenAt: 1,
                triedAt: Date.now() - 48 * 3600e3, lastSeq: 0, refusal: null};
            localStorage.setItem("chatstore:" + entry.name, JSON.stringify(entry));
        }""",
        chat,
    )
    page.reload()
    shown(page, "on Friday").wait_for()
    page.locator("article.pending").wait_for(state="detached")
    assert contents(server, chat) == ["on Friday"]
