"""Writes the OpenAPI document from the `Operation` of each view; reads no request."""

import inspect
import re
from collections.abc import Callable, Mapping
from enum import Enum
from functools import cached_property
from http import HTTPStatus
from typing import Any

import orjson
from apispec import APISpec, BasePlugin
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask
from marshmallow import fields
from werkzeug.routing import Rule

from chatstore import __version__
from chatstore.access.secret_tokens import ID_LENGTH
from chatstore.app_state import add_to_app, get_from_app
from chatstore.enums import Archived, AuthMode
from chatstore.errors import (
    ChatstoreError,
    DatabaseUnavailable,
    InsufficientScope,
    MalformedRequest,
    MessageDeleted,
    NotFound,
    PreconditionFailed,
    SeqConflict,
    TooManyRequests,
    Unauthorized,
    UnsupportedMediaType,
    ValidationFailed,
)
from chatstore.schemas.fields import (
    EXTERNAL_ID_LENGTH,
    NO_NUL,
    FreeJson,
    QueryString,
    SettingLimit,
    Text,
)
from chatstore.schemas.filters import BodyArchivedField, MetadataPair
from chatstore.schemas.messages import Content, ContentPart
from chatstore.schemas.problems import ProblemSchema
from chatstore.settings import Settings
from chatstore.web.api import Operation
from chatstore.web.auth import identify_caller
from chatstore.web.idempotency import IDEMPOTENCY_KEY
from chatstore.web.problems import MEDIA_TYPE, TYPE_PREFIX, slug_of
from chatstore.web.rate_limits import UNLIMITED_BLUEPRINT
from chatstore.web.responses import JSON

_INFO = {
    "description": "Chat sessions and their messages. Bodies are I-JSON (RFC 7493),"
    " without NUL.",
    "license": {"name": "MIT", "identifier": "MIT"},
}
# JSON Schema counts 1e300 as an integer. We accept it but refuse 2**53, so no bound
# can be stated here.
_JSON_VALUE = {"$ref": "#/components/schemas/JsonValue"}
_JSON: dict[str, Any] = {
    "description": "Any value; an integer from -(2**53 - 1) to 2**53 - 1 (RFC 7493).",
    "type": ["null", "boolean", "number", "string", "array", "object"],
    "pattern": NO_NUL,
    "items": _JSON_VALUE,
    "propertyNames": {"pattern": NO_NUL},
    "additionalProperties": _JSON_VALUE,
}
_OBJECT = {key: _JSON[key] for key in ("propertyNames", "additionalProperties")}
# Printable ASCII without a comma, and without a quote or space at either end. A key in
# quotes may contain the other characters too.
_KEY_PATTERN = "^[!#-+.-~-]([ -+.-~-]{0,253}[!#-+.-~-])?$"
# Headers of requests: the status that each adds, its meaning, and its schema.
_REQUEST_HEADERS: dict[str, tuple[int, str, dict[str, str]]] = {
    IDEMPOTENCY_KEY: (
        409,
        "A request that is repeated with its key has its effect once",
        {"pattern": _KEY_PATTERN, "example": "4711-a"},
    ),
    "If-Match": (412, "Change only at this revision", {"example": '"7"'}),
    "If-None-Match": (304, "Answer only with another revision", {"example": '"7"'}),
}
_ANSWER_HEADERS = {
    "ETag": {"description": "The revision", "schema": {"type": "string"}},
    "Location": {
        "description": "The path of the created resource",
        "schema": {"type": "string", "format": "uri-reference"},
    },
}
_BEARER = "bearer"
_SECURITY_SCHEME = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key, or a token of another mode of CHATSTORE_AUTH.",
}
_AUTHENTICATE = {
    "description": "How to prove who you are (RFC 6750)",
    "schema": {"type": "string"},
}
_RETRY_AFTER = {"description": "Seconds to wait", "schema": {"type": "integer"}}
# Operations refer to these responses by name.
_STATUSES = (304, 400, 401, 403, 404, 409, 410, 412, 413, 415, 422, 429, 500, 503)
_PATH_TYPES: dict[str, dict[str, Any]] = {
    "uuid": {"type": "string", "format": "uuid"},
    "int": {"type": "integer", "minimum": 0},
    "token_id": {"type": "string", "pattern": f"^[0-9A-Za-z]{{{ID_LENGTH}}}$"},
    "token": {"type": "string", "minLength": 1},
    "external_id": {
        "type": "string",
        "minLength": 1,
        "maxLength": EXTERNAL_ID_LENGTH,
        "pattern": NO_NUL,
    },
}
# The examples of answers show these errors, by status.
_USUAL_ERRORS: dict[int, type[ChatstoreError]] = {
    error.status: error
    for error in (
        MalformedRequest,
        Unauthorized,
        InsufficientScope,
        NotFound,
        SeqConflict,
        MessageDeleted,
        PreconditionFailed,
        UnsupportedMediaType,
        ValidationFailed,
        TooManyRequests,
        DatabaseUnavailable,
    )
}
# OpenAPI's keyword for the greatest size or value of a field.
_LIMIT_NAMES = (
    (fields.String, "maxLength"),
    (fields.List, "maxItems"),
    (fields.Integer, "maximum"),
)


