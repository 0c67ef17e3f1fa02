"""Writes a value as a JSON response."""

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any
from uuid import UUID

import orjson
from flask import Response
from marshmallow import Schema
from werkzeug.wrappers import Response as BaseResponse

from chatstore.schemas.dumping import compile_dump
from chatstore.schemas.messages import PlainMessageSchema
from chatstore.schemas.sessions import SessionSchema
from chatstore.store.idempotency import AnsweredMessages
from chatstore.store.json_rows import AppendedMessage

JSON = "application/json"
# The Location of a created session.
_SESSION = re.compile(r".*/sessions/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")


class MessagesResponse(Response):
    """A response with messages; a record of it keeps their first and last seq."""

    seqs: tuple[int, int]


class SessionResponse(Response):
    """A response with a session that its request did not create."""


def messages_of(response: BaseResponse) -> AnsweredMessages:
    """Return which messages or session a response has; a session shows its last one."""
    if isinstance(response, MessagesResponse):
        return AnsweredMessages(*response.seqs)
    is_created = _SESSION.fullmatch(response.headers.get("Location", ""))
    if not is_created and not isinstance(response, SessionResponse):
        return AnsweredMessages()
    chat = orjson.loads(response.get_data())
    if chat["message_count"]:
        return AnsweredMessages(1, chat["message_count"], UUID(chat["id"]))
    return AnsweredMessages(session_id=UUID(chat["id"]))


def json_response(
    schema: type[Schema],
    value: Any,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    seqs: tuple[int, int] | None = None,
) -> Response:
    """Return a response whose body is `value` as `schema` dumps it.

    `seqs` are the first and the last seq of the messages in an answer that is stored.
    """
    body = orjson.dumps(_dump_function(schema)(value))
    if seqs is None:
        return Response(body, status, headers, content_type=JSON)
    response = MessagesResponse(body, status, headers, content_type=JSON)
    response.seqs = seqs
    return response


def session_response(value: Any, headers: Mapping[str, str]) -> Response:
    """Return a response whose body is a session that the request did not create."""
    body = orjson.dumps(_dump_function(SessionSchema)(value))
    return SessionResponse(body, 200, headers, content_type=JSON)


def message_json(message: AppendedMessage) -> str:
    """Return the JSON text of an appended message, as later reads answer it."""
    members = _dump_function(PlainMessageSchema)(message)
    if message.parent_seq is not None:
        members["parent_seq"] = message.parent_seq
    return orjson.dumps(members | (message.extra or {})).decode()


@cache
def _dump_function(schema: type[Schema]) -> Callable[[Any], dict[str, Any]]:
    return compile_dump(schema())
