"""What models and tools write is hostile: it is shown, and does nothing."""

import json
import urllib.request

import pytest

from tests.support import SESSIONS
from tests.support.hostile_texts import hostile_texts
from tests.support.naughty import cannot_be_stored, read_naughty_strings

# With a message of a tool for each tenth text they are one page of the transcript.
EACH = 45
PAYLOADS = [
    each
    for each in [*hostile_texts(), *read_naughty_strings()]
    if not cannot_be_stored(each)
]
ELEMENTS = """
a article b bdi blockquote br button code dd dialog div dl dt em figcaption
figure h2 h3 h4 h5 h6 header hr li ol p path pre s small span strong svg table
tbody td th thead time tr ul
"""
ATTRIBUTES = """
aria-expanded aria-haspopup aria-hidden aria-label aria-pressed class d data-seq
datetime dir disabled fill height href id open rel role start stroke
stroke-linecap stroke-linejoin stroke-width tabindex target title type viewBox width
"""
# What is in the messages of the page: names of elements and attributes, and links.
LOOK = """() => {
    const all = [...document.querySelectorAll('article, article *')];
    const links = all.filter(each => each.localName === 'a');
    return {
        elements: [...new Set(all.map(each => each.localName))],
        attributes: [...new Set(all.flatMap(each => each.getAttributeNames()))],
        links: [...new Set(links.map(each => each.protocol))],
        unsafe: links.filter(each =>
            each.origin !== location.origin && (each.target !== '_blank' ||
            each.rel !== 'noopener noreferrer')).length,
        hacked: window.hacked ?? Object.prototype.hacked ?? null,
    };
}"""
OPEN_ALL = """() => {
    for (const each of document.querySelectorAll('.fold-line')) each.click();
}"""


@pytest.fixture
def page(open_page):
    """A page that must open neither a dialog nor another page."""
    page = open_page()
    page.on("dialog", lambda dialog: page.complaints.append(dialog.message))
    page.context.on("page", lambda opened: page.complaints.append(opened.url))
    return page


def expect(locator):
    from playwright.sync_api import expect

    return expect(locator, "the page as the test wants it")


def ask(server, path, body):
    request = urllib.request.Request(
        f"http://127.0.0.1:{server.port}{path}",
        data=json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def in_every_field(payload):
    """A message that holds the text wherever a message can hold one."""
    short = payload[:255] or "x"
    return {
        "role": "assistant",
        "content": [
            {"type": "text", "text": payload},
            {"type": "image_url", "image_url": {"url": payload}},
            {"type": short, short: payload},
        ],
        "name": short,
        "model": short,
        "finish_reason": short,
        "refusal": payload or "x",
        "tool_calls": [
            {"type": short, "function": {"name": payload, "arguments": payload}},
            {"type": payload, payload: {"props": {"href": payload}, "type": "script"}},
        ],
        "metadata": {short: payload, "__html": payload},
    }


def as_tool(payload):
    return {
        "role": "tool",
        "name": payload[:255] or "x",
        "tool_call_id": payload[:255] or "x",
        "content": payload,
        "metadata": {"x": payload},
    }


def seed(server, payloads):
    """Store a session in which each text is in every field of a message."""
    chat = ask(server, SESSIONS, {"name": payloads[0][:255]})["id"]
    messages = [in_every_field(each) for each in payloads]
    messages += [as_tool(each) for each in payloads[::10]]
    ask(server, f"{SESSIONS}{chat}/messages/batch", {"messages": messages})
    return chat


def look(page):
    """Compare what is in the page with what may be there."""
    found = page.evaluate(LOOK)
    assert set(found["elements"]) <= set(ELEMENTS.split())
    assert set(found["attributes"]) <= set(ATTRIBUTES.split())
    assert set(found["links"]) <= {"http:", "https:", "mailto:"}
    assert found["unsafe"] == 0
    assert found["hacked"] is None
    return found


def test_there_are_at_least_650_hostile_texts():
    assert len(set(PAYLOADS)) >= 650


@pytest.mark.parametrize("start", range(0, len(PAYLOADS), EACH))
def test_what_models_and_tools_write_does_nothing(page, server, start):
    payloads = PAYLOADS[start : start + EACH]
    chat = seed(server, payloads)
    page.goto(f"/s/{chat}")
    count = len(payloads) + len(payloads[::10])
    expect(page.locator("article.msg")).to_have_count(count)
    look(page)
    page.evaluate(OPEN_ALL)
    expect(page.locator(".fold-line[aria-expanded=false]")).to_have_count(0)
    found = look(page)
    assert {"article", "pre", "code"} <= set(found["elements"])


def test_details_of_a_hostile_message_do_nothing(page, server):
    message = in_every_field(PAYLOADS[0])
    message["metadata"] = {str(at): each for at, each in enumerate(PAYLOADS[:500])}
    chat = ask(server, SESSIONS, {})["id"]
    ask(server, f"{SESSIONS}{chat}/messages", message)
    page.goto(f"/s/{chat}")
    page.locator("article").get_by_role("button", name="More").click()
    page.get_by_role("menuitem", name="Details").click()
    expect(page.locator("dialog figure")).to_have_count(2)
    expect(page.locator("dialog .s").first).to_be_visible()
    look(page)