class _SchemaRules(BasePlugin):
    """Adds the rules about several fields that a schema states as `json_schema`."""

    def schema_helper(self, *_: Any, schema: Any = None, **__: Any) -> Any:
        return getattr(schema, "json_schema", None)


class _Callers(Enum):
    """Who may call an operation."""

    PUBLIC = "everybody, and the server does not ask"
    LOCAL = "the one local owner, because nobody logs in"
    PROVEN = "a caller who proves who it is"

    @classmethod
    def of(cls, app: Flask, endpoint: str) -> "_Callers":
        hooks = app.before_request_funcs.get(endpoint.rpartition(".")[0], [])
        if identify_caller not in hooks:
            return cls.PUBLIC
        is_open = AuthMode.NONE in app.config["CHATSTORE"].auth_modes
        return cls.LOCAL if is_open else cls.PROVEN


class _Document:
    """The OpenAPI document of an application, written when it is first asked for."""

    def __init__(self, app: Flask, tags: Mapping[str, str]) -> None:
        self._app, self._tags = app, tags

    @cached_property
    def json(self) -> bytes:
        return orjson.dumps(_describe(self._app, self._tags))


def init_openapi(app: Flask, tags: Mapping[str, str]) -> None:
    """Let `openapi_json` describe `app`.

    `tags` maps the names of blueprints to descriptions.
    """
    add_to_app(app, _Document(app, tags))


def openapi_json() -> bytes:
    """Return the OpenAPI document of the current application."""
    return get_from_app(_Document).json


def _describe(app: Flask, tags: Mapping[str, str]) -> dict[str, Any]:
    marshmallow_plugin = MarshmallowPlugin()
    plugins = (marshmallow_plugin, _SchemaRules())
    spec = APISpec("chatstore", __version__, "3.1.0", plugins, info=_INFO)
    assert marshmallow_plugin.converter is not None
    for attribute_function in (_limits(app.config["CHATSTORE"]), _strict_text):
        marshmallow_plugin.converter.add_attribute_function(attribute_function)  # type: ignore[no-untyped-call]
    spec.components.schema("JsonValue", _JSON)
    for status in map(HTTPStatus, _STATUSES):
        spec.components.response(status.name, _response(status), lazy=True)
    for name, (_, meaning, schema) in _REQUEST_HEADERS.items():
        parameter = {
            "name": name,
            "required": False,
            "description": meaning,
            "schema": {"type": "string", **schema},
        }
        spec.components.parameter(_component(name), "header", parameter, lazy=True)
    if AuthMode.NONE not in app.config["CHATSTORE"].auth_modes:
        spec.components.security_scheme(_BEARER, _SECURITY_SCHEME)
    for name, description in tags.items():
        spec.tag({"name": name, "description": description})
    for endpoint, view in app.view_functions.items():
        if hasattr(view, "operation"):
            rule = next(app.url_map.iter_rules(endpoint))
            _add_path(spec, rule, view, _Callers.of(app, endpoint))
    return spec.to_dict()


def _add_path(spec: APISpec, rule: Rule, view: Any, callers: "_Callers") -> None:
    (method,) = (rule.methods or set()) - {"HEAD", "OPTIONS"}
    path_parameters = re.findall(r"<(\w+):(\w+)>", rule.rule)
    summary, _, description = (inspect.getdoc(view) or "").partition("\n\n")
    tag, _, name = rule.endpoint.rpartition(".")
    described = {"operationId": name, "summary": summary, "tags": [tag]}
    if description:
        described["description"] = description
    spec.path(
        re.sub(r"<\w+:(\w+)>", r"{\1}", rule.rule),
        operations={
            method.lower(): described
            | _operation(
                view.operation,
                callers,
                has_id=bool(path_parameters),
                is_limited=tag != UNLIMITED_BLUEPRINT,
            )
        },
        parameters=[
            {"in": "path", "name": name, "required": True, "schema": _PATH_TYPES[kind]}
            for kind, name in path_parameters
        ],
    )


