import pytest

from chatstore.web.auth import LOCAL_OWNER, current_owner, identify_caller
from tests.support import on_sqlite

pytestmark = on_sqlite


def test_an_identified_caller_is_the_owner(app):
    with app.test_request_context():
        identify_caller()
        assert current_owner() == LOCAL_OWNER


def test_a_view_that_identified_no_caller_has_no_owner(app):
    with app.test_request_context(), pytest.raises(AttributeError):
        current_owner()
