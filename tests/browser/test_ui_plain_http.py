"""The pages by plain HTTP on a name of the local network: no secure context."""

import pytest
from playwright.sync_api import expect

from tests.support import LiveServer
from tests.support.browsers import chromium
from tests.support.composing import add, composer, contents, new_chat, shown
from tests.support.openid import CLIENT_ID, CLIENT_SECRET
from tests.support.ui import ui_pages, watched

NAME = "lan.example"


@pytest.fixture(scope="module")
def browser():
    with chromium(f"--host-resolver-rules=MAP {NAME} 127.0.0.1") as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    settings = {"workers": "1", "allow_anonymous": "1", "allowed_hosts": NAME}
    with LiveServer(folder, **settings) as started:
        yield started


@pytest.fixture
def open_page(browser, server):
    with ui_pages(browser, server, name=NAME) as open_page:
        yield open_page


def test_messages_are_added_and_copied_in_two_tabs(page, server):
    chat = new_chat(server)
    page.goto(f"/s/{chat}")
    assert page.evaluate("[isSecureContext, 'locks' in navigator]") == [False, False]
    assert page.evaluate("'clipboard' in navigator || 'randomUUID' in crypto") is False
    other = watched(page.context.new_page())
    other.goto(f"/s/{chat}")
    add(page, "from the *left*")
    add(other, "from the right")
    for tab in (page, other):
        shown(tab, "from the left").wait_for()
        shown(tab, "from the right").wait_for()
    assert sorted(contents(server, chat)) == ["from the *left*", "from the right"]
    message = shown(other, "from the left")
    message.hover()
    message.get_by_role("button", name="Copy text").click()
    composer(other).focus()
    other.keyboard.press("Control+v")
    expect(composer(other)).to_have_value("from the *left*")
    assert other.complaints == []


def test_a_login_that_the_browser_would_not_keep_takes_no_key(browser, tmp_path):
    with LiveServer(
        tmp_path,
        workers="1",
        allowed_hosts=NAME,
        auth="api-key",
        openid_issuer="http://127.0.0.1:9",
        openid_client_id=CLIENT_ID,
        openid_client_secret=CLIENT_SECRET,
        openid_name="Example",
    ) as server:
        context = browser.new_context(base_url=f"http://{NAME}:{server.port}")
        page = context.new_page()
        page.goto("/#12")
        expect(page.get_by_text("you cannot log in here")).to_be_visible()
        expect(page.get_by_label("API key")).to_be_disabled()
        expect(page.get_by_role("button", name="Log in")).to_be_disabled()
        expect(page.get_by_role("link")).to_have_count(0)
        page.goto(f"http://127.0.0.1:{server.port}/login")
        expect(page.get_by_text("you cannot log in here")).to_have_count(0)
        expect(page.get_by_label("API key")).to_be_enabled()
        context.close()


def test_a_page_by_https_takes_the_key_if_the_server_does_not_know(browser, tmp_path):
    # A proxy that speaks HTTPS may not say so.
    with LiveServer(
        tmp_path, workers="1", allowed_hosts=NAME, auth="api-key"
    ) as server:
        context = browser.new_context()
        page = context.new_page()

        def pass_on(route):
            path = route.request.url.removeprefix(f"https://{NAME}")
            answer = server.request("GET", path, headers={"Host": NAME})
            headers = dict(answer.headers.items())
            route.fulfill(status=answer.status_code, headers=headers, body=answer.data)

        page.route(f"https://{NAME}/**", pass_on)
        page.goto(f"https://{NAME}/login")
        expect(page.get_by_label("API key")).to_be_enabled()
        expect(page.get_by_text("you cannot log in here")).to_have_count(0)
        context.close()
