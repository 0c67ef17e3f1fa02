import base64
import hashlib
import json

import pytest

from chatstore.web.static_files import StaticFiles, package_files
from chatstore.web.ui_page import (
    ENTRY,
    LIBRARIES,
    UiPage,
    first_modules,
    imported_names,
    package_page,
    resolve,
)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('import { h } from "preact";', ["preact"]),
        ("import a, { b as c } from './b.js'\n", ["./b.js"]),
        ('import * as all from "./all.js";', ["./all.js"]),
        ('import {\n  a,\n  b,\n} from "./long.js";', ["./long.js"]),
        ('import "./effect.js";', ["./effect.js"]),
        ('export { a } from "./a.js";\nexport * from "./b.js";', ["./a.js", "./b.js"]),
        ('import{a as t}from"preact";import{b}from"htm";', ["preact", "htm"]),
        ('const late = () => import("./late.js");', []),
        ('/** @type {import("./types.js").Row} */', []),
        ('// from "x"\nexport const from = "x";', []),
        ('export function a() { return "b"; }', []),
    ],
)
def test_static_imports_are_found(text, names):
    assert imported_names(text) == names


@pytest.mark.parametrize(
    ("importer", "name", "path"),
    [
        ("ui/app.js", "./list.js", "ui/list.js"),
        ("ui/list/row.js", "../words.js", "ui/words.js"),
        ("ui/app.js", "htm", "vendor/htm/htm.mjs"),
    ],
)
def test_an_import_is_a_path_or_a_library(importer, name, path):
    assert resolve(importer, name) == path


def test_the_first_modules_are_all_that_the_entry_needs_once_each(tmp_path):
    (tmp_path / "ui").mkdir()
    for name, text in {
        "app": 'import "./a.js";\nimport "./b.js";\nimport("./late.js");',
        "a": 'import "./b.js";',
        "b": 'import "./a.js";\nimport "./missing.js";',
        "late": "",
    }.items():
        (tmp_path / "ui" / f"{name}.js").write_text(text)
    assert first_modules(StaticFiles(tmp_path), ENTRY) == [ENTRY, "ui/a.js", "ui/b.js"]


def test_every_name_of_a_library_is_a_file_or_a_folder():
    files = package_files()
    for name, path in LIBRARIES.items():
        assert name.endswith("/") == path.endswith("/")
        assert name.endswith("/") or files.text(path), name


def test_the_import_map_names_files_of_this_version():
    imports = json.loads(package_page().import_map)["imports"]
    assert imports.keys() == LIBRARIES.keys()
    assert all(url.startswith(package_files().base) for url in imports.values())


def test_the_policy_has_the_sum_of_the_import_map():
    page = UiPage(package_files())
    digest = hashlib.sha256(page.import_map.encode()).digest()
    assert f" 'sha256-{base64.b64encode(digest).decode()}';" in page.policy
