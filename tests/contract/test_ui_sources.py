"""Rules for the files of the web UI, and what a first visit costs."""

import base64
import hashlib
import json
import re
from uuid import UUID

import pytest

from chatstore.web.static_files import FOLDER, package_files
from chatstore.web.ui_page import imported_names, package_page, resolve

VENDOR = FOLDER / "vendor"
LOCK = json.loads((VENDOR / "lock.json").read_text("utf-8"))
OWN = sorted(path for path in (FOLDER / "ui").rglob("*") if path.is_file())
MODULES = [path for path in OWN if path.suffix == ".js"]
MOST_BYTES = 110 * 1024
MOST_LINES = 250
TABLES = {"ui/words.js"}  # all words of the UI in one place
# What turns text into elements, or needs a looser policy, or escapes the type checker.
FORBIDDEN = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|dangerouslySetInnerHTML|DOMParser"
    r"|document\.write|\bstyle=|<\$\{"
)
FETCH = re.compile(
    r"(?<![\w.])(?:window\.|globalThis\.)?fetch\("
    r"|XMLHttpRequest|sendBeacon|EventSource"
)


def name_of(path):
    return path.relative_to(FOLDER).as_posix()


def sha512(path):
    digest = hashlib.sha512(path.read_bytes()).digest()
    return f"sha512-{base64.b64encode(digest).decode()}"


def test_every_vendored_file_is_that_of_the_lock():
    locked = {
        path: each["sha512"]
        for package in LOCK.values()
        for path, each in package["files"].items()
    }
    found = {
        path.relative_to(VENDOR).as_posix(): sha512(path)
        for path in VENDOR.rglob("*")
        if path.is_file() and path.name != "lock.json"
    }
    assert found == locked


@pytest.mark.parametrize("name", LOCK)
def test_a_package_has_an_exact_version_and_its_licence(name):
    package = LOCK[name]
    assert package.keys() == {"version", "integrity", "files"}
    assert re.fullmatch(r"\d+\.\d+\.\d+", package["version"])
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", package["integrity"])
    assert any(path.endswith("/LICENSE") for path in package["files"])


def test_no_registry_is_named_in_the_lock():
    assert "://" not in (VENDOR / "lock.json").read_text("utf-8")


@pytest.mark.parametrize("path", OWN, ids=name_of)
def test_no_text_becomes_elements(path):
    assert FORBIDDEN.findall(path.read_text("utf-8")) == []


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_is_short(path):
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= MOST_LINES or name_of(path) in TABLES


def test_one_module_fetches():
    fetching = {name_of(each) for each in MODULES if FETCH.search(each.read_text())}
    assert fetching <= {"ui/api.js"}


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_every_import_leads_to_a_file(path):
    text = path.read_text("utf-8")
    late = re.findall(r"""(?<!\{)\bimport\(\s*["']([^"'$]+)["']""", text)
    for imported in [*imported_names(text), *late]:
        if imported.startswith("highlight.js/"):
            target = f"vendor/highlight/languages/{imported.partition('/')[2]}"
        else:
            target = resolve(name_of(path), imported)
        assert package_files().text(target) is not None, imported


@pytest.mark.parametrize(
    ("path", "kind"), [("/", "start"), (f"/s/{UUID(int=0)}", "session")]
)
def test_a_first_visit_costs_at_most_110_kilobytes(alice, path, kind):
    urls = re.findall(r'(?:src|href)="(/static/[^"]*)"', alice.get(path).text)
    assert set(package_page().modules[kind]) <= set(urls)
    headers = {"Accept-Encoding": "gzip"}
    sizes = {url: len(alice.get(url, headers=headers).data) for url in [path, *urls]}
    assert sum(sizes.values()) <= MOST_BYTES, sizes
