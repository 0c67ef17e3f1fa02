import pytest
from werkzeug.test import create_environ, run_wsgi_app

from tests.support import SESSIONS, assert_problem, on_sqlite

pytestmark = on_sqlite
OURS = [
    *["localhost", "LOCALHOST", "localhost.", "localhost:8000", "chat.localhost"],
    *["127.0.0.1", "127.0.0.1:8000", "127.8.9.1", "[::1]", "[::1]:8000"],
    *["[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "localhost:", "[::1]:"],
]
STRANGERS = [
    *["evil.example", "evil.example:8000", "localhost.evil.example", "evillocalhost"],
    *["192.0.2.1", "[2001:db8::1]", "0.0.0.0", "127.1", "2130706433", "128.0.0.1"],
    *["127.0.0.1.evil.example", "", ".", ":8000", ":", ".:", "localhost:x"],
    *["evil.example:", "localhost::", "localhost: ", "[::1]:x", "::1:"],
    *["localhost:99999", "localhost,evil.example", "user@localhost", "localhost/"],
    *["localhost#", "[::1", "::1", "[localhost]", "[::1%25lo]", "lo calhost"],
    *["localhost\x00", "l\xf6calhost", "a" * 5000],
]


def ask(client, host, path="/healthz", method="GET", **options):
    return client.open(
        path, method=method, environ_overrides={"HTTP_HOST": host}, **options
    )


def routes(app):
    """Return a path and method for every route, and for missing ones."""
    found = {("/missing", "GET"), ("/healthz", "DELETE")}
    for rule in app.url_map.iter_rules():
        path = rule.rule
        for argument in rule.arguments:
            converter = "uuid:" if f"<uuid:{argument}>" in path else ""
            for kind in (converter, "int:", "path:", ""):
                path = path.replace(f"<{kind}{argument}>", "1")
        found |= {(path, method) for method in rule.methods}
    return sorted(found)


@pytest.mark.parametrize("host", OURS)
def test_names_of_the_machine_itself_are_answered(alice, host):
    assert ask(alice, host).status_code == 200


@pytest.mark.parametrize("host", STRANGERS)
def test_a_name_of_somebody_else_is_not_answered(alice, host):
    problem = assert_problem(ask(alice, host), 421, detail="CHATSTORE_ALLOWED_HOSTS")
    assert problem["type"] == "urn:chatstore:problem:misdirected-request"
    assert "evil" not in problem["detail"]


def test_no_route_answers_to_a_name_of_somebody_else(app, alice):
    answers = {each: ask(alice, "evil.example", *each) for each in routes(app)}
    assert len(answers) > 30
    assert {answer.status_code for answer in answers.values()} == {421}


def test_a_stranger_changes_nothing(alice):
    assert_problem(ask(alice, "evil.example", SESSIONS, "POST", json={}), 421)
    assert alice.get(SESSIONS).json["sessions"] == []


@pytest.mark.parametrize(
    ("allowed", "host", "status"),
    [
        ("chat.example", "chat.example", 200),
        ("chat.example", "CHAT.Example.:443", 200),
        ("chat.example", "chat.example:", 200),
        ("chat.example", "a.chat.example", 421),
        (" a.example , chat.example,", "chat.example", 200),
        ("Chat.Example.", "chat.example", 200),
        (".example.org", "example.org", 200),
        (".example.org", "a.b.example.org", 200),
        (".example.org", "badexample.org", 421),
        ("192.0.2.1", "192.0.2.1:8000", 200),
        ("[2001:db8::1]", "[2001:db8::1]:8000", 200),
        ("2001:db8::1", "[2001:db8::1]", 200),
        ("bücher.example", "xn--bcher-kva.example", 200),
        ("*", "evil.example", 200),
        ("*", "no host", 421),
        ("chat.example", "evil.example", 421),
    ],
)
def test_listed_names_are_answered(make_app, allowed, host, status):
    client = make_app(allowed_hosts=allowed).test_client()
    assert ask(client, host).status_code == status


@pytest.mark.parametrize(
    ("bind", "host", "status"),
    [
        ("192.0.2.7:8000", "192.0.2.7:8000", 200),
        ("192.0.2.7:8000", "192.0.2.8:8000", 421),
        ("chat.lan:8000", "chat.lan", 200),
        ("[2001:db8::1]:8000", "[2001:db8::1]", 200),
        ("0.0.0.0:8000", "0.0.0.0:8000", 200),
        ("0.0.0.0:8000", "evil.example", 421),
        ("[::]:8000", "evil.example", 421),
        ("unix:/run/chatstore.sock", "localhost", 200),
        ("unix:/run/chatstore.sock", "evil.example", 421),
        ("unix:/run/chatstore.sock", "unix", 421),
    ],
)
def test_the_bound_address_is_answered(make_app, bind, host, status):
    assert ask(make_app(bind=bind).test_client(), host).status_code == status


@pytest.mark.parametrize(
    ("protocol", "status"), [("HTTP/1.0", "200 OK"), ("HTTP/1.1", "400 BAD REQUEST")]
)
def test_http_1_0_may_leave_the_name_out_and_http_1_1_may_not(app, protocol, status):
    environ = create_environ("/healthz")
    environ["SERVER_PROTOCOL"] = protocol
    del environ["HTTP_HOST"]
    assert run_wsgi_app(app, environ, buffered=True)[1] == status


@pytest.mark.parametrize(
    ("target", "status"),
    [
        ("http://localhost/healthz", 200),
        ("http://evil.example/healthz", 421),
        ("http://[broken/healthz", 421),
        ("//evil.example/healthz", 200),
        ("/healthz", 200),
    ],
)
def test_the_name_in_the_target_counts_too(alice, target, status):
    answer = alice.get("/healthz", environ_overrides={"RAW_URI": target})
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("hops", "host", "forwarded", "status"),
    [
        (0, "localhost", "evil.example", 200),
        (0, "evil.example", "localhost", 421),
        (1, "localhost", "chat.example", 200),
        (1, "chat.example", "chat.example", 200),
        (1, "localhost", "evil.example", 421),
        (1, "evil.example", "localhost", 421),
        (1, "evil.example", "chat.example", 421),
        (1, "localhost", "evil.example, chat.example", 200),
        (1, "localhost", "chat.example, evil.example", 421),
    ],
)
def test_the_name_that_a_proxy_forwards_counts_too(
    make_app, hops, host, forwarded, status
):
    client = make_app(proxy_hops=hops, allowed_hosts="chat.example").test_client()
    answer = ask(client, host, headers={"X-Forwarded-Host": forwarded})
    assert answer.status_code == status


