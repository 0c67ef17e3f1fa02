"""What a reader writes is stored once, whatever happens to the page or the server."""

import pytest
from playwright.sync_api import expect

from tests.support import SESSIONS
from tests.support.composing import composer, contents, new_chat, shown, write


@pytest.fixture
def chat(server):
    """The id of a new session."""
    return new_chat(server)


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


def test_enter_breaks_the_line_where_the_reader_has_chosen_so(page, server, chat):
    page.goto("/settings")
    page.get_by_label("breaks the line; Ctrl Enter adds the message").check()
    page.goto(f"/s/{chat}")
    composer(page).focus()
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    expect(composer(page)).to_have_value("one\ntwo")
    expect(page.get_by_text("Ctrl ↵ adds it")).to_be_visible()
    page.keyboard.press("Control+Enter")
    shown(page, "two").wait_for()
    assert contents(server, chat) == ["one\ntwo"]


def test_enter_breaks_the_line_on_a_touch_keyboard(open_page, server, chat):
    page = open_page(f"/s/{chat}", has_touch=True, is_mobile=True)
    composer(page).tap()
    page.keyboard.type("one")
    page.keyboard.press("Enter")
    page.keyboard.type("two")
    expect(composer(page)).to_have_value("one\ntwo")
    page.get_by_role("button", name="Add").tap()
    shown(page, "two").wait_for()
    assert contents(server, chat) == ["one\ntwo"]


def test_the_composer_grows_to_two_fifths_of_the_view_and_then_scrolls(page, chat):
    page.set_viewport_size({"width": 1000, "height": 800})
    page.goto(f"/s/{chat}")
    field = composer(page)
    empty = field.bounding_box()["height"]
    write(page, "\n".join("12345"))
    grown = field.bounding_box()["height"]
    assert empty < grown < 320
    assert field.evaluate("each => each.scrollHeight <= each.clientHeight")
    write(page, "\n".join("x" * 100))
    assert field.bounding_box()["height"] == pytest.approx(320, abs=1)
    assert field.evaluate("each => each.scrollHeight > each.clientHeight")
    expect(page.get_by_role("button", name="Add")).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(field).to_have_value("")
    assert field.bounding_box()["height"] == empty


@pytest.mark.parametrize("method", ["setItem", "getItem"])
def test_a_draft_that_the_browser_does_not_keep_is_said(page, chat, method):
    page.add_init_script(
        f"Storage.prototype.{method} = () => {{ throw new Error('refused'); }};"
    )
    page.goto(f"/s/{chat}")
    warning = page.get_by_text("does not keep the draft")
    composer(page).wait_for()
    expect(warning).to_have_count(0)
    write(page, "half a thought")
    expect(warning).to_be_visible()
    write(page, "")
    expect(warning).to_have_count(0)
