import pytest
from sqlalchemy import text

from chatstore.app import create_app
from chatstore.db import db
from tests.support import SESSIONS, assert_problem, make_settings

WITH_AND_WITHOUT_SLASH = pytest.mark.parametrize("slash", ["", "/"])


@WITH_AND_WITHOUT_SLASH
@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_healthy_service_says_so(alice, path, slash):
    response = alice.get(path + slash)
    assert response.status_code == 200
    assert response.content_type == "application/json"
    assert response.json == {"status": "ok"}


def test_a_database_without_tables_is_not_ready(empty_database_url):
    app = create_app(make_settings(empty_database_url))
    client = app.test_client()
    assert_problem(client.get("/readyz"), 503, detail="Run: chatstore migrate")
    assert client.get("/healthz").status_code == 200
    with app.app_context():
        db.engine.dispose()


@pytest.mark.parametrize(
    ("revision", "detail"),
    [("0000", "at revision 0000.*Run: chatstore migrate"), ("9999", "newer")],
)
def test_a_database_at_another_revision_is_not_ready(alice, app, revision, detail):
    with app.app_context():
        db.session.execute(
            text("UPDATE alembic_version SET version_num = :it"), {"it": revision}
        )
        db.session.commit()
    assert_problem(alice.get("/readyz"), 503, detail=detail)


@WITH_AND_WITHOUT_SLASH
def test_metrics_are_in_the_format_of_prometheus(alice, slash):
    alice.get(SESSIONS, buffered=True)
    response = alice.get(f"/metrics{slash}")
    assert response.status_code == 200
    assert response.content_type == "text/plain; version=0.0.4"
    assert "# TYPE chatstore_http_requests_total counter" in response.text


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_monitors_may_only_read(alice, path):
    response = alice.post(path, json={})
    assert_problem(response, 405)
    assert set(response.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/metrics"])
def test_monitors_take_no_parameters(alice, path):
    assert_problem(alice.get(f"{path}?x=1"), 422, pointer="/x")