CROSS_SITE = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "unheard-of"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Origin": "http://evil.example"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost@evil.example"},
    {"Origin": "file://localhost"},
    {"Origin": "localhost"},
    {"Origin": "http://127.0.0.1"},
]


@pytest.mark.parametrize("headers", CROSS_SITE)
def test_a_page_of_another_site_changes_nothing(alice, headers):
    answer = alice.post(SESSIONS, json={}, headers=headers)
    problem = assert_problem(answer, 403, detail="another site")
    assert problem["type"] == "urn:chatstore:problem:cross-site-request"
    assert alice.get(SESSIONS).json["sessions"] == []


@pytest.mark.parametrize(
    ("host", "headers"),
    [
        ("localhost", {}),
        ("localhost", {"Sec-Fetch-Site": "same-origin"}),
        ("localhost", {"Sec-Fetch-Site": "none"}),
        ("localhost", {"Origin": "http://localhost"}),
        ("localhost:8000", {"Origin": "http://localhost:8000"}),
        ("localhost:80", {"Origin": "http://localhost"}),
        ("localhost:443", {"Origin": "https://LOCALHOST"}),
        ("localhost:", {"Origin": "https://localhost"}),
        ("localhost:80", {"Origin": "http://localhost:"}),
        # nginx has removed the port from Host.
        ("localhost", {"Origin": "http://localhost:8080"}),
        ("[::1]:8000", {"Origin": "http://[::1]:8000"}),
    ],
)
def test_pages_of_this_server_and_programs_change_things(alice, host, headers):
    assert ask(alice, host, SESSIONS, "POST", json={}, headers=headers).status_code == (
        201
    )


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        ("localhost:8000", "http://localhost:3000"),
        ("localhost:8000", "http://localhost"),
        ("localhost:", "http://localhost:3000"),
    ],
)
def test_another_port_is_another_site(alice, host, origin):
    headers = {"Origin": origin}
    assert_problem(ask(alice, host, SESSIONS, "POST", json={}, headers=headers), 403)


def test_no_route_lets_another_site_change_anything(app, alice):
    safe = {"GET", "HEAD", "OPTIONS"}
    asked = [each for each in routes(app) if each[1] not in safe]
    assert len(asked) >= 8
    for path, method in asked:
        headers = {"Sec-Fetch-Site": "cross-site"}
        assert ask(alice, "localhost", path, method, headers=headers).status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
def test_another_site_may_ask_for_what_changes_nothing(alice, method):
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "http://evil.example"}
    assert ask(alice, "localhost", SESSIONS, method, headers=headers).status_code == 200
