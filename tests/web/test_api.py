from types import SimpleNamespace

import pytest
from flask import Response
from marshmallow import Schema, fields

from chatstore.app import create_app
from chatstore.web.api import Operation
from tests.support import assert_problem, make_settings


class PointSchema(Schema):
    x = fields.Integer(required=True)
    tags = fields.List(fields.String())


@pytest.fixture
def serve(tmp_path):
    """A factory of clients; the application has the view at /point/<number>."""

    def serve(operation, view, method="GET"):
        app = create_app(make_settings(f"sqlite:///{tmp_path}/unused.db"))
        decorated = operation(view)
        app.add_url_rule("/point/<int:n>", "point", decorated, methods=[method])
        return app.test_client()

    return serve


def test_a_view_gets_the_loaded_query_and_the_values_of_its_path(serve):
    operation = Operation(query=PointSchema, answer=PointSchema)
    client = serve(operation, lambda query, n: query | {"x": query["x"] + n})
    response = client.get("/point/2?x=1&tags=a&tags=b")
    assert response.json == {"x": 3, "tags": ["a", "b"]}


def test_a_view_gets_the_loaded_body(serve):
    operation = Operation(body=PointSchema, answer=PointSchema, status=201)
    client = serve(operation, lambda body, n: body, method="POST")
    response = client.post("/point/1", json={"x": 5})
    assert (response.status_code, response.json) == (201, {"x": 5})


@pytest.mark.parametrize(
    ("query", "detail"),
    [("?y=1", "Unknown field."), ("?y=1&y=2", "It is given more than once.")],
)
@pytest.mark.parametrize("body", [None, PointSchema])
def test_a_parameter_that_is_not_declared_is_refused(serve, body, query, detail):
    client = serve(Operation(body=body), lambda *_, n: Response("reached"))
    response = client.get(f"/point/1{query}", json={"x": 1})
    assert_problem(response, 422, pointer="/y")
    assert [flaw["detail"] for flaw in response.json["errors"]] == [detail]


def test_only_a_list_may_be_repeated(serve):
    operation = Operation(query=PointSchema)
    response = serve(operation, lambda query, n: None).get("/point/1?x=1&x=1")
    assert_problem(response, 422, pointer="/x")


@pytest.mark.parametrize(
    "value", [{"x": 1}, SimpleNamespace(x=1, tags=None), '{"x": 1}']
)
def test_a_view_may_return_a_mapping_an_object_or_json(serve, value):
    client = serve(Operation(answer=PointSchema), lambda n: value)
    response = client.get("/point/1")
    assert response.content_type == "application/json"
    assert response.json["x"] == 1


def test_a_view_may_return_headers_too(serve):
    operation = Operation(answer=PointSchema)
    client = serve(operation, lambda n: ({"x": n}, {"ETag": '"7"'}))
    assert client.get("/point/1").headers["ETag"] == '"7"'


def test_a_view_may_return_a_response_of_its_own(serve):
    operation = Operation(answer=PointSchema)
    client = serve(operation, lambda n: Response("gone", 410))
    response = client.get("/point/1")
    assert (response.status_code, response.text) == (410, "gone")


def test_an_operation_without_an_answer_has_no_body(serve):
    client = serve(Operation(status=204), lambda n: None)
    response = client.get("/point/1")
    assert (response.status_code, response.data) == (204, b"")
