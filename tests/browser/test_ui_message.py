"""One message: its text, its code, and what can be done with it."""

import json
import urllib.request

import pytest

from tests.support import SESSIONS

LINE = "x = 'é'  # \U0001f600 $5 and $6 \t end"
MIXED = """نص عربي أولاً

English below, `code` inside

- بند عربي
- بند ثان

| اسم | قيمة |
|---|--:|
| أ | 1 |

```python
print("ltr")
```
"""
WIDE = f"{'W' * 2_000}\n\n|{'a|' * 30}\n|{'-|' * 30}\n|{'cell|' * 30}\n"
NO_CLIPBOARD = "delete Navigator.prototype.clipboard"
# The policy of the pages forbids scripts to read the clipboard, so the tests paste.
TAKE_PASTED = """() => {
    const field = document.createElement('textarea');
    field.addEventListener('paste', event => {
        window.pasted = event.clipboardData.getData('text/plain');
        event.preventDefault();
        field.remove();
    });
    document.body.append(field);
    field.focus();
}"""


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


@pytest.fixture
def chat(ask):
    """Make a session of messages, given as texts of a model or as objects."""

    def chat(*messages):
        made = ask("POST", SESSIONS, {})["id"]
        bodies = [
            {"role": "assistant", "content": each} if isinstance(each, str) else each
            for each in messages
        ]
        ask("POST", f"{SESSIONS}{made}/messages/batch", {"messages": bodies})
        return made

    return chat


def expect(locator):
    from playwright.sync_api import expect

    return expect(locator)


def clipboard(page):
    page.evaluate(TAKE_PASTED)
    page.keyboard.press("Control+v")
    return page.evaluate("window.pasted")


def choose(page, seq, name):
    page.locator(f"#m{seq}").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name=name).click()


def test_copy_gives_the_stored_text(open_page, chat):
    text = f"{LINE}\n\n```python\n{LINE}\n```\n\n* end *"
    page = open_page(f"/s/{chat(text)}")
    page.locator("#m1").get_by_role("button", name="Copy text").click()
    expect(page.get_by_role("status").first).to_have_text("Copied")
    assert clipboard(page) == text
    page.locator("figure").get_by_role("button", name="Copy").click()
    expect(page.locator("figure")).to_contain_text("Copied")
    assert clipboard(page) == LINE


def test_copy_works_without_a_secure_context(open_page, chat):
    text = f"{LINE}\r\nwith the line ends of Windows"
    made = chat(text)
    page = open_page(None)
    page.add_init_script(NO_CLIPBOARD)
    page.goto(f"/s/{made}")
    button = page.locator("#m1").get_by_role("button", name="Copy text")
    button.click()
    expect(page.get_by_role("status").first).to_have_text("Copied")
    expect(button).to_be_focused()
    assert clipboard(page) == text


def test_a_dollar_is_text(open_page, chat):
    text = "Prices of $5 and $6, $$x$$ and \\(y\\)"
    page = open_page(f"/s/{chat(text)}")
    shown = page.locator("#m1 .md").inner_text()
    assert shown == text.replace("\\(", "(").replace("\\)", ")")


def test_each_block_has_its_own_direction(open_page, chat):
    page = open_page(f"/s/{chat(MIXED)}")
    page.locator(".md pre").wait_for()
    directions = page.evaluate(
        """() => ['p:nth-child(1)', 'p:nth-child(2)', 'p code', 'ul', 'table', 'pre']
            .map(each => getComputedStyle(document.querySelector('.md ' + each)))
            .map(each => each.direction)"""
    )
    assert directions == ["rtl", "ltr", "ltr", "rtl", "rtl", "ltr"]


@pytest.mark.parametrize("width", [375, 320])
def test_wide_text_scrolls_inside_its_own_box(open_page, chat, width):
    viewport = {"width": width, "height": 667}
    made = chat(WIDE, f"```\n{WIDE}\n```")
    page = open_page(f"/s/{made}", viewport=viewport, is_mobile=True, has_touch=True)
    page.locator("#m2 pre").wait_for()
    assert page.evaluate("[document.documentElement.scrollWidth, innerWidth]") == [
        width,
        width,
    ]
    for box in ["#m1 .table", "#m2 pre"]:
        assert page.locator(box).get_attribute("tabindex") == "0"
        assert page.locator(box).evaluate("box => box.scrollWidth > box.clientWidth")


def test_acts_are_there_for_touch_and_large(open_page, chat):
    made = chat("x")
    viewport = {"width": 375, "height": 667}
    page = open_page(f"/s/{made}", viewport=viewport, is_mobile=True, has_touch=True)
    for name in ["Copy text", "Copy link", "More"]:
        button = page.locator("#m1").get_by_role("button", name=name)
        box = button.bounding_box()
        assert min(box["width"], box["height"]) >= 44
        assert (
            button.evaluate("each => getComputedStyle(each.parentNode).opacity") == "1"
        )


