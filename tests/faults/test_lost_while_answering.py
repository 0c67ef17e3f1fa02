"""The connection is lost after a request has read everything it needs."""

import psycopg
import pytest
from sqlalchemy import text

from chatstore.db import db
from tests.support import messages_url, on_postgresql


@pytest.fixture
def ending_connections(app, database_url):
    """Terminate each request's connection once its response is ready."""

    @app.after_request
    def end_connection(response):
        pid = db.session.scalar(text("SELECT pg_backend_pid()"))
        with psycopg.connect(database_url, autocommit=True) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        return response


@on_postgresql
@pytest.mark.usefixtures("ending_connections")
def test_what_was_read_is_sent_though_the_connection_is_lost(alice, make_session):
    chat = make_session(messages=2)
    for _ in range(2):
        response = alice.get(messages_url(chat))
        assert response.status_code == 200
        assert [each["seq"] for each in response.json["messages"]] == [1, 2]
