"""Routes of sessions."""

from functools import partial
from typing import Any
from uuid import UUID

from flask import Blueprint, Response, after_this_request, current_app, url_for
from werkzeug.wrappers import Response as BaseResponse

from chatstore.db import prepared, run_read, run_transaction, run_write
from chatstore.enums import AuditAction, BulkAction, Order, SessionSort
from chatstore.models import ChatSession
from chatstore.schemas.sessions import (
    ChosenSessionPageSchema,
    ChosenSessionSchema,
    SessionBulkAnswerSchema,
    SessionBulkSchema,
    SessionCreateSchema,
    SessionDeleteQuerySchema,
    SessionFieldsQuerySchema,
    SessionPageSchema,
    SessionPutSchema,
    SessionQuerySchema,
    SessionSchema,
    SessionUpdateSchema,
)
from chatstore.services.background import background_worker_of, index_pending_messages
from chatstore.services.quotas import Room, room_of
from chatstore.store import bulk, conversations, session_lists, sessions, trash
from chatstore.store.filters import SessionFilters
from chatstore.web.api import Operation
from chatstore.web.audit import note_act
from chatstore.web.auth import current_owner, identify_caller
from chatstore.web.cursors import decode_cursor, encode_cursor
from chatstore.web.etags import (
    are_lists_tagged,
    etag_header,
    if_match_revisions,
    is_not_modified,
    page_etag,
    validate_lists,
)
from chatstore.web.idempotency import (
    IDEMPOTENCY_KEY,
    REPLAYED_HEADER,
    answer_once,
    read_key,
)
from chatstore.web.observe import note_appended_messages
from chatstore.web.responses import json_response, session_response

bp = Blueprint("sessions", __name__, url_prefix="/api/v1/sessions")
bp.before_request(identify_caller)


# Werkzeug matches a path without its last slash too, but answers a wrong method there
# with 404, so each method is registered for both paths. The document has the lower one.
@bp.post("")
@bp.post("/")
@Operation(
    body=SessionCreateSchema,
    request_headers=(IDEMPOTENCY_KEY,),
    answer=SessionSchema,
    status=201,
    answer_headers=("ETag", "Location"),
    errors=(403,),
)
def create_session(body: dict[str, Any]) -> BaseResponse:
    """Create a session, perhaps with its first messages."""
    owner_id, key = current_owner(), read_key()
    create = prepared(
        conversations.create_conversation, owner_id=owner_id, **_columns(body)
    )
    turn = None if key is None else (owner_id, key)
    room, turns = room_of(owner_id), body.get("messages", ())
    count, size = len(turns), room.bytes_of(turns)

    def answer() -> Response:
        room.require(sessions=1, messages=count, size=size)
        return _answer_created(create())

    response = answer_once(partial(run_transaction, turn=turn), answer)
    if REPLAYED_HEADER not in response.headers:
        _note_created(room, count, size)
    return response


@bp.put("/by-external-id/<external_id:external_id>")
@Operation(
    body=SessionPutSchema,
    answer=SessionSchema,
    status=201,
    other_statuses=(200,),
    answer_headers=("ETag", "Location"),
    errors=(403, 409),
)
def get_or_create_session(body: dict[str, Any], external_id: str) -> BaseResponse:
    """Read the session with your external id, or create it.

    A session that exists stays as it is.
    """
    owner_id = current_owner()
    found = run_read(
        sessions.find_external_session_json, external_id, owner_id=owner_id
    )
    if found is not None:
        return _answer_found(found)
    room, turns = room_of(owner_id), body.get("messages", ())
    count, size = len(turns), room.bytes_of(turns)
    room.require(sessions=1, messages=count, size=size)
    get_or_create = prepared(
        conversations.get_or_create_conversation,
        external_id,
        owner_id=owner_id,
        **_columns(body),
    )
    chat = run_transaction(get_or_create, turn=(owner_id, external_id))
    if isinstance(chat, sessions.SessionJson):
        return _answer_found(chat)
    _note_created(room, count, size)
    return _answer_created(chat)