def test_every_act_is_reached_by_keyboard_and_focus_returns(open_page, chat):
    page = open_page(f"/s/{chat('x')}")
    more = page.locator("#m1").get_by_role("button", name="More")
    page.locator("#m1").focus()
    for _ in range(4):
        page.keyboard.press("Tab")
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    for name in ["Edit as another version", "Write another answer", "Fork from here"]:
        expect(page.get_by_role("menuitem", name=name)).to_be_focused()
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Escape")
    expect(page.get_by_role("menu")).to_have_count(0)
    expect(more).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Cancel")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(more).to_be_focused()


def test_another_version_is_a_sibling_and_can_be_left_again(open_page, chat, ask):
    made = chat({"content": "first"}, "answer")
    page = open_page(f"/s/{made}")
    choose(page, 1, "Edit as another version")
    field = page.get_by_label("Text of the other version")
    expect(field).to_be_focused()
    expect(field).to_have_value("first")
    field.fill("second")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#m3 .md")).to_have_text("second")
    expect(page.locator("article")).to_have_count(1)
    assert ask("GET", f"{SESSIONS}{made}/messages")["messages"][2]["parent_seq"] == 0
    expect(page.locator("#m3 .branches")).to_contain_text("2/2")
    page.get_by_role("button", name="Previous version").click()
    expect(page.locator("#m2 .md")).to_have_text("answer")
    expect(page.locator("#m1 .branches")).to_contain_text("1/2")
    expect(page.get_by_role("button", name="Next version")).to_be_focused()


def test_an_enter_of_an_input_method_sends_no_version(open_page, chat):
    page = open_page(f"/s/{chat('x')}")
    choose(page, 1, "Edit as another version")
    field = page.get_by_label("Text of the other version")
    expect(field).to_be_focused()
    client = page.context.new_cdp_session(page)
    composed = {"selectionStart": 1, "selectionEnd": 1, "text": "か"}
    client.send("Input.imeSetComposition", composed)
    page.keyboard.press("Control+Enter")
    expect(field).to_be_visible()
    expect(page.locator("article")).to_have_count(1)


def test_a_text_is_deleted_after_a_question(open_page, chat, ask):
    made = chat("secret", "stays")
    page = open_page(f"/s/{made}")
    choose(page, 1, "Delete text…")
    expect(page.get_by_role("dialog")).to_contain_text("Delete what message 1 says?")
    page.get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator("#m1")).to_contain_text("Its place is kept")
    assert ask("GET", f"{SESSIONS}{made}/messages")["messages"][0]["content"] == ""


def test_feedback_earlier_texts_and_details_are_shown_on_demand(open_page, chat, ask):
    made = chat({"role": "assistant", "content": "old", "metadata": {"a": 1}})
    (message,) = ask("GET", f"{SESSIONS}{made}/messages")["messages"]
    edit = {"content": "new", "model": "m-1"}
    ask("PATCH", f"{SESSIONS}{made}/messages/{message['id']}", edit)
    page = open_page(f"/s/{made}")
    page.locator("#m1").get_by_role("button", name="More").click()
    page.get_by_role("menuitemcheckbox", name="Good").click()
    expect(page.get_by_label("Rated as good")).to_be_visible()
    choose(page, 1, "Earlier texts")
    expect(page.get_by_role("dialog")).to_contain_text("old")
    page.get_by_role("button", name="Close").click()
    choose(page, 1, "Details")
    expect(page.get_by_role("dialog")).to_contain_text("m-1")
    expect(page.get_by_role("dialog")).to_contain_text('"content": "new"')


def test_a_fork_opens_as_a_session(open_page, chat, ask):
    made = chat("one", "two")
    page = open_page(f"/s/{made}")
    choose(page, 1, "Fork from here")
    expect(page.locator("#m2")).to_have_count(0)
    expect(page.locator("#m1 .md")).to_have_text("one")
    assert made not in page.url


def test_long_texts_and_code_are_folded(open_page, chat):
    made = chat("*x* " * 60_000, "```\n" + "y\n" * 1_000 + "```")
    page = open_page(f"/s/{made}")
    assert len(page.locator("#m1 .plain").inner_text()) <= 20_000
    page.get_by_role("button", name="Show all 240,000 characters").click()
    expect(page.locator("#m1").get_by_role("button", name="Show all")).to_have_count(0)
    assert page.locator("#m2 pre").inner_text().count("y") == 40
    page.get_by_role("button", name="Show all 1,000 lines").click()
    assert page.locator("#m2 pre").inner_text().count("y") == 1_000
