"""The API and its blueprints: strict input, and a document of what they answer.

flask-smorest as it comes drops headers from errors and ignores unknown query
parameters; this file is where those ends are tied up. Reading what comes in is
`parsing`, writing what goes out `answers`.
"""

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Blueprint as FlaskBlueprint
from flask import Flask, Request, request
from marshmallow import fields

from chatstore import __version__
from chatstore.enums import Archived
from chatstore.errors import Flaw, ValidationFailed
from chatstore.schemas.fields import (
    FreeJson,
    QueryString,
    SettingLimit,
    Text,
)
from chatstore.schemas.filters import BodyArchivedField
from chatstore.schemas.problems import ProblemSchema
from chatstore.settings import Settings
from chatstore.strict_json import pointer
from chatstore.web.parsing import refuse_repeated_parameters, taking
from chatstore.web.problems import MEDIA_TYPE, TYPE_PREFIX, slug_of
from chatstore.web.responses import answering

IDEMPOTENCY_KEY = "IDEMPOTENCY_KEY"
IF_MATCH = "IF_MATCH"
IF_NONE_MATCH = "IF_NONE_MATCH"
ETAG_DOC = {
    "ETag": {"description": "The session's revision", "schema": {"type": "string"}}
}
LOCATION_DOC = {
    "Location": {
        "description": "The path of what was created",
        "schema": {"type": "string", "format": "uri-reference"},
    }
}

# Printable ASCII, no comma, no quote or space at its ends; in quotes more is taken.
_KEY_PATTERN = "^[!#-+.-~-]([ -+.-~-]{0,253}[!#-+.-~-])?$"
_NO_NUL = r"^[^\x00]*$"
# To JSON Schema 1e300 is an integer like 2**53, which is refused: it has no bound here.
_JSON_VALUE = {"$ref": "#/components/schemas/JsonValue"}
_JSON: dict[str, Any] = {
    "description": "Any value; an integer from -(2**53 - 1) to 2**53 - 1 (RFC 7493).",
    "type": ["null", "boolean", "number", "string", "array", "object"],
    "pattern": _NO_NUL,
    "items": _JSON_VALUE,
    "propertyNames": {"pattern": _NO_NUL},
    "additionalProperties": _JSON_VALUE,
}
# What routes refer to by name; to describe every status there is would take longer
# than all the rest of the document.
_STATUSES = (304, 400, 404, 409, 412, 413, 415, 422, 500, 503)
# What OpenAPI calls the greatest size or value of a field.
_LIMIT_NAMES = (
    (fields.String, "maxLength"),
    (fields.List, "maxItems"),
    (fields.Integer, "maximum"),
)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint whose routes take declared input only and document each error."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(_document_errors)

    def arguments(self, schema: Any, **options: Any) -> Any:
        """Decorate a view: document what it takes, and give it that."""
        take = taking(schema, location=options.get("location", "json"))
        return _documenting(super().arguments(schema, **options), then=take)

    def response(self, status_code: int, schema: Any = None, **options: Any) -> Any:
        """Decorate a view: document what it answers, and send it as `schema` says."""
        document = super().response(status_code, schema, **options)
        if not isinstance(schema, type):
            return document
        return _documenting(document, then=answering(status_code, schema()))

    def alt_response(self, *arguments: Any, **options: Any) -> Any:
        """Decorate a view: document another answer of it."""
        return _documenting(super().alt_response(*arguments, **options))

    def doc(self, **options: Any) -> Any:
        """Decorate a view: document what else there is to know."""
        return _documenting(super().doc(**options))

    def add_url_rule(
        self,
        rule: str,
        endpoint: str | None = None,
        view_func: Callable[..., Any] | None = None,
        provide_automatic_options: bool | None = None,
        **options: Any,
    ) -> None:
        if view_func is not None and "query" not in _locations(view_func):
            view_func = _without_query(view_func)
        super().add_url_rule(
            rule, endpoint, view_func, provide_automatic_options, **options
        )
        if rule == "/" and self.url_prefix is not None:
            # Werkzeug finds the rule without its slash too, but not for a wrong
            # method: that would be a 404.
            name = endpoint or getattr(view_func, "__name__", None)
            methods = options.get("methods")
            FlaskBlueprint.add_url_rule(self, "", name, view_func, methods=methods)


