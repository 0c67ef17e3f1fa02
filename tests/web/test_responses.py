from types import SimpleNamespace

import pytest
from marshmallow import Schema, fields

from chatstore.web.responses import json_response


class PointSchema(Schema):
    x = fields.Integer(required=True)


@pytest.mark.parametrize("value", [{"x": 1, "y": 2}, SimpleNamespace(x=1, y=2)])
def test_the_body_is_what_the_schema_dumps(value):
    response = json_response(PointSchema, value)
    assert (response.status_code, response.data) == (200, b'{"x":1}')
    assert response.content_type == "application/json"


def test_status_and_headers_are_those_given():
    response = json_response(PointSchema, {"x": 1}, 201, {"ETag": '"7"'})
    assert (response.status_code, response.headers["ETag"]) == (201, '"7"')
