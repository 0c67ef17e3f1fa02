import gzip

import pytest

from chatstore.app import create_app
from chatstore.web.static_files import package_files
from tests.support import assert_problem, make_settings

GZIP = {"Accept-Encoding": "gzip, deflate, br"}
NAME = "vendor/preact/preact.mjs"


@pytest.fixture
def visitor(tmp_path):
    return create_app(make_settings(f"sqlite:///{tmp_path}/unused.db")).test_client()


def test_a_file_of_this_version_is_kept_for_ever(visitor):
    answer = visitor.get(f"/static/{package_files().hash}/{NAME}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert answer.content_type == "text/javascript; charset=utf-8"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in answer.headers
    assert answer.headers["Content-Length"] == str(len(answer.data))


def test_a_client_that_takes_gzip_gets_the_same_bytes_compressed(visitor):
    url = package_files().url(NAME)
    plain, packed = visitor.get(url), visitor.get(url, headers=GZIP)
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.headers["Vary"] == "Accept-Encoding"
    assert packed.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert len(packed.data) < len(plain.data) / 2
    assert gzip.decompress(packed.data) == plain.data


@pytest.mark.parametrize("accepted", ["", "identity", "br", "gzip;q=0", "*;q=0"])
def test_a_client_that_refuses_gzip_gets_the_plain_file(visitor, accepted):
    answer = visitor.get(
        package_files().url(NAME), headers={"Accept-Encoding": accepted}
    )
    assert "Content-Encoding" not in answer.headers


def test_a_file_of_another_version_is_not_found_and_not_remembered(visitor):
    answer = visitor.get(f"/static/{'0' * 16}/{NAME}", headers=GZIP)
    assert_problem(answer, 404)
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("name", ["docs.js", "login.css", "colours.css"])
def test_a_file_without_a_hash_is_asked_for_again(visitor, name):
    answer = visitor.get(f"/static/{name}")
    assert answer.status_code == 200
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize(
    "path", ["../app.py", "..%2fapp.py", "%2e%2e/app.py", "ui", "ui/", "/ui/app.js"]
)
def test_nothing_else_of_the_disk_is_served(visitor, path):
    assert_problem(visitor.get(f"/static/{package_files().hash}/{path}"), 404)
    assert_problem(visitor.get(f"/static/{path}"), 404)
