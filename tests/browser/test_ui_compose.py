"""What a reader writes is stored once, whatever happens to the page or the server."""

import pytest

from tests.support import SESSIONS
from tests.support.composing import contents, new_chat, shown, write


@pytest.fixture
def chat(server):
    """The id of a new session."""
    return new_chat(server)


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
