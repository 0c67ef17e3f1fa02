import pytest

from chatstore.web.json_provider import OrjsonProvider


@pytest.fixture
def provider(app):
    assert isinstance(app.json, OrjsonProvider)
    return app.json


VALUES = [{"ä": [1, 2.5, None, True, "\u2028😀"]}, [], "", 2**53]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back(provider, value):
    assert provider.loads(provider.dumps(value)) == value


@pytest.mark.parametrize("text", ["NaN", "[Infinity]", "{"])
def test_what_is_not_json_is_refused(provider, text):
    with pytest.raises(ValueError):
        provider.loads(text)


def test_a_response_is_json_in_utf_8(provider):
    response = provider.response({"name": "Ä"})
    assert response.content_type == "application/json"
    assert response.data == '{"name":"Ä"}'.encode()
