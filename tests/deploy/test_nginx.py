"""deploy/nginx.conf in a real nginx, in front of a real gunicorn on a unix socket."""

import gzip
import http.client
import socket
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from urllib.parse import quote

import pytest

from chatstore.web.static_files import package_files
from tests.support import (
    API,
    SESSIONS,
    assert_problem,
    messages_url,
    session_url,
    wait_until,
)
from tests.support.nginx import Nginx, shipped_config

ELSEWHERE = "127.0.0.77"
MEBIBYTE = 1024 * 1024
GZIP = {"Accept-Encoding": "gzip"}
MODULE = "vendor/preact/preact.mjs"


def test_the_application_sees_who_asks_for_what(site):
    headers = {"Host": "chat.example:8443"}
    seen = site.request("GET", "/echo?q=1", headers=headers, client=ELSEWHERE).json
    assert seen["client"] == ELSEWHERE
    assert seen["url"] == "http://chat.example/echo?q=1"


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("X-Forwarded-For", "6.6.6.6"),
        ("X-Forwarded-For", "6.6.6.6, 7.7.7.7"),
        ("X-Forwarded-Host", "evil.example"),
        ("X-Forwarded-Proto", "https"),
        ("X-Forwarded-Protocol", "ssl"),
        ("X-Forwarded-Ssl", "on"),
        ("X-Forwarded-Port", "6666"),
        ("X-Forwarded-Prefix", "/evil"),
        ("X-Real-IP", "6.6.6.6"),
        ("Forwarded", "for=6.6.6.6;host=evil.example;proto=https"),
        ("SCRIPT_NAME", "/echo"),
        ("PATH_INFO", "/evil"),
    ],
)
def test_what_a_client_forges_is_ignored(site, header, value):
    seen = site.request("GET", "/echo", headers={"Host": "a.example", header: value})
    assert seen.json["client"] == "127.0.0.1"
    assert seen.json["url"] == "http://a.example/echo"
    assert seen.json["prefix"] == ""


def test_a_request_keeps_the_id_that_its_client_gave_it(site):
    headers = {"X-Request-Id": "mine-1.2_3"}
    response = site.request("GET", "/echo", headers=headers)
    assert response.json["request_id"] == "mine-1.2_3"
    assert response.headers.get_all("X-Request-Id") == ["mine-1.2_3"]


@pytest.mark.parametrize("given", [None, "", "a b", '"},{"', "x" * 65])
def test_a_request_gets_an_id_that_all_logs_have(site, given):
    headers = {"X-Request-Id": given} if given is not None else {}
    response = site.request("GET", "/echo", headers=headers)
    (request_id,) = response.headers.get_all("X-Request-Id")
    assert request_id == response.json["request_id"] != given
    gunicorn_log = site.folder / "server.log"
    wait_until(lambda: request_id in gunicorn_log.read_text())
    wait_until(lambda: request_id in (each["request_id"] for each in site.access_log()))


def test_the_log_knows_the_client_and_not_what_was_looked_for(site):
    headers = {"X-Request-Id": "logged"}
    site.request("GET", "/echo?q=secret", headers=headers, client=ELSEWHERE)
    wait_until(lambda: '"logged"' in (site.folder / "access.log").read_text())
    (line,) = [each for each in site.access_log() if each["request_id"] == "logged"]
    assert line["client"] == ELSEWHERE
    assert (line["method"], line["path"]) == ("GET", "/echo")
    assert "secret" not in str(line)


@pytest.mark.parametrize("place", ["/api/v1/shared/", "/shared/", "/api/v1/SHARED/"])
def test_the_log_has_no_token_of_a_link(site, place):
    site.request("GET", f"{place}chl_secret/secret?secret=1")
    path = f"{place}-"
    wait_until(lambda: path in (each["path"] for each in site.access_log()))
    assert "secret" not in (site.folder / "access.log").read_text()


HOST = b"Host: a.example\r\n"


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (b"no HTTP at all\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET /%zz HTTP/1.1\r\n" + HOST + b"\r\n", 400),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: -1\r\n\r\n", 400),
        (b"GET /.problem HTTP/1.1\r\n" + HOST + b"\r\n", 404),
        (b"TRACE / HTTP/1.1\r\n" + HOST + b"\r\n", 405),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Content-Length: 9999999\r\n\r\n", 413),
        (b"GET /" + b"a" * 132_000 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
        (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 9000 + b"\r\n\r\n", 431),
        (b"POST / HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: x\r\n\r\n", 501),
        (b"GET / HTTP/4.0\r\n" + HOST + b"\r\n", 505),
    ],
)
def test_what_nginx_refuses_it_refuses_as_a_problem(site, raw, status):
    assert_problem(site.send(raw), status)


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/metrics", "/echo", SESSIONS, f"{SESSIONS}1/messages"]
)
@pytest.mark.parametrize("host", ["evil.org", "127.0.0.2", "example.evil.org", "_"])
def test_a_name_of_somebody_else_is_not_passed_on(site, host, path):
    response = site.request("GET", path, headers={"Host": host})
    problem = assert_problem(response, 421)
    assert problem["type"] == "urn:chatstore:problem:misdirected-request"
    # A refusal by chatstore would name the setting, so nginx refused this one.
    assert "CHATSTORE" not in problem["detail"]