def _operation(
    operation: Operation, callers: "_Callers", *, has_id: bool, is_limited: bool
) -> dict[str, Any]:
    described: dict[str, Any] = {}
    parameters: list[Any] = []
    statuses = {422, 500, 503, *operation.errors}
    if callers is not _Callers.PUBLIC:
        statuses |= {400, 401, 403}
    if callers is _Callers.PROVEN:
        described["security"] = [{_BEARER: []}]
    if has_id:
        statuses |= {404}
    if is_limited:
        statuses |= {429}
    if operation.query:
        parameters += [{"in": "query", "schema": operation.query}]
        statuses |= {400}
    if operation.body:
        content = {JSON: {"schema": operation.body}}
        described["requestBody"] = {"required": True, "content": content}
        statuses |= {400, 413, 415}
    for header in operation.all_request_headers:
        parameters += [_component(header)]
        statuses |= {_REQUEST_HEADERS[header][0]}
    if parameters:
        described["parameters"] = parameters
    refusals = {status: HTTPStatus(status).name for status in sorted(statuses)}
    successes = {
        status: _success(operation, status)
        for status in (operation.status, *operation.other_statuses)
    }
    described["responses"] = successes | refusals
    return described


def _success(operation: Operation, status: int) -> dict[str, Any]:
    response: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if operation.answer or operation.media_type != JSON:
        schema: Any = operation.answer or {"type": "string"}
        if operation.other_answers:
            schema = {"anyOf": [schema, *operation.other_answers]}
        response["content"] = {operation.media_type: {"schema": schema}}
    if operation.all_answer_headers:
        headers = {name: _ANSWER_HEADERS[name] for name in operation.all_answer_headers}
        response["headers"] = headers
    return response


def _response(status: HTTPStatus) -> dict[str, Any]:
    response: dict[str, Any] = {"description": status.phrase}
    if status >= 400:
        error = _USUAL_ERRORS.get(status)
        slug = error.slug if error else slug_of(status.phrase)
        example: dict[str, Any] = {
            "type": f"{TYPE_PREFIX}{slug}",
            "title": error.title if error else status.phrase,
            "status": status.value,
            "detail": "A sentence that says what went wrong.",
            "request_id": "0f0e5b6d5f6c4c7f8f0a0d9e8c7b6a51",
        }
        if status == 422:
            flaw = {"pointer": "/content", "detail": "Field may not be null."}
            example["errors"] = [flaw]
        content = {"schema": ProblemSchema, "example": example}
        response["content"] = {MEDIA_TYPE: content}
    if status == 401:
        response["headers"] = {"WWW-Authenticate": _AUTHENTICATE}
    if status in (429, 503):
        response["headers"] = {"Retry-After": _RETRY_AFTER}
    return response


def _component(header: str) -> str:
    return header.upper().replace("-", "_")


def _limits(settings: Settings) -> Callable[..., dict[str, int]]:
    """Return a function that documents each field's limit from `settings`."""

    def limits(converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, int]:
        keywords = [name for kind, name in _LIMIT_NAMES if isinstance(field, kind)]
        limited = [each for each in field.validators if isinstance(each, SettingLimit)]
        if not keywords or not limited:
            return {}
        return {keywords[0]: min(getattr(settings, each.setting) for each in limited)}

    return limits


def _strict_text(converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, Any]:
    if isinstance(field, QueryString) and field.ignored_characters:
        return {"pattern": rf"^[^\x00]*[^\x00{field.ignored_characters}][^\x00]*$"}
    if isinstance(field, MetadataPair):
        return {"pattern": r"^[^\x00:]*:[^\x00]*$"}
    if isinstance(field, Text | QueryString):
        return {"pattern": NO_NUL}
    if isinstance(field, BodyArchivedField):
        return {"enum": [False, True, Archived.ANY.value]}
    if isinstance(field, Content):
        # Tools that generate examples merge no rules of two levels, so each form of a
        # part has all rules.
        forms = [{**form, **_OBJECT} for form in ContentPart.json_schema["anyOf"]]
        part = {"type": "object", "anyOf": forms}
        types = ["string", "array", "null"]
        return {"type": types, "pattern": NO_NUL, "items": part}
    if isinstance(field, FreeJson):
        return _OBJECT
    return {}