class Api(flask_smorest.Api):  # type: ignore[misc]
    """The API of the application and its OpenAPI document."""

    DEFAULT_ERROR_RESPONSE_NAME = None

    def __init__(self, app: Flask) -> None:
        app.config |= {
            "API_TITLE": "chatstore",
            "API_VERSION": __version__,
            "OPENAPI_VERSION": "3.1.0",
            "OPENAPI_URL_PREFIX": "/",
            "API_SPEC_OPTIONS": {
                "info": {
                    "description": "Chat sessions and their messages. Bodies are"
                    " I-JSON (RFC 7493), without NUL.",
                    "license": {"name": "MIT", "identifier": "MIT"},
                },
            },
        }
        plugin = _Plugin(schema_name_resolver=_schema_name)
        super().__init__(app, spec_kwargs={"marshmallow_plugin": plugin})
        document = _limits(app.config["CHATSTORE"])
        assert plugin.converter is not None
        for each in (document, _strict_text):
            plugin.converter.add_attribute_function(each)  # type: ignore[no-untyped-call]
        self.spec.components.schema("JsonValue", _JSON)

    def _register_error_handlers(self) -> None:
        """Leave errors to `problems`, which answers those of other routes too."""

    def _register_responses(self) -> None:
        for status in map(HTTPStatus, _STATUSES):
            response: dict[str, Any] = {"description": status.phrase}
            if status >= 400:
                example: dict[str, Any] = {
                    "type": f"{TYPE_PREFIX}{slug_of(status.phrase)}",
                    "title": status.phrase,
                    "status": status.value,
                    "detail": "What went wrong, in a sentence.",
                    "request_id": "0f0e5b6d5f6c4c7f8f0a0d9e8c7b6a51",
                }
                if status == 422:
                    flaw = {"pointer": "/content", "detail": "Field may not be null."}
                    example["errors"] = [flaw]
                content = {"schema": ProblemSchema, "example": example}
                response["content"] = {MEDIA_TYPE: content}
            if status == 503:
                response["headers"] = {
                    "Retry-After": {
                        "description": "Seconds to wait",
                        "schema": {"type": "integer"},
                    }
                }
            self.spec.components.response(status.name, response, lazy=True)

    def _register_pagination_header(self) -> None:
        """Pages are part of the body here, not of a header."""

    def _register_etag_headers(self) -> None:
        once = "Sent again with the same key, the request has its effect once"
        key = {"pattern": _KEY_PATTERN, "example": "4711-a"}
        tag = {"example": '"7"'}
        for name, header, meaning, schema in (
            (IDEMPOTENCY_KEY, "Idempotency-Key", once, key),
            (IF_MATCH, "If-Match", "Only if the session is at this revision", tag),
            (IF_NONE_MATCH, "If-None-Match", "Only if it is at another revision", tag),
        ):
            parameter = {
                "name": header,
                "in": "header",
                "required": False,
                "description": meaning,
                "schema": {"type": "string", **schema},
            }
            self.spec.components.parameter(name, "header", parameter, lazy=True)


class _Converter(OpenAPIConverter):
    """apispec's, which knows no rule about several fields of a schema."""

    def schema2jsonschema(self, schema: Any) -> dict[str, Any]:
        """Return what apispec makes of `schema`, and what the schema says itself."""
        made: dict[str, Any] = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        return made | getattr(schema, "json_schema", {})


class _Plugin(MarshmallowPlugin):
    Converter = _Converter


def _documenting(
    document: Callable[..., Any], *, then: Callable[..., Any] = lambda view: view
) -> Callable[..., Any]:
    """Return a decorator that does what `then` does, documented by flask-smorest's.

    flask-smorest wraps the view for each thing that it documents; every request
    would go through five such wrappers.
    """

    def decorator(view: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Any = then(view)
        decorated._apidoc = document(view)._apidoc
        return decorated  # type: ignore[no-any-return]

    return decorator


def _schema_name(schema: Any) -> str:
    name = (schema if isinstance(schema, type) else type(schema)).__name__
    return name.removesuffix("Schema")


def _limits(settings: Settings) -> Callable[..., dict[str, int]]:
    """Return what documents the limits that are settings, as they are here."""

    def limits(converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, int]:
        keywords = [name for kind, name in _LIMIT_NAMES if isinstance(field, kind)]
        named = [each for each in field.validators if isinstance(each, SettingLimit)]
        if not keywords or not named:
            return {}
        return {keywords[0]: min(getattr(settings, each.setting) for each in named)}

    return limits


def _strict_text(converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    if isinstance(field, QueryString) and field.ignored:
        return {"pattern": rf"^[^\x00]*[^\x00{field.ignored}][^\x00]*$"}
    if isinstance(field, Text | QueryString):
        return {"pattern": _NO_NUL}
    if isinstance(field, BodyArchivedField):
        return {"enum": [False, True, Archived.ANY.value]}
    if isinstance(field, FreeJson):
        return {key: _JSON[key] for key in ("propertyNames", "additionalProperties")}
    return {}


def _locations(view: Callable[..., Any]) -> set[str]:
    arguments = getattr(view, "_apidoc", {}).get("arguments", {})
    return {parameter["in"] for parameter in arguments.get("parameters", ())}


def _without_query(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        if request.query_string:
            _refuse_query(request)
        return view(*args, **kwargs)

    return wrapper


def _refuse_query(req: Request) -> None:
    refuse_repeated_parameters(req)
    if req.args:
        raise ValidationFailed(
            [Flaw(pointer("", name), "Unknown field.") for name in req.args]
        )


def _document_errors(doc: dict[str, Any], info: dict[str, Any], **_: Any) -> Any:
    statuses = {422, 500, 503}
    given = info.get("arguments", {}).get("parameters", ())
    parameters = info.get("manual_doc", {}).get("parameters", ())
    if "requestBody" in doc:
        statuses |= {400, 413, 415}
    if any(isinstance(each, dict) and each["in"] == "query" for each in given):
        statuses |= {400}
    if IF_MATCH in parameters:
        statuses |= {412}
    if IF_NONE_MATCH in parameters:
        statuses |= {304}
    if info.get("is_idempotent"):
        statuses |= {409}
        doc.setdefault("parameters", []).append(IDEMPOTENCY_KEY)
    responses = doc.setdefault("responses", {})
    for status in sorted(statuses):
        responses.setdefault(status, HTTPStatus(status).name)
    return doc
