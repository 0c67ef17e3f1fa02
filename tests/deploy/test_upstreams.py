"""deploy/nginx.conf with servers that are absent, silent, dying or being replaced."""

from pathlib import Path

import pytest

from tests.support import SESSIONS, assert_problem, messages_url
from tests.support.nginx import Nginx, Node

SERVER = "server unix:/run/chatstore/chatstore.sock;"


def test_a_server_that_is_away_is_a_problem(folder):
    with Nginx(folder) as nginx:
        problem = nginx.request("POST", SESSIONS, {})
        assert_problem(problem, 502)
        assert int(problem.headers["Retry-After"]) > 0


def test_a_server_that_breaks_off_is_a_problem(folder):
    with Node(folder / "chatstore.sock"), Nginx(folder) as nginx:
        problem = assert_problem(nginx.request("POST", SESSIONS, {}), 502)
        assert "may or may not be stored" in problem["detail"]


def test_a_server_that_is_silent_is_a_problem(folder):
    in_a_second = {"proxy_read_timeout 90s;": "proxy_read_timeout 1s;"}
    node = Node(folder / "chatstore.sock", is_silent=True)
    with node, Nginx(folder, in_a_second) as nginx:
        problem = nginx.request("GET", "/healthz")
        assert_problem(problem, 504)
        assert int(problem.headers["Retry-After"]) > 0


def test_the_service_can_be_closed_and_opened(folder):
    closed = folder / "chatstore-maintenance"
    with Nginx(folder) as nginx:
        closed.touch()
        for path in ("/healthz", "/metrics", f"{SESSIONS}x/messages", "/.problem"):
            assert_problem(nginx.request("POST", path, {}), 503, detail="maintenance")
        closed.unlink()
        assert_problem(nginx.request("GET", "/healthz"), 502)


@pytest.fixture
def nodes(folder):
    """nginx in front of two nodes that drop every request."""
    both = "".join(
        f"server unix:{folder}/{name}.sock max_fails=0;" for name in ("dying", "other")
    )
    with (
        Node(folder / "dying.sock") as dying,
        Node(folder / "other.sock") as other,
        Nginx(folder, {SERVER: both}) as nginx,
    ):
        yield nginx, dying, other


@pytest.mark.parametrize(
    ("method", "times_sent"),
    [("POST", 1), ("PATCH", 1), ("GET", 2), ("HEAD", 2), ("DELETE", 2)],
)
def test_only_what_is_idempotent_is_sent_to_a_second_server(nodes, method, times_sent):
    nginx, dying, other = nodes
    for _ in range(4):
        assert nginx.request(method, SESSIONS, {}).status_code == 502
    assert len(dying.requests + other.requests) == 4 * times_sent


def test_a_node_that_cannot_be_reached_costs_nothing(site, folder):
    with Nginx(folder, {SERVER: upstream(folder / "gone.sock", site)}) as nginx:
        answers = [nginx.request("POST", SESSIONS, {}) for _ in range(6)]
        assert [each.status_code for each in answers] == [201] * 6


def test_a_message_whose_node_died_is_not_stored_twice(site, folder):
    messages = messages_url(site.request("POST", SESSIONS, {}).json)
    path = folder / "dying.sock"
    dying = Node(path, behind=site.folder / "chatstore.sock")
    with dying, Nginx(folder, {SERVER: upstream(path, site)}) as nginx:
        answers = [nginx.request("POST", messages, {"content": "x"}) for _ in range(6)]
    assert {each.status_code for each in answers} == {201, 502}
    assert len(site.request("GET", messages).json["messages"]) == 6


def upstream(path: Path, site: Nginx) -> str:
    """Return nginx.conf's lines for a node at `path` and the server of `site`."""
    return f"server unix:{path} max_fails=0; server unix:{site.folder}/chatstore.sock;"
