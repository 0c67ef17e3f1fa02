"""Chromium, as the browser tests start it."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

from tests.support.environment import need

_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# The browser reports to the page which directives of the policy were violated.
REMEMBER_VIOLATIONS = """
window.violations = [];
addEventListener("securitypolicyviolation",
                 event => violations.push(event.violatedDirective));
"""


@contextmanager
def chromium(*flags: str) -> Iterator[Any]:
    """Start the Chromium of the system; skip the test without it or playwright."""
    need("chromium", shutil.which("chromium") is not None)
    need("playwright", find_spec("playwright") is not None)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=[*_FLAGS, *flags]
        )
        yield browser
        browser.close()
