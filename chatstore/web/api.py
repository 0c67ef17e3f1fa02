"""The API and its blueprints: strict input, and a document of what they answer.

flask-smorest as it comes accepts NaN, NUL and lone surrogates, fails on deep or
long-numbered JSON and ignores unknown query parameters; this file is where those
ends are tied up.
"""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, NoReturn

import flask_smorest
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Blueprint as FlaskBlueprint
from flask import Flask, Request, current_app, request
from marshmallow import RAISE, Schema, ValidationError, fields
from webargs.flaskparser import FlaskParser
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from chatstore import __version__, strict_json
from chatstore.errors import (
    Flaw,
    MalformedRequest,
    UnsupportedMediaType,
    ValidationFailed,
)
from chatstore.schemas.fields import Limits, SettingLimit
from chatstore.schemas.problems import ProblemSchema
from chatstore.settings import Settings
from chatstore.strict_json import pointer
from chatstore.web.problems import MEDIA_TYPE, TYPE_PREFIX, slug_of

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
# What OpenAPI calls the greatest size or value of a field.
_LIMIT_NAMES = (
    (fields.String, "maxLength"),
    (fields.List, "maxItems"),
    (fields.Integer, "maximum"),
)


class StrictParser(FlaskParser):
    """Reads request bodies and query strings, refusing whatever is not declared."""

    DEFAULT_UNKNOWN_BY_LOCATION = {
        **FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION,
        "query": RAISE,
    }

    def parse(self, *args: Any, **kwargs: Any) -> Any:
        with Limits(_settings()):
            return super().parse(*args, **kwargs)

    def load_json(self, req: Request, schema: Schema) -> Any:
        if not req.is_json:
            raise UnsupportedMediaType(
                f"The body must be sent as application/json, not"
                f" {req.mimetype or 'without a Content-Type'}."
            )
        return strict_json.loads(read_body(req), max_depth=_settings().max_json_depth)

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        lists = [
            name
            for name, field in schema.fields.items()
            if isinstance(field, fields.List)
        ]
        refuse_repeated_parameters(req, besides=lists)
        return super().load_querystring(req, schema)

    def handle_error(
        self, error: ValidationError, req: Request, schema: Schema, **_: Any
    ) -> NoReturn:
        assert isinstance(error.messages, dict)
        (messages,) = error.messages.values()  # webargs nests them in the location
        raise ValidationFailed(flatten(messages))


def read_body(req: Request) -> bytes:
    """Return the body of the request; RequestEntityTooLarge beyond the limit."""
    most = _settings().max_body_bytes
    # Of a body without a length Werkzeug reads as much as may be, and drops the rest
    # in silence: one byte more tells.
    req.max_content_length = most + 1
    try:
        body = req.get_data()
    except HTTPException:
        raise
    except Exception as error:  # the server's own, for damaged chunks
        raise MalformedRequest("The body breaks off, or is damaged.") from error
    if len(body) > most:
        raise RequestEntityTooLarge
    if len(body) < (req.content_length or 0):
        # What came of it may be whole JSON all the same.
        raise MalformedRequest("The body breaks off before its Content-Length.")
    return body


def flatten(messages: Any, place: str = "") -> Iterator[Flaw]:
    """Turn marshmallow's tree of messages into flaws, depth first."""
    if isinstance(messages, Mapping):
        for key, below in messages.items():
            yield from flatten(
                below, place if key == "_schema" else pointer(place, key)
            )
    else:
        for message in [messages] if isinstance(messages, str) else messages:
            yield Flaw(place, message)


def refuse_repeated_parameters(req: Request, *, besides: Collection[str] = ()) -> None:
    """Raise ValidationFailed for a query parameter that is given twice."""
    flaws = [
        Flaw(pointer("", name), "Given more than once.")
        for name, values in req.args.lists()
        if len(values) > 1 and name not in besides
    ]
    if flaws:
        raise ValidationFailed(flaws)


class Blueprint(flask_smorest.Blueprint):  # type: ignore[misc]
    """A blueprint whose routes take declared input only and document each error."""

    ARGUMENTS_PARSER = StrictParser()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._prepare_doc_cbks.append(_document_errors)

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
        plugin = MarshmallowPlugin(schema_name_resolver=_schema_name)
        super().__init__(app, spec_kwargs={"marshmallow_plugin": plugin})
        document = _limits(app.config["CHATSTORE"])
        assert plugin.converter is not None
        plugin.converter.add_attribute_function(document)  # type: ignore[no-untyped-call]

    def _register_error_handlers(self) -> None:
        """Leave errors to `problems`, which answers those of other routes too."""

    def _register_responses(self) -> None:
        for status in HTTPStatus:
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


def _settings() -> Settings:
    settings: Settings = current_app.config["CHATSTORE"]
    return settings


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


def _locations(view: Callable[..., Any]) -> set[str]:
    arguments = getattr(view, "_apidoc", {}).get("arguments", {})
    return {parameter["in"] for parameter in arguments.get("parameters", ())}


def _without_query(view: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        refuse_repeated_parameters(request)
        if request.args:
            raise ValidationFailed(
                [Flaw(pointer("", name), "Unknown field.") for name in request.args]
            )
        return view(*args, **kwargs)

    return wrapper


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
