import pytest
from marshmallow import Schema, fields

from chatstore.app import create_app
from chatstore.web.api import Operation
from tests.support import make_settings


class PointSchema(Schema):
    x = fields.Integer(required=True)


@pytest.fixture
def describe(tmp_path):
    """Return a function that returns the path and path item of a view at /point."""

    def describe(operation, path="/point", method="GET"):
        def view(*_, **__):
            """Draw a point.

            It is round.
            """

        app = create_app(make_settings(f"sqlite:///{tmp_path}/unused.db"))
        app.add_url_rule(path, "health.point", operation(view), methods=[method])
        document = app.test_client().get("/openapi.json").json
        (place,) = [each for each in document["paths"] if each.startswith("/point")]
        return place, document["paths"][place]

    return describe


def test_a_view_is_described_by_its_docstring(describe):
    _, item = describe(Operation())
    assert item["get"]["summary"] == "Draw a point."
    assert item["get"]["description"] == "It is round."
    assert item["get"]["tags"] == ["health"]


def test_values_in_a_path_are_parameters_and_may_be_not_found(describe):
    path = "/point/<uuid:point_id>/<int:number>"
    place, item = describe(Operation(), path)
    assert place == "/point/{point_id}/{number}"
    assert [(each["name"], each["schema"]) for each in item["parameters"]] == [
        ("point_id", {"type": "string", "format": "uuid"}),
        ("number", {"type": "integer", "minimum": 0}),
    ]
    assert "404" in item["get"]["responses"]


@pytest.mark.parametrize(
    ("operation", "statuses"),
    [
        (Operation(), set()),
        (Operation(query=PointSchema), {"400"}),
        (Operation(body=PointSchema), {"400", "413", "415"}),
        (Operation(request_headers=("If-Match",)), {"412"}),
        (Operation(request_headers=("If-None-Match",)), {"304"}),
        (Operation(is_idempotent=True), {"409"}),
        (Operation(errors=(404,)), {"404"}),
    ],
)
def test_what_an_operation_takes_implies_its_errors(describe, operation, statuses):
    _, item = describe(operation, method="POST")
    usual = {"200", "422", "500", "503"}
    assert set(item["post"]["responses"]) == usual | statuses


def test_an_answer_has_its_status_its_shape_and_its_headers(describe):
    operation = Operation(status=201, answer=PointSchema, answer_headers=("ETag",))
    _, item = describe(operation)
    created = item["get"]["responses"]["201"]
    assert created["description"] == "Created"
    assert set(created["headers"]) == {"ETag"}
    assert created["content"] == {
        "application/json": {"schema": {"$ref": "#/components/schemas/Point"}}
    }
