import subprocess
import sys
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.support import SESSIONS, LiveServer
from tests.support.access import bearer
from tests.support.browsers import REMEMBER_VIOLATIONS
from tests.support.openid import CLIENT_ID, CLIENT_SECRET, openid_provider
from tests.support.servers import environ_of

ASK = """async ([path, options]) => {
    const answer = await fetch(path, options);
    return [answer.status, await answer.text()];
}"""
SECRET = "what only alice may see"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("server")
    with LiveServer(folder, workers="1", auth="api-key") as started:
        yield started


@pytest.fixture(scope="module")
def key(server):
    return issue(server, "alice")


def issue(server, owner):
    """Return a new key of the owner."""
    command = [sys.executable, "-m", "chatstore", "keys", "issue", "--owner", owner]
    issued = subprocess.run(
        command, cwd=server.folder, env=environ_of(), capture_output=True, check=True
    )
    return issued.stdout.decode().strip()


@pytest.fixture
def page(browser, server):
    """A page of a new browser profile."""
    context = browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
    page = context.new_page()
    page.complaints = []
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on(
        "console",
        lambda line: (
            page.complaints.append(line.text)
            if line.type in ("error", "warning")
            else None
        ),
    )
    page.add_init_script(REMEMBER_VIOLATIONS)
    yield page
    context.close()


def log_in(page, key, path="/login?next=/docs"):
    page.goto(path)
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()


def ask(page, path, **options):
    return page.evaluate(ASK, [path, options])


def post(page, body):
    headers = {"Content-Type": "application/json"}
    return ask(page, SESSIONS, method="POST", body=body, headers=headers)


def test_a_page_uses_the_api_between_login_and_logout(page, key):
    log_in(page, key)
    page.wait_for_url("**/docs")
    assert page.complaints == []
    assert post(page, f'{{"name": "{SECRET}"}}')[0] == 201
    assert SECRET in ask(page, SESSIONS)[1]
    assert page.evaluate("document.cookie") == ""
    page.evaluate("localStorage.setItem('kept', 'x')")

    page.goto(SESSIONS)
    assert SECRET in page.content()
    page.goto("/login")
    assert page.get_by_text("You are logged in as alice.").is_visible()
    page.get_by_role("button", name="Log out").click()
    page.wait_for_url("**/login")
    assert page.context.cookies() == []
    assert page.evaluate("localStorage.length") == 0

    page.go_back()
    page.go_back()
    assert page.url.endswith(SESSIONS)
    assert SECRET not in page.content()
    assert "unauthorized" in page.content()


def test_a_wrong_key_is_said_to_be_wrong(page, key):
    log_in(page, f"{key[:-1]}_")
    assert "not accepted" in page.get_by_role("alert").inner_text()
    assert page.context.cookies() == []
    assert page.evaluate("violations") == []


def test_the_login_works_without_scripts(browser, server, key):
    address = f"http://127.0.0.1:{server.port}"
    context = browser.new_context(base_url=address, java_script_enabled=False)
    page = context.new_page()
    log_in(page, key, "/login?next=//evil.example")
    page.wait_for_url(f"{address}/")
    assert page.locator("noscript").is_visible()
    (cookie,) = context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    context.close()


def test_a_page_of_another_site_cannot_use_the_login(page, server, key):
    log_in(page, key)
    page.wait_for_url("**/docs")
    form = f"""<form method="post" action="http://127.0.0.1:{server.port}/logout">
        <button>Win</button></form>"""
    page.route(
        "http://evil.example/",
        lambda route: route.fulfill(body=form, content_type="text/html"),
    )
    page.goto("http://evil.example/")
    with page.expect_navigation() as navigation:
        page.get_by_role("button").click()
    assert navigation.value.status == 403
    page.goto("/login")
    assert page.get_by_text("You are logged in as alice.").is_visible()


def test_a_page_leads_to_the_login_and_the_login_back(page, server, key):
    path = "/search?q=a%20b"
    page.goto(path)
    assert urlsplit(page.url).path == "/login"
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{path}")
    page.locator("#app > *").first.wait_for()
    assert page.complaints == []
    assert page.evaluate("violations") == []


def new_chat(server, key):
    body = {"name": "A test", "messages": [{"content": "x"}] * 20}
    return server.request("POST", SESSIONS, body, bearer(key)).json["id"]


def test_a_login_leads_back_to_the_message_of_the_address(page, server, key):
    path = f"/s/{new_chat(server, key)}#12"
    page.goto(path)
    page.get_by_label("API key").fill("chs_wrong")
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("alert").wait_for()
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(f"**{path}")
    expect(page.locator("#m12")).to_be_focused()
    assert page.evaluate("violations") == []


def test_a_login_at_a_provider_leads_back_to_the_message(browser, tmp_path):
    with (
        openid_provider() as provider,
        LiveServer(
            tmp_path,
            workers="1",
            auth="api-key",
            openid_issuer=provider.url,
            openid_client_id=CLIENT_ID,
            openid_client_secret=CLIENT_SECRET,
            openid_name="Example",
        ) as server,
    ):
        provider.claims = {"sub": "alice"}
        key = issue(server, "alice")
        path = f"/s/{new_chat(server, key)}#12"
        context = browser.new_context(base_url=f"http://127.0.0.1:{server.port}")
        page = context.new_page()
        page.goto(path)
        page.get_by_role("link", name="Sign in with Example").click()
        page.wait_for_url(f"{provider.url}/authorize**")
        page.goto(provider.sign_in(page.url))
        page.wait_for_url(f"**{path}")
        expect(page.locator("#m12")).to_be_focused()
        context.close()
