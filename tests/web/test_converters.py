from urllib.parse import quote

import pytest

from tests.support import API, SESSIONS, assert_problem

URL = f"{API}/sessions/by-external-id/"
ODD_IDS = ["a", " ", "/", "a/b", "/a", "a/", "//", "a//b", "a/messages", "."]
ODD_IDS += [
    "a?b#c",
    "100%",
    "%2F",
    "+",
    "é",
    "e\u0301",
    "数据",
    "🚀",
    "\ufffd",
    "\ud7ff",
]
ODD_IDS += ["a\nb", "\r", "\x01", "'\"\\", "x" * 255, "🚀" * 255]


@pytest.mark.parametrize("external_id", ODD_IDS)
def test_an_external_id_of_any_characters_is_found_as_itself(alice, external_id):
    created = alice.post(SESSIONS, json={"external_id": external_id}).json
    alice.post(SESSIONS, json={"external_id": "another"})
    for safe in ("", "/"):  # a slash may stand as it is
        found = alice.get(URL + quote(external_id, safe=safe))
        assert found.json == created
    listed = alice.get(SESSIONS, query_string={"external_id": external_id}).json
    assert listed["sessions"] == [created]
    put = alice.put(URL + quote(external_id, safe=""), json={})
    assert (put.status_code, put.json) == (200, created)


@pytest.mark.parametrize("path", ["", "x" * 256, "%00", "a%00b"])
def test_a_path_that_is_no_external_id_is_not_found(alice, path):
    assert_problem(alice.get(URL + path), 404)
    assert_problem(alice.put(URL + path, json={}), 404)


@pytest.mark.parametrize("path", [b"\xff", b"a\xc3", b"\xed\xa0\x80"])
def test_a_path_that_is_not_utf_8_is_not_found(alice, path):
    alice.post(SESSIONS, json={"external_id": "\ufffd"})
    # Flask's client replaces such bytes itself, a server does not.
    sent = {"PATH_INFO": (URL.encode() + path).decode("latin-1")}
    assert_problem(alice.get("/", environ_overrides=sent), 404)
    assert_problem(alice.put("/", json={}, environ_overrides=sent), 404)
    assert len(alice.get(SESSIONS).json["sessions"]) == 1


def test_other_methods_are_not_allowed(alice):
    response = alice.delete(f"{URL}a/b")
    assert_problem(response, 405)
    assert set(response.headers["Allow"]) >= set("GET, PUT")


def test_a_server_passes_every_path_on(serve):
    server = serve(workers="1")
    for external_id in ODD_IDS:
        path = URL + quote(external_id, safe="")
        created = server.request("PUT", path, {})
        assert (created.status_code, created.json["external_id"]) == (201, external_id)
        assert server.request("GET", URL + quote(external_id)).json == created.json
    for path in ("%ff", "a%C3", "%ED%A0%80", "%00"):
        assert server.request("PUT", URL + path, {}).status_code == 404
