"""Pages of the web UI in Chromium that remember what they complain about."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.support.browsers import REMEMBER_VIOLATIONS
from tests.support.servers import LiveServer

# The browser itself reports these; the UI says them in its own words.
_EXPECTED = (
    "Failed to load resource",
    "net::ERR_",
    # By plain HTTP, except on this machine.
    "The Cross-Origin-Opener-Policy header has been ignored",
)


@contextmanager
def ui_pages(
    browser: Any, server: LiveServer, *, name: str = "127.0.0.1"
) -> Iterator[Callable[..., Any]]:
    """Yields `open_page(address=None, **context)`: a page of a new browser profile.

    At the end no page may have complaints, violations or requests to another server.
    `page.requested` has the URLs of its requests. `name` is the host in the address.
    """
    host = f"{name}:{server.port}"
    profiles: list[Any] = []
    opened: list[Any] = []

    def open_page(address: str | None = None, **context: Any) -> Any:
        context.setdefault("locale", "en-GB")
        profile = browser.new_context(base_url=f"http://{host}", **context)
        profiles.append(profile)
        profile.set_default_timeout(10_000)
        page = watched(profile.new_page())
        opened.append(page)
        if address is not None:
            page.goto(address)
        return page

    try:
        yield open_page
        for page in opened:
            assert page.complaints == []
            assert page.evaluate("window.violations ?? []") == []
            hosts = {url.split("/")[2] for url in page.requested if "://" in url}
            assert hosts <= {host}
    finally:
        for profile in profiles:
            profile.close()


def watched(page: Any) -> Any:
    """Let `page` remember its requests, errors and violations of the policy."""
    page.requested, page.complaints = [], []
    page.on("request", lambda request: page.requested.append(request.url))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("console", lambda line: _remember(page, line))
    page.add_init_script(REMEMBER_VIOLATIONS)
    return page


def _remember(page: Any, line: Any) -> None:
    if line.type in ("error", "warning") and not line.text.startswith(_EXPECTED):
        page.complaints.append(line.text)
