"""docs/security.md: its settings and its lines of nginx, in a real nginx."""

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from chatstore.app import create_app
from chatstore.enums import Scope
from chatstore.settings import Settings
from tests.support import API, ROOT, SESSIONS, assert_problem
from tests.support.access import bearer, issue_key
from tests.support.nginx import Nginx, start_gunicorn
from tests.support.tokens import jwk, key_set, rsa_key, sign

TEXT = (ROOT / "docs" / "security.md").read_text("utf-8")
CLEARING = 'proxy_set_header X-Forwarded-User "";'
LOGIN_PROXY = "http://127.0.0.1:4180"
ISSUER = {"iss": "https://id.example.org", "aud": "chatstore"}
LOGGED_IN = {"Cookie": "_oauth2_proxy=ada"}


def blocks(heading, language):
    """Return the blocks of code below a heading."""
    section = TEXT.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return re.findall(rf"^```{language}\n(.*?)^```$", section, re.M | re.S)


def settings_of(heading):
    """Return the settings below a heading."""
    (text,) = blocks(heading, "ini")
    return {
        name.lower(): value
        for name, value in re.findall(r"^CHATSTORE_(\w+)=(.*)$", text, re.M)
    }


@contextmanager
def login_proxy(token=""):
    """Answer as oauth2-proxy does to a subrequest of nginx; yield the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            user = (self.headers["Cookie"] or "").partition("_oauth2_proxy=")[2]
            if self.path == "/oauth2/start":
                self.send_response(302)
                self.send_header("Location", "https://id.example.org/")
            elif user:
                self.send_response(202)
                self.send_header("X-Auth-Request-User", user)
                self.send_header("Authorization", f"Bearer {token}")
            else:
                self.send_response(401)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def documented_site(folder, heading, *, port=0, **settings):
    """Run chatstore and nginx as the section says; `settings` replaces some."""
    changes = {}
    if port:
        in_http, in_server = blocks(heading, "nginx")
        in_server = in_server.replace(LOGIN_PROXY, f"http://127.0.0.1:{port}")
        changes = {CLEARING: in_http, "server_name _;": f"server_name _;\n{in_server}"}
    options = {"workers": "1"} | settings_of(heading) | settings
    with start_gunicorn(folder, **options), Nginx(folder, changes) as nginx:
        yield nginx


def test_keys_pass_through_nginx(folder):
    (line,) = blocks("API keys", "nginx")
    assert line.strip() == CLEARING
    url = f"sqlite:///{folder}/chatstore.db"
    settings = {"database_url": url, "trusted_proxies": "unix"}
    with documented_site(folder, "API keys", **settings) as nginx:
        app = create_app(Settings(database_url=url), creates_files=False)
        headers = bearer(issue_key(app, "alice", Scope.WRITE))
        assert owner(nginx, headers) == "alice"
        assert nginx.request("POST", SESSIONS, {}, headers).status_code == 201
        refused = nginx.request("GET", SESSIONS)
        assert_problem(refused, 401)
        assert refused.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_client_cannot_send_the_header_of_a_proxy(folder):
    # Here nobody has replaced the line that removes the header.
    settings = settings_of("Login proxies") | {"workers": "1"}
    with start_gunicorn(folder, **settings), Nginx(folder) as nginx:
        headers = {"X-Forwarded-User": "eve"}
        assert_problem(nginx.request("GET", SESSIONS, headers=headers), 401)


def test_nginx_names_the_owner_that_the_login_proxy_knows(folder):
    with (
        login_proxy() as port,
        documented_site(folder, "Login proxies", port=port) as nginx,
    ):
        assert owner(nginx, LOGGED_IN) == "ada"
        forged = LOGGED_IN | {"X-Forwarded-User": "eve", "X_Forwarded_User": "eve"}
        assert owner(nginx, forged) == "ada"
        assert nginx.request("POST", SESSIONS, {}, LOGGED_IN).status_code == 201
        assert_links_and_files_need_no_login(nginx)
        assert_only_logins_reach_chatstore(nginx)


# Paths that need a login, also those that look as if they needed none.
CLOSED = (
    SESSIONS,
    f"{SESSIONS}x/messages",
    f"{API}/changes",
    f"{API}/shared",
    f"{API}/shared/",
    f"{API}/shared/x/../../sessions/",
    f"{API}/shared/%2e%2e/sessions/",
    f"{API}/shared/..%2fsessions%2f",
    f"{API}/sharedx",
    f"{API}/sessions/x/shares",
    "/",
    "/docs",
    "/healthz",
    "/login",
    "/search",
    "/shared/x/../../",
    "/shared/../s/x",
    "/static/../",
    "/static/..%2fsearch",
    "/SHARED/x",
)


def assert_links_and_files_need_no_login(nginx):
    body = {"name": "Shared", "messages": [{"content": "for all"}]}
    chat = nginx.request("POST", SESSIONS, body, LOGGED_IN).json["id"]
    share = nginx.request("POST", f"{SESSIONS}{chat}/shares", {}, LOGGED_IN).json
    forged = {"X-Forwarded-User": "eve", "Authorization": "Bearer x"}
    for headers in ({}, forged):
        read = nginx.request("GET", share["url"], headers=headers)
        assert read.status_code == 200
        assert read.json["messages"][0]["content"] == "for all"
        page = nginx.request("GET", f"/shared/{share['token']}", headers=headers)
        assert page.status_code == 200
        files = re.findall(r'(?:src|href)="(/static/[^"]*)"', page.data.decode())
        assert len(files) > 10
        for path in files:
            assert nginx.request("GET", path, headers=headers).status_code == 200
    assert_problem(nginx.request("GET", f"{API}/shared/chl_wrong"), 404)
    assert_problem(
        nginx.request("GET", share["url"], headers={"Host": "evil.org"}), 421
    )


def assert_only_logins_reach_chatstore(nginx):
    for headers in ({}, {"X-Forwarded-User": "eve"}, {"Cookie": "x=1"}):
        for path in CLOSED:
            answer = nginx.request("GET", path, headers=headers)
            assert_problem(answer, 401, detail="login proxy")
    assert_problem(nginx.request("GET", "/oauth2/auth", headers=LOGGED_IN), 404)
    assert nginx.request("GET", "/oauth2/start").status_code == 302
    assert nginx.request("GET", "/metrics").status_code == 200


def test_tokens_pass_through_nginx_and_the_login_proxy_adds_them(folder):
    (folder / "jwks.json").write_bytes(key_set(jwk(rsa_key(), kid="r")))
    token = sign(ISSUER | {"sub": "ada"}, rsa_key(), "RS256", kid="r")
    jwks = str(folder / "jwks.json")
    with documented_site(folder, "Tokens", jwks=jwks) as nginx:
        assert owner(nginx, bearer(token)) == "ada"
        other = sign(ISSUER | {"aud": "x"}, rsa_key(), "RS256", kid="r")
        assert_problem(nginx.request("GET", SESSIONS, headers=bearer(other)), 401)
    with (
        login_proxy(token) as port,
        documented_site(folder, "Tokens", port=port, jwks=jwks) as nginx,
    ):
        assert owner(nginx, LOGGED_IN) == "ada"
        assert owner(nginx, LOGGED_IN | bearer("x")) == "ada"
        assert_problem(nginx.request("GET", SESSIONS, headers=bearer(token)), 401)
        assert_links_and_files_need_no_login(nginx)
        assert_only_logins_reach_chatstore(nginx)


def test_the_settings_of_each_mode_are_taken():
    for heading in ("API keys", "Tokens", "Login proxies"):
        assert Settings(**settings_of(heading)).auth != "none"


def test_the_tests_in_the_table_of_threats_exist():
    named = set(re.findall(r"`([a-z_/]+\.py)`", TEXT.partition("\n## Threats\n")[2]))
    assert len(named) > 20
    assert [each for each in named if not (ROOT / "tests" / each).exists()] == []
    for risk in range(1, 11):
        assert f"| API{risk} " in TEXT


def owner(nginx, headers):
    response = nginx.request("GET", f"{API}/me", headers=headers)
    assert response.status_code == 200, response.data
    return json.loads(response.data)["owner"]
