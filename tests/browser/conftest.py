"""The browser, the server and the pages of a module's tests.

A module may start its own server, and open its pages with other `page_options`.
"""

import pytest

from tests.support import LiveServer
from tests.support.browsers import chromium
from tests.support.ui import ui_pages


@pytest.fixture(scope="module")
def browser():
    with chromium() as started:
        yield started


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with LiveServer(tmp_path_factory.mktemp("server"), workers="1") as started:
        yield started


@pytest.fixture
def open_page(browser, server):
    """Opens pages of the web UI, which must end without complaints."""
    with ui_pages(browser, server) as open_page:
        yield open_page


@pytest.fixture
def page_options():
    """What Playwright's `new_context` gets for `page`."""
    return {}


@pytest.fixture
def page(open_page, page_options):
    return open_page(**page_options)
