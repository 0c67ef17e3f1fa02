import pytest
from flask import Flask

from chatstore.app_state import add_to_app, find_in_app, get_from_app


class Lamp:
    """An object that an application owns."""


def test_each_application_owns_its_object():
    app, lamp = Flask("one"), Lamp()
    add_to_app(app, lamp)
    assert get_from_app(Lamp, app) is lamp
    assert find_in_app(Lamp, Flask("other")) is None


def test_the_current_application_is_the_default():
    app, lamp = Flask("one"), Lamp()
    add_to_app(app, lamp)
    with app.app_context():
        assert get_from_app(Lamp) is lamp


def test_a_missing_object_is_an_error():
    with pytest.raises(LookupError, match="Lamp"):
        get_from_app(Lamp, Flask("one"))
