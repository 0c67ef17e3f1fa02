"""Declares what a view of the API takes and answers; `openapi` documents it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from typing import Any

from flask import Response, request
from marshmallow import Schema
from werkzeug.wrappers import Response as BaseResponse

from chatstore.web.etags import is_known_page, page_etag
from chatstore.web.idempotency import IDEMPOTENCY_KEY, answer_keyed
from chatstore.web.parsing import load_body, load_query
from chatstore.web.responses import JSON, json_response

_NO_PARAMETERS = Schema()


@dataclass(frozen=True, kw_only=True)
class Operation:
    """Decorates a view: declares its input and its answer, and converts both.

    The view gets the loaded `query` or `body` as its first argument. It returns a
    value that `answer` dumps, a tuple of such a value and headers, or a response of
    its own, which may have the form of one of `other_answers`. A query parameter that
    `query` does not declare raises ValidationFailed.
    A view answers `other_statuses`, which are successes too, itself.

    `validator` gets the values of the path. It runs for If-None-Match only: the tag
    made of it is answered without the view. A view that runs adds an ETag itself,
    from the validator that it read with its page; so a page costs no statement more.
    A page may be newer than its tag but never older.

    An idempotent view runs once for each Idempotency-Key. A view that calls
    `answer_once` itself names this header in `request_headers` instead. The document
    adds the statuses that a path, body, query or header implies; `errors` has others.
    """

    query: type[Schema] | None = None
    body: type[Schema] | None = None
    answer: type[Schema] | None = None
    other_answers: tuple[type[Schema], ...] = ()
    status: int = 200
    other_statuses: tuple[int, ...] = ()
    media_type: str = JSON
    answer_headers: tuple[str, ...] = ()
    request_headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    is_idempotent: bool = False
    validator: Callable[..., str | None] | None = None

    def __call__(self, view: Callable[..., Any]) -> Callable[..., BaseResponse]:
        query = self.query() if self.query else None
        body = self.body() if self.body else None

        @wraps(view)
        def wrapper(**path_values: Any) -> BaseResponse:
            etag = None
            if self.validator and "HTTP_IF_NONE_MATCH" in request.environ:
                etag = page_etag(self.validator(**path_values))
                if is_known_page(etag):
                    return Response(status=304, headers=etag)
            loaded: tuple[Any, ...] = ()
            if query:
                loaded = (load_query(query),)
            elif request.query_string:
                load_query(_NO_PARAMETERS)
            if body:
                loaded = (load_body(body),)
            if etag and request.if_none_match.star_tag:
                return Response(status=304, headers=etag)
            answer = partial(self._answer, view, *loaded, **path_values)
            response = answer_keyed(answer) if self.is_idempotent else answer()
            if etag:
                response.headers.update(etag)
            return response

        wrapper.operation = self  # type: ignore[attr-defined]
        return wrapper

    @property
    def all_request_headers(self) -> tuple[str, ...]:
        """`request_headers`, and those of idempotent views and of validators."""
        key = (IDEMPOTENCY_KEY,) if self.is_idempotent else ()
        known = ("If-None-Match",) if self.validator else ()
        return (*self.request_headers, *key, *known)

    @property
    def all_answer_headers(self) -> tuple[str, ...]:
        """`answer_headers`, and that of a view with a validator."""
        return (*self.answer_headers, *(("ETag",) if self.validator else ()))

    def _answer(
        self, view: Callable[..., Any], *loaded: Any, **path_values: Any
    ) -> BaseResponse:
        result = view(*loaded, **path_values)
        if isinstance(result, BaseResponse):
            return result
        if self.answer is None:
            return Response(None, self.status, content_type=self.media_type)
        # A database row is a subclass of tuple, so we compare the exact type.
        value, headers = result if type(result) is tuple else (result, None)
        return json_response(self.answer, value, self.status, headers)