@bp.get("/by-external-id/<external_id:external_id>")
@Operation(
    query=SessionFieldsQuerySchema,
    request_headers=("If-None-Match",),
    answer=SessionSchema,
    other_answers=(ChosenSessionSchema,),
    answer_headers=("ETag",),
)
def get_session_by_external_id(
    query: dict[str, Any], external_id: str
) -> tuple[str, dict[str, str]] | Response:
    """Read the session with your external id."""
    chat = run_read(
        sessions.get_external_session_json,
        external_id,
        owner_id=current_owner(),
        **query,
    )
    if is_not_modified(chat):
        return Response(status=304, headers=etag_header(chat))
    return chat.text, etag_header(chat)


@bp.get("")
@bp.get("/")
@Operation(
    query=SessionQuerySchema,
    answer=SessionPageSchema,
    other_answers=(ChosenSessionPageSchema,),
    validator=validate_lists,
)
def list_sessions(
    query: dict[str, Any],
) -> tuple[dict[str, Any], dict[str, str]]:
    """List sessions, newest activity first unless asked otherwise.

    Archived ones are left out unless asked for.
    """
    listing = _listing(query)
    counted = {}
    if query.get("count"):  # count first: the page is read in the same transaction
        counted["total"] = _count(listing)
    page = run_read(
        session_lists.list_sessions,
        owner_id=current_owner(),
        listing=listing,
        limit=query.get("limit", current_app.config["CHATSTORE"].default_page_size),
        offset=query.get("offset", 0),
        place=decode_cursor(query.get("cursor"), listing),
        fields=query.get("fields"),
    )
    answer = {
        "sessions": page.items,
        "next_cursor": encode_cursor(page.next_place, listing),
        "previous_cursor": encode_cursor(page.previous_place, listing),
        **counted,
    }
    return answer, page_etag(page.validator) if are_lists_tagged() else {}


@bp.post("/bulk")
@Operation(
    body=SessionBulkSchema,
    is_idempotent=True,
    answer=SessionBulkAnswerSchema,
    errors=(409,),
)
def change_sessions(body: dict[str, Any]) -> dict[str, Any]:
    """Change, delete or restore many sessions, all or none.

    last_updated_at stays. Ids of missing sessions are passed over.
    """
    settings = current_app.config["CHATSTORE"]
    outcome = run_write(
        _change_sessions,
        bulk.BulkChange(
            body["action"],
            tuple(body.get("tags", ())),
            max_tags=settings.max_tags,
            has_trash=settings.trash_seconds > 0,
        ),
        owner_id=current_owner(),
        selected=_selected(body),
        max_sessions=settings.max_bulk_sessions,
        is_dry_run=body["dry_run"],
    )
    return {
        "action": body["action"],
        "matched": outcome.matched,
        "changed": outcome.changed,
        "changed_ids": outcome.changed_ids,
        "dry_run": body["dry_run"],
    }


@bp.get("/<uuid:session_id>")
@Operation(
    query=SessionFieldsQuerySchema,
    request_headers=("If-None-Match",),
    answer=SessionSchema,
    other_answers=(ChosenSessionSchema,),
    answer_headers=("ETag",),
)
def get_session(
    query: dict[str, Any], session_id: UUID
) -> tuple[str, dict[str, str]] | Response:
    """Read a session."""
    chat = run_read(
        sessions.get_session_json, session_id, owner_id=current_owner(), **query
    )
    if is_not_modified(chat):
        return Response(status=304, headers=etag_header(chat))
    return chat.text, etag_header(chat)


@bp.patch("/<uuid:session_id>")
@Operation(
    body=SessionUpdateSchema,
    request_headers=("If-Match",),
    answer=SessionSchema,
    answer_headers=("ETag",),
    errors=(409,),
)
def update_session(
    body: dict[str, Any], session_id: UUID
) -> tuple[ChatSession, dict[str, str]]:
    """Change a session.

    Fields that the body omits stay, and so does last_updated_at.
    """
    change = prepared(
        sessions.update_session,
        session_id,
        owner_id=current_owner(),
        changes=body,
        if_revisions=if_match_revisions(),
    )
    chat = run_transaction(change, turn=session_id)
    return chat, etag_header(chat)


