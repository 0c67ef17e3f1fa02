"""Renders the main views of the web UI into docs/pictures, from `chatstore demo`."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from tests.support import ROOT, LiveServer
from tests.support.browsers import chromium
from tests.support.servers import environ_of

PICTURES = ROOT / "docs" / "pictures"
_DESKTOP = {"width": 1440, "height": 900}
_PHONE = {"width": 375, "height": 667}
_SESSION = "Nightly copies of the archive server"


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        LiveServer(Path(folder), workers="1") as server,
        chromium() as browser,
    ):
        subprocess.run(
            [sys.executable, "-m", "chatstore", "demo"],
            cwd=folder,
            env=environ_of(),
            check=True,
        )
        for theme in ("light", "dark"):
            _render(browser, f"http://127.0.0.1:{server.port}", theme)


def _render(browser: Any, base_url: str, theme: str) -> None:
    desktop = browser.new_context(
        base_url=base_url, viewport=_DESKTOP, color_scheme=theme, locale="en-GB"
    )
    page = desktop.new_page()
    page.goto("/")
    page.get_by_role("link", name=_SESSION).first.click()
    page.locator("article.msg").last.wait_for()
    _shoot(page, f"session-{theme}")
    page.keyboard.press("Control+k")
    page.locator("dialog[open] input").fill("copy fold")
    page.locator("dialog mark").first.wait_for()
    _shoot(page, f"search-{theme}")
    page.goto("/usage")
    page.locator("canvas").first.wait_for()
    _shoot(page, f"usage-{theme}")
    desktop.close()
    phone = browser.new_context(
        base_url=base_url,
        viewport=_PHONE,
        color_scheme=theme,
        locale="en-GB",
        has_touch=True,
        is_mobile=True,
        device_scale_factor=2,
    )
    page = phone.new_page()
    page.goto("/")
    page.get_by_role("link", name=_SESSION).first.wait_for()
    _shoot(page, f"phone-list-{theme}")
    page.get_by_role("link", name=_SESSION).first.click()
    page.locator("article.msg").last.wait_for()
    _shoot(page, f"phone-session-{theme}")
    phone.close()


def _shoot(page: Any, name: str) -> None:
    page.screenshot(path=PICTURES / f"{name}.png")
    click.echo(f"docs/pictures/{name}.png")


if __name__ == "__main__":
    main()
