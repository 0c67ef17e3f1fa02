import pytest
from marshmallow import Schema, fields
from werkzeug.exceptions import RequestEntityTooLarge

from chatstore.errors import (
    MalformedRequest,
    UnsupportedMediaType,
    ValidationFailed,
)
from chatstore.web.parsing import load_body, load_query
from tests.support import on_sqlite

pytestmark = on_sqlite


class PointSchema(Schema):
    x = fields.Integer(required=True)
    tags = fields.List(fields.String())
    next = fields.Nested(lambda: PointSchema())


@pytest.fixture
def load(make_app):
    """Load the body of a POST request by PointSchema, with a small limit of bytes."""
    app = make_app(max_body_bytes=100)

    def load(body, **request):
        request.setdefault("content_type", "application/json")
        with app.test_request_context(method="POST", data=body, **request):
            return load_body(PointSchema())

    return load


@pytest.fixture
def query(app):
    def query(text):
        with app.test_request_context(f"/?{text}"):
            return load_query(PointSchema())

    return query


def test_a_body_is_loaded_by_its_schema(load):
    body = b'{"x": 1, "next": {"x": 2}}'
    assert load(body) == {"x": 1, "next": {"x": 2}}


def test_a_query_is_loaded_by_its_schema(query):
    assert query("x=1&tags=a&tags=b") == {"x": 1, "tags": ["a", "b"]}


@pytest.mark.parametrize("text", ["x=1&x=1", "x=1&x=2", "tags=a&x=1&x=1"])
def test_only_a_list_may_be_repeated(query, text):
    with pytest.raises(ValidationFailed) as refused:
        query(text)
    (flaw,) = refused.value.flaws
    assert (flaw.pointer, flaw.detail) == ("/x", "It is given more than once.")


def test_each_flaw_has_its_place(load):
    with pytest.raises(ValidationFailed) as refused:
        load(b'{"x": "one", "y/z": 1, "next": {"tags": ["a", 2]}}')
    assert sorted(flaw.pointer for flaw in refused.value.flaws) == [
        "/next/tags/1",
        "/next/x",
        "/x",
        "/y~1z",
    ]


@pytest.mark.parametrize(
    "request_",
    [
        {"content_type": "text/plain"},
        {"content_type": None},
        {"content_type": "application/json; charset=latin-1"},
        {"headers": {"Content-Encoding": "gzip"}},
    ],
)
def test_a_body_of_another_type_is_refused_before_it_is_read(load, request_):
    with pytest.raises(UnsupportedMediaType):
        load(b"x" * 101, **request_)


def test_a_body_is_refused_above_the_limit_only(load):
    body = b'{"x": 1}'
    assert load(body + b" " * (100 - len(body))) == {"x": 1}
    with pytest.raises(RequestEntityTooLarge):
        load(body + b" " * (101 - len(body)))


def test_a_body_that_ends_before_its_stated_length_is_refused(load):
    cut_off = {"CONTENT_LENGTH": "20", "wsgi.input_terminated": True}
    with pytest.raises(MalformedRequest, match="shorter than its Content-Length"):
        load(b'{"x": 1}', environ_overrides=cut_off)
