"""Fixtures of the tests of store/search/."""

import pytest

from chatstore.app import create_app
from chatstore.db import db
from tests.support import make_settings
from tests.support.query_plans import fill_crowd


@pytest.fixture(scope="module")
def crowd(lasting_database_url):
    """A database with 20,000 messages for all tests of a module on this database."""
    app = create_app(make_settings(lasting_database_url))
    with app.app_context():
        fill_crowd()
        db.session.remove()
        yield
        db.session.remove()
        db.engine.dispose()