# Sizes just below nginx's limits; gunicorn must not answer with an HTML error.
@pytest.mark.parametrize(
    "lines",
    [
        b"GET /" + b"a" * 131_000 + b" HTTP/1.1\r\n" + HOST,
        b"GET /missing HTTP/1.1\r\n" + HOST + b"A: " + b"a" * 8180 + b"\r\n",
        b"GET /missing HTTP/1.1\r\n" + HOST + b"A: a\r\n" * 200,
    ],
)
def test_what_nginx_lets_through_reaches_the_application(site, lines):
    assert_problem(site.send(lines + b"\r\n"), 404, detail="nothing at this path")


def test_a_search_of_ten_thousand_characters_goes_through(site):
    query = quote("数据库很快" * 1999 + "😀 -x*")
    response = site.request("GET", f"/api/v1/search?q={query}")
    assert (response.status_code, response.json["hits"]) == (200, [])


@pytest.mark.parametrize("size", [8 * MEBIBYTE + 1, 9 * MEBIBYTE + 1])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_body_too_large_is_a_problem_whoever_finds_out(site, size, is_chunked):
    body = iter([b" " * size]) if is_chunked else b" " * size
    headers = {"Content-Type": "application/json"}
    response = site.request("POST", SESSIONS, body, headers)
    is_nginx = size > 9 * MEBIBYTE
    limit = "client_max_body_size" if is_nginx else "CHATSTORE_MAX_BODY_BYTES"
    assert_problem(response, 413, detail=limit)


# gunicorn closes a connection with an unread body. nginx may keep that connection, and
# then this request or the next would get a 502.
@pytest.mark.parametrize("path", ["/nowhere", SESSIONS])
def test_a_body_that_is_refused_unread_hurts_no_other_request(site, path):
    body, headers = b" " * 200_000, {"Content-Type": "text/plain"}
    for number in range(30):
        client = f"127.0.1.{number}"
        refused = site.request("POST", path, body, headers, client)
        assert refused.status_code == (404 if path == "/nowhere" else 415)
        assert site.request("POST", SESSIONS, {}, client=client).status_code == 201


def test_one_address_cannot_ask_without_end(site):
    flood, bystander = "127.0.0.10", "127.0.0.11"
    with ThreadPoolExecutor(8) as pool:
        futures = [
            pool.submit(site.request, "GET", "/healthz", client=flood)
            for _ in range(600)
        ]
        answers = [each.result() for each in futures]
    refused = [each for each in answers if each.status_code != 200]
    assert 0 < len(refused) <= 400
    for each in refused:
        assert_problem(each, 429)
    assert site.request("GET", "/healthz", client=bystander).status_code == 200


def test_what_is_open_to_operators_is_closed_to_others(site):
    for path in ("/metrics", "/metrics/", "/%6Detrics", "/x/../metrics"):
        assert_problem(site.request("GET", path, client=ELSEWHERE), 403)
    assert b"chatstore_http" in site.request("GET", "/metrics").data


def test_entity_tags_stay_strong_and_preconditions_work(site):
    gzip = {"Accept-Encoding": "gzip"}
    chat = site.request("POST", SESSIONS, {"name": "a" * 250}, gzip).json
    etag = site.request("GET", session_url(chat), headers=gzip).headers["ETag"]
    assert etag.startswith('"')
    known = site.request("GET", session_url(chat), headers={"If-None-Match": etag})
    assert (known.status_code, known.data) == (304, b"")
    change = ("PATCH", session_url(chat), {"name": "b"}, {"If-Match": etag})
    assert site.request(*change).json["name"] == "b"
    assert_problem(site.request(*change), 412)


def test_sixty_slow_bodies_keep_nobody_waiting(site):
    body = b'{"name": "slow"}'
    head = (
        f"POST {SESSIONS} HTTP/1.1\r\nHost: a.example\r\n"
        "Content-Type: application/json\r\n"
    )
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with ExitStack() as stack:
        slow = [stack.enter_context(site.connect("127.0.0.12")) for _ in range(60)]
        for each in slow:
            each.sendall(head.encode() + body[:1])
        assert_health_is_answered(site)
        for each in slow:
            each.sendall(body[1:])  # had health waited for these, they would get no 201
        assert {each.recv(12) for each in slow} == {b"HTTP/1.1 201"}


