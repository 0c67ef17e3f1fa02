"""Routes of messages, within a session."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, current_app, request, url_for
from werkzeug.wrappers import Response as BaseResponse

from chatstore.db import prepared, run_read, run_transaction
from chatstore.db.group_commit import group_commit
from chatstore.enums import MessageFormat, Role
from chatstore.fulltext.query import parse_query
from chatstore.interchange.chat_completions import request_messages
from chatstore.interchange.matches import add_matches
from chatstore.schemas.messages import (
    ChosenMessageListSchema,
    ChosenMessageSchema,
    MessageBatchAnswerSchema,
    MessageBatchSchema,
    MessageCreateSchema,
    MessageFieldsQuerySchema,
    MessageListSchema,
    MessageQuerySchema,
    MessageSchema,
    RequestMessageListSchema,
)
from chatstore.services.background import index_pending_messages
from chatstore.services.quotas import room_of
from chatstore.store import message_times, messages, path_messages
from chatstore.store.json_rows import AppendedMessage
from chatstore.web.api import Operation
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.etags import (
    etag_header,
    is_not_modified,
    read_page_etag,
    validate_messages,
)
from chatstore.web.idempotency import IDEMPOTENCY_KEY, REPLAYED_HEADER, answer_once
from chatstore.web.observe import note_appended_messages
from chatstore.web.responses import json_response, message_json
from chatstore.web.streaming import answer_messages

bp = Blueprint(
    "messages",
    __name__,
    url_prefix="/api/v1/sessions/<uuid:session_id>/messages",
)
bp.before_request(identify_caller)

# What the body of an append says about its place in the session.
_PLACE = ("parent_seq", "expected_seq", "expected_head")
# Parameters that plain listings lack; without them a listing costs as before.
_OF_BRANCHES = {"path", "around", "siblings"}
_OF_TIMES = {"since", "until"}


@bp.post("")
@Operation(
    body=MessageCreateSchema,
    request_headers=(IDEMPOTENCY_KEY,),
    answer=MessageSchema,
    status=201,
    answer_headers=("Location",),
    errors=(403,),
)
def append_message(body: dict[str, Any], session_id: UUID) -> BaseResponse:
    """Append a message to a session."""
    append = prepared(
        messages.append_message, session_id, owner_id=current_owner(), **body
    )
    path = url_for("messages.append_message", session_id=session_id)
    return _append(
        partial(group_commit, size_bytes=_size_of(body)),
        session_id,
        lambda: _answer_message(append(), path),
        turns=[{"role": Role.USER, "metadata": None, **body}],
    )


@bp.post("/batch")
@Operation(
    body=MessageBatchSchema,
    request_headers=(IDEMPOTENCY_KEY,),
    answer=MessageBatchAnswerSchema,
    status=201,
    errors=(403,),
)
def append_messages(body: dict[str, Any], session_id: UUID) -> BaseResponse:
    """Append several messages to a session, all or none.

    Their seqs are consecutive.
    """
    append = prepared(
        messages.append_messages,
        session_id,
        owner_id=current_owner(),
        turns=body["messages"],
        **{name: body[name] for name in _PLACE if name in body},
    )
    response = _append(
        partial(run_transaction, is_core=True),
        session_id,
        lambda: _answer_messages(append()),
        turns=body["messages"],
    )
    index_pending_messages()
    return response


def _size_of(body: dict[str, Any]) -> int:
    """Return about how many bytes of its request a message holds in memory."""
    content = body["content"]
    return len(content) if isinstance(content, str) else len(request.get_data())


def _answer_message(message: AppendedMessage, path: str) -> Response:
    location = {"Location": f"{path}/{message.id}"}
    return json_response(
        MessageSchema,
        message_json(message),
        status=201,
        headers=location,
        seqs=(message.seq, message.seq),
    )


def _answer_messages(appended: list[AppendedMessage]) -> Response:
    return json_response(
        MessageBatchAnswerSchema,
        {"messages": [message_json(each) for each in appended]},
        status=201,
        seqs=(appended[0].seq, appended[-1].seq),
    )


def _append(
    run: Callable[..., Any],
    session_id: UUID,
    answer: Callable[[], BaseResponse],
    *,
    turns: Sequence[Mapping[str, Any]],
) -> BaseResponse:
    room, count = room_of(current_owner()), len(turns)
    size = room.bytes_of(turns)

    def answer_if_it_fits() -> BaseResponse:
        room.require(messages=count, size=size)
        return answer()

    response = answer_once(partial(run, turn=session_id), answer_if_it_fits)
    if REPLAYED_HEADER not in response.headers:
        room.note(messages=count, size=size)
        note_appended_messages(count)
    return response


@bp.get("")
@Operation(
    query=MessageQuerySchema,
    answer=MessageListSchema,
    other_answers=(RequestMessageListSchema, ChosenMessageListSchema),
    errors=(409,),
    validator=validate_messages,
)
def list_messages(query: dict[str, Any], session_id: UUID) -> Response:
    """List the messages of a session in the order of their seq.

    Without `limit`, all of them are streamed. With `path`, only those of a branch. With
    `q`, each message tells where it matches. A page with `limit` has an ETag.
    """
    convert: Callable[[Sequence[str]], Sequence[str]] | None = None
    if query.pop("format", None) is MessageFormat.OPENAI:
        convert = request_messages
    if "q" in query:
        convert = partial(add_matches, query=parse_query(query.pop("q")))
    etag: dict[str, str] | None = None
    if query.keys() & (_OF_TIMES | _OF_BRANCHES):
        # The first of several statements may be older than the last, so the tag comes
        # before all of them.
        etag = read_page_etag(validate_messages, session_id)
    if query.keys() & _OF_TIMES:
        query = _with_seqs(query, session_id)
    if query.keys() & _OF_BRANCHES:
        if "around" in query:
            query.setdefault("limit", current_app.config["CHATSTORE"].default_page_size)
        read = partial(_read_branch, session_id, current_owner())
        wanted: messages.MessageRange = path_messages.BranchRange(**query)
    else:
        read = partial(_read_chunk, session_id, current_owner())
        wanted = messages.MessageRange(**query)
    return answer_messages(read, wanted, convert=convert, etag=etag)


@bp.get("/<int:message_id>")
@Operation(
    query=MessageFieldsQuerySchema,
    request_headers=("If-None-Match",),
    answer=MessageSchema,
    other_answers=(ChosenMessageSchema,),
    answer_headers=("ETag",),
)
def get_message(
    query: dict[str, Any], session_id: UUID, message_id: int
) -> tuple[str, dict[str, str]] | Response:
    """Read one message."""
    message = run_read(
        messages.get_message_json,
        session_id,
        message_id,
        owner_id=current_owner(),
        **query,
    )
    if is_not_modified(message):
        return Response(status=304, headers=etag_header(message))
    return message.text, etag_header(message)


def _with_seqs(query: dict[str, Any], session_id: UUID) -> dict[str, Any]:
    """Return the query with bounds of seqs instead of those of times."""
    times = {name: query[name] for name in _OF_TIMES if name in query}
    bounds = run_read(
        message_times.find_seq_bounds, session_id, owner_id=current_owner(), **times
    )
    rest = {name: value for name, value in query.items() if name not in times}
    return rest | {
        "after": max(query.get("after", 0), bounds.after),
        "before": min(query.get("before", bounds.before), bounds.before),
    }


def _read_chunk(
    session_id: UUID, owner_id: str, wanted: messages.MessageRange
) -> messages.MessageChunk:
    return run_read(
        messages.list_messages, session_id, owner_id=owner_id, wanted=wanted
    )


def _read_branch(
    session_id: UUID, owner_id: str, wanted: path_messages.BranchRange
) -> messages.MessageChunk:
    return run_read(
        path_messages.list_branch, session_id, owner_id=owner_id, wanted=wanted
    )
