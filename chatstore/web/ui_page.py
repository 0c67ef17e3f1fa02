"""What the page of the web UI loads first, and the policy that it runs under."""

import base64
import hashlib
import posixpath
import re
from functools import cache

import orjson

from chatstore.web.static_files import StaticFiles, package_files

ENTRY = "ui/app.js"
# What the entry loads by `import()`, and a page shows at once. A session is shown
# before the list beside it.
FIRST = {
    "start": ("ui/list/list.js", "ui/list/start_view.js"),
    "session": ("ui/session/session_view.js",),
    "shared": ("ui/pages/shared_view.js",),
}
# The first is the base of the others, whose order does not matter.
STYLES = (
    "colours.css",
    "ui/base.css",
    "ui/compose/composer.css",
    "ui/list/list.css",
    "ui/message/message.css",
    "ui/session/transcript.css",
)
# The names by which modules import libraries; a slash at the end names a folder.
LIBRARIES = {
    "@preact/signals": "vendor/signals/signals.mjs",
    "@preact/signals-core": "vendor/signals-core/signals-core.mjs",
    "highlight.js": "vendor/highlight/core.js",
    "highlight.js/": "vendor/highlight/languages/",
    "htm": "vendor/htm/htm.mjs",
    "markdown-it": "vendor/markdown-it/markdown-it.mjs",
    # What markdown-it imports, in a smaller form of our own.
    **dict.fromkeys(
        ("entities", "linkify-it", "mdurl", "punycode.js", "uc.micro"),
        "ui/message/markdown_parts.js",
    ),
    "preact": "vendor/preact/preact.mjs",
    "preact/hooks": "vendor/preact/hooks.mjs",
    "uplot": "vendor/uplot/uPlot.js",
}
# `import … from "x"`, `export … from "x"` and `import "x"`, not `import("x")`.
_IMPORT = re.compile(
    r"""(?:^|[;}\n])\s*(?:import|export)\s*(?:[\w$*{}\s,]*?\s*\bfrom\s*)?"""
    r"""(?P<quote>["'])(?P<name>[^"'\n]+)(?P=quote)"""
)


class UiPage:
    """The parts of the page that depend on the files of the UI."""

    def __init__(self, files: StaticFiles) -> None:
        self.files = files
        urls = {name: files.url(path) for name, path in LIBRARIES.items()}
        self.import_map = orjson.dumps({"imports": urls}).decode()
        self.styles = [files.url(each) for each in STYLES]
        self.modules = {
            page: [files.url(each) for each in first_modules(files, ENTRY, *names)]
            for page, names in FIRST.items()
        }
        self.policy = _policy(self.import_map)


@cache
def package_page() -> UiPage:
    """Return the page of the package's own files."""
    return UiPage(package_files())


def first_modules(files: StaticFiles, *entries: str) -> list[str]:
    """Return the modules that these entries load at once, the first entry first.

    Those that a module imports later, by `import()`, are not among them.
    """
    found: list[str] = []
    waiting = [*entries]
    while waiting:
        name = waiting.pop(0)
        text = files.text(name)
        if name in found or text is None:
            continue
        found.append(name)
        waiting += [resolve(name, each) for each in imported_names(text)]
    return found


def imported_names(text: str) -> list[str]:
    """Return what a module imports statically, as it writes it."""
    return [match["name"] for match in _IMPORT.finditer(text)]


def resolve(importer: str, name: str) -> str:
    """Return the path of the file that `importer` means by `name`."""
    if name.startswith("."):
        return posixpath.normpath(posixpath.join(posixpath.dirname(importer), name))
    return LIBRARIES.get(name, name)


def _policy(import_map: str) -> str:
    digest = hashlib.sha256(import_map.encode()).digest()
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src 'self' 'sha256-{base64.b64encode(digest).decode()}'",
            "style-src 'self'",
            "img-src 'self'",
            "font-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        )
    )