def assert_health_is_answered(site: Nginx) -> None:
    answers = [site.request("GET", "/healthz") for _ in range(20)]
    assert {each.status_code for each in answers} == {200}


def open_stream(
    site: Nginx, client: str, path: str = f"{SESSIONS}gated/messages"
) -> http.client.HTTPResponse:
    connection = site.connect(client)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
    connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a.example\r\n\r\n".encode())
    response = http.client.HTTPResponse(connection)
    connection.close()  # the response keeps the socket open
    response.begin()
    return response


def test_no_address_gets_all_threads_by_listing_slowly(site):
    with ExitStack() as stack:
        streams = [
            stack.enter_context(closing(open_stream(site, "127.0.0.14")))
            for _ in range(5)
        ]
        assert sorted(each.status for each in streams) == [200] * 4 + [429]
        assert_health_is_answered(site)
        site.request("POST", "/gate")
        listed = {each.read() for each in streams if each.status == 200}
        assert listed == {b"first,last"}  # health was answered before the gate opened


def test_a_listing_arrives_while_it_is_made(site):
    with closing(open_stream(site, "127.0.0.13")) as response:
        assert response.read(6) == b"first,"
        site.request("POST", "/gate")
        assert response.read() == b"last"


# Twelve chunks exceed all socket buffers on the way. Unless nginx buffers them, the
# server has not read the last ones when the session is deleted.
def test_a_listing_is_made_as_fast_as_it_is_read(site):
    chat = site.request("POST", SESSIONS, {}).json
    for number in range(12):
        body = {"content": f"{number:x}" * MEBIBYTE}
        assert site.request("POST", messages_url(chat), body).status_code == 201
    with closing(open_stream(site, "127.0.0.15", messages_url(chat))) as response:
        assert response.read(13) == b'{"messages":['
        for _ in range(3):  # other clients get the whole list
            whole = site.request("GET", messages_url(chat)).json["messages"]
            assert [each["seq"] for each in whole] == list(range(1, 13))
        assert site.request("DELETE", session_url(chat)).status_code == 204
        with pytest.raises(http.client.IncompleteRead):
            response.read()


def test_files_of_pages_come_from_the_application_if_nginx_has_none(site):
    plain, packed = static_answers(site)
    assert plain.headers.get_all("Cache-Control") == packed.headers.get_all(
        "Cache-Control"
    )
    assert plain.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == plain.data
    assert len(plain.headers.get_all("X-Request-Id")) == 1
    other = site.request("GET", f"/static/{'0' * 16}/{MODULE}")
    assert_problem(other, 404)
    assert other.headers["Cache-Control"] == "no-store"


def test_nginx_serves_the_files_that_the_command_has_written(folder, run_command):
    assert run_command("static", str(folder)).exit_code == 0
    changes = {"root /var/www/chatstore;": f"root {folder};"}
    with Nginx(folder, changes) as nginx:  # and no application
        plain, packed = static_answers(nginx)
        assert plain.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert packed.headers["Content-Encoding"] == "gzip"
        assert gzip.decompress(packed.data) == plain.data
        for answer in (plain, packed):
            assert answer.headers["Vary"] == "Accept-Encoding"
            for name in ("X-Content-Type-Options", "Content-Security-Policy"):
                assert len(answer.headers.get_all(name)) == 1
            cached = answer.headers.get_all("Cache-Control")
            assert cached == ["public, max-age=31536000, immutable"]
        icon = nginx.request("GET", package_files().url("icon.svg"))
        assert icon.headers["Content-Type"] == "image/svg+xml"
        assert_problem(nginx.request("GET", package_files().url("nope.js")), 502)


def static_answers(nginx):
    """Return the answers for a module, plain and compressed."""
    url = package_files().url(MODULE)
    answers = nginx.request("GET", url), nginx.request("GET", url, headers=GZIP)
    assert [each.status_code for each in answers] == [200, 200]
    assert "Content-Encoding" not in answers[0].headers
    return answers


def test_the_page_passes_with_its_policy(site):
    page = site.request("GET", "/")
    assert page.status_code == 200
    (policy,) = page.headers.get_all("Content-Security-Policy")
    assert "require-trusted-types-for 'script'" in policy


def test_the_change_feed_passes_at_once(site):
    token = site.request("GET", f"{API}/changes").json["next"]
    with ThreadPoolExecutor(1) as pool:
        url = f"{API}/changes?since={token}&wait=20"
        waiting = pool.submit(site.request, "GET", url)
        created = site.request("POST", SESSIONS, {}).json
        answer = waiting.result(timeout=15).json
    assert created["id"] in str(answer["changes"])


def test_no_answer_of_the_change_feed_is_buffered():
    _, _, rest = shipped_config({}).partition("location ~ ^/api/v1/changes/?$ {")
    assert "proxy_buffering off;" in rest.partition("\n        }\n")[0]