@bp.delete("/<uuid:session_id>")
@Operation(query=SessionDeleteQuerySchema, request_headers=("If-Match",), status=204)
def delete_session(query: dict[str, Any], session_id: UUID) -> None:
    """Delete a session and all its messages.

    It stays in the trash for a while, unless the server keeps none.
    """
    is_purging = query.get("purge", False)
    has_trash = current_app.config["CHATSTORE"].trash_seconds > 0
    keywords: dict[str, Any] = {
        "owner_id": current_owner(),
        "if_revisions": if_match_revisions(),
    }
    if has_trash and not is_purging:
        delete = partial(trash.trash_session, session_id, **keywords)
    else:
        delete = partial(
            _delete_session, session_id, includes_trash=is_purging, **keywords
        )
    run_transaction(delete, turn=session_id)


@bp.post("/<uuid:session_id>/restore")
@Operation(
    is_idempotent=True, answer=SessionSchema, answer_headers=("ETag",), errors=(400,)
)
def restore_session(session_id: UUID) -> Response:
    """Take a session out of the trash, whole."""
    restore = partial(trash.restore_session, session_id, owner_id=current_owner())
    chat = run_transaction(restore, turn=session_id)
    return session_response(chat, etag_header(chat))


def _columns(body: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of `create_conversation` for the body of a creation."""
    columns = dict(body)
    columns["turns"] = columns.pop("messages", ())
    columns["session_id"] = columns.pop("id", None)
    default_model_name = current_app.config["CHATSTORE"].default_model_name
    return {"llm_model_name": default_model_name, **columns}


def _answer_found(chat: sessions.SessionJson) -> Response:
    # The same tag as in the answer that created the session.
    etag = etag_header(chat._replace(found_id=None))
    return json_response(SessionSchema, chat.text, headers=etag)


def _answer_created(chat: ChatSession) -> Response:
    location = url_for("sessions.get_session", session_id=chat.id)
    headers = {"Location": location, **etag_header(chat)}
    return json_response(SessionSchema, chat, status=201, headers=headers)


def _note_created(room: Room, count: int, size: int) -> None:
    room.note(sessions=1, messages=count, size=size)
    if count:
        note_appended_messages(count)
        index_pending_messages()


def _delete_session(session_id: UUID, **keywords: Any) -> None:
    if sessions.delete_session(session_id, **keywords):
        _finish_after_request()


def _change_sessions(change: bulk.BulkChange, **keywords: Any) -> bulk.BulkOutcome:
    outcome = bulk.change_sessions(change, **keywords)
    is_deletion = change.action in (BulkAction.DELETE, BulkAction.PURGE)
    if is_deletion and outcome.changed and not keywords["is_dry_run"]:
        note_act(
            AuditAction.SESSIONS_DELETED, change=change.action, count=outcome.changed
        )
    if outcome.has_hidden:
        _finish_after_request()
    return outcome


def _finish_after_request() -> None:
    # The transaction has ended by then. A lost connection can hide that it was
    # committed, so we start the worker in any case.
    @after_this_request
    def start(response: Response) -> Response:
        background_worker_of(current_app).start()
        return response


def _selected(body: dict[str, Any]) -> bulk.Selection:
    if "ids" in body:
        return list(body["ids"])
    if "trash" in body:
        return bulk.WholeTrash()
    return SessionFilters.among(body.get("filter", {}))


def _count(listing: session_lists.SessionListing) -> int:
    owner_id = current_owner()
    if listing.trash:
        return run_read(session_lists.count_trash, owner_id=owner_id)
    return run_read(
        session_lists.count_sessions, owner_id=owner_id, filters=listing.filters
    )


def _listing(query: dict[str, Any]) -> session_lists.SessionListing:
    sort = query.get("sort", SessionSort.LAST_UPDATED_AT)
    default_order = Order.ASC if sort is SessionSort.NAME else Order.DESC
    return session_lists.SessionListing(
        filters=SessionFilters.among(query),
        sort=sort,
        order=query.get("order", default_order),
        pinned_first=query.get("pinned_first", False),
        trash=query.get("trash") or None,
    )
