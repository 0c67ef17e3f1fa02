from urllib.parse import urlsplit

import pytest

from tests.support.browsers import REMEMBER_VIOLATIONS

RUN_INLINE = """() => {
    const script = document.createElement("script");
    script.textContent = "window.ran = true";
    document.body.append(script);
    return window.ran === true;
}"""


@pytest.fixture
def page(browser, server):
    """A page that records its requests and its complaints."""
    page = browser.new_page()
    page.requested, page.complaints = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("requestfailed", lambda request: page.complaints.append(request.url))
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
    page.goto(f"http://127.0.0.1:{server.port}/docs")
    page.wait_for_selector(".opblock")
    yield page
    page.close()


def assert_at_peace(page, server):
    """Assert that nothing was refused, and that only our server was asked."""
    assert page.complaints == []
    assert page.evaluate("violations") == []
    asked = {urlsplit(url).netloc for url in page.requested if url[:5] != "data:"}
    assert asked == {f"127.0.0.1:{server.port}"}


def test_the_page_has_a_title(page):
    assert page.title() == "chatstore API"


def test_every_operation_is_shown(page, server):
    document = server.request("GET", "/openapi.json").json
    operations = {
        (method.upper(), path)
        for path, item in document["paths"].items()
        for method in item
        if method != "parameters"
    }
    shown = {
        (
            block.query_selector(".opblock-summary-method").inner_text(),
            # Swagger UI breaks long paths with zero-width spaces.
            block.query_selector(".opblock-summary-path")
            .inner_text()
            .replace("\u200b", ""),
        )
        for block in page.query_selector_all(".opblock")
    }
    assert shown == operations
    assert_at_peace(page, server)


def test_the_style_sheet_is_applied(page):
    color = page.eval_on_selector(
        ".opblock-post .opblock-summary-method",
        "element => getComputedStyle(element).backgroundColor",
    )
    assert color == "rgb(73, 204, 144)"


def test_an_operation_can_be_tried_out(page, server):
    page.click(".opblock-post .opblock-summary-control")
    page.click("button.try-out__btn")
    page.click("button.execute")
    status = page.wait_for_selector(".live-responses-table tbody .response-col_status")
    assert status.inner_text().startswith("201")
    assert server.request("GET", "/api/v1/sessions/").json["sessions"]
    assert_at_peace(page, server)


def test_the_policy_stops_inline_scripts(page):
    assert page.evaluate(RUN_INLINE) is False
    assert page.evaluate("violations") == ["script-src-elem"]
