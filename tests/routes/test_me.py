from datetime import datetime

from chatstore import __version__
from chatstore.settings import Settings
from tests.support import API, assert_problem


def test_a_caller_learns_what_applies(alice, clock):
    response = alice.get(f"{API}/me")
    assert response.status_code == 200
    me = response.json
    assert set(me.pop("limits").values()) >= {8 * 1024 * 1024, 1000, 50}
    assert datetime.fromisoformat(me.pop("server_time")).year == clock.now.year
    assert me == {
        "owner": "local",
        "scopes": ["read", "write", "admin"],
        "default_model_name": "test-model",
        "server_version": __version__,
    }
    assert response.headers["Cache-Control"] == "no-store"


def test_the_limits_are_those_of_the_settings(make_app):
    app = make_app(max_batch_size=7, max_streams=3)
    limits = app.test_client().get(f"{API}/me").json["limits"]
    assert limits["max_batch_size"] == 7
    assert limits["max_streams"] == 3
    bounds = {name for name in vars(Settings()) if name.startswith("max_")}
    assert limits.keys() == bounds | {"default_page_size", "request_read_seconds"}


def test_a_parameter_is_refused(alice):
    assert_problem(alice.get(f"{API}/me?x=1"), 422, pointer="/x")
