"""Queries over the sessions of one owner; no HTTP, no commit."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Text,
    and_,
    bindparam,
    case,
    cast,
    func,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from chatstore.clock import utc_now
from chatstore.db import (
    UtcDateTime,
    db,
    prepared_first,
    read_connection,
    savepoint,
)
from chatstore.db.errors import db_error_text
from chatstore.db.prepared import Prepared
from chatstore.db.row_owner import ALL_OWNERS, row_owner
from chatstore.errors import (
    ChatstoreError,
    ExternalIdTaken,
    Flaw,
    HeadMissing,
    NotFound,
    PreconditionFailed,
    SessionIdTaken,
    ValidationFailed,
)
from chatstore.fulltext.folding import fold
from chatstore.models import ChatSession, SessionTombstone
from chatstore.models.sessions import FOLDED_LENGTH, TRASH_OWNER
from chatstore.schemas.dumping import members_of
from chatstore.schemas.sessions import ListedSessionSchema, SessionSchema
from chatstore.store import deletions
from chatstore.store.facets import add_facets, replace_facets
from chatstore.store.filters import has_external_id
from chatstore.store.json_rows import (
    MAX_FIELD_SETS,
    Fields,
    as_json,
    columns_by_attribute,
    formatted,
    json_value,
)
from chatstore.store.search import entries


def owned(
    session_id: UUID | BindParameter[Any], owner_id: str | BindParameter[Any]
) -> ColumnElement[bool]:
    """Return the condition of every query on one session: its id and its owner."""
    return and_(ChatSession.id == session_id, ChatSession.owner_id == owner_id)


def is_in_trash(owner_id: str | BindParameter[Any]) -> ColumnElement[bool]:
    """Return the condition of sessions in the owner's trash, for its partial index."""
    return and_(
        ChatSession.former_owner_id == owner_id,
        ChatSession.owner_id == TRASH_OWNER,
        ChatSession.trashed_at.is_not(None),
    )


@prepared_first
def create_session(
    *,
    owner_id: str,
    llm_model_name: str,
    name: str | None = None,
    rag_document_ids: Sequence[str] = (),
    metadata_tags: Sequence[str] = (),
    metadata: Mapping[str, Any] | None = None,
    external_id: str | None = None,
    expires_at: datetime | None = None,
    session_id: UUID | None = None,
) -> Callable[[], ChatSession]:
    """Add an empty session and return it.

    Raises ValidationFailed if `expires_at` has passed. Raises SessionIdTaken or
    ExternalIdTaken if another session has the id. The ids of
    another owner's sessions are taken too, but not their external ids.
    """
    new_id = session_id or uuid4()
    words = entries.words_of_name(name, owner_id, new_id)
    columns = {
        "id": new_id,
        "owner_id": owner_id,
        "name": name,
        "name_folded": folded_name(name),
        "llm_model_name": llm_model_name,
        "rag_document_ids": list(rag_document_ids),
        "metadata_tags": list(metadata_tags),
        "metadata_": dict(metadata or {}),
        "external_id": external_id,
        "expires_at": expires_at,
    }

    def create() -> ChatSession:
        _require_future(expires_at)
        revision = 1
        if session_id is not None:
            _refuse_taken_id(session_id)
            revision = _first_revision(session_id, owner_id)
        if external_id is not None:
            _refuse_taken_external_id(external_id, owner_id)
        now = utc_now()
        chat = ChatSession(
            **columns, revision=revision, created_at=now, last_updated_at=now
        )
        _insert(chat, has_chosen_id=session_id is not None)
        add_facets(chat.id, owner_id=owner_id, columns=columns)
        if words is not None:
            entries.put_name(chat, words)
        return chat

    return create


def get_session(session_id: UUID, *, owner_id: str) -> ChatSession:
    """Return the session; raise NotFound if the owner has no such session."""
    query = select(ChatSession).where(owned(session_id, owner_id))
    fresh = query.execution_options(populate_existing=True)
    chat: ChatSession | None = db.session.scalar(fresh)
    if chat is None:
        raise no_such_session(session_id)
    return chat


# The seq of the last message of the branch that is shown; 0 for an empty session.
HEAD_SEQ = func.coalesce(ChatSession.head_seq, ChatSession.last_seq)
# Prepared statements with this condition take `session_parameters`. An UPDATE reserves
# the names of its columns, so the parameters have other names.
IS_OWNED = owned(bindparam("the_session"), bindparam("the_owner"))


# PostgreSQL's greatest integer. It refuses greater parameters.
MAX_SEQ = 2**31 - 1


def session_parameters(session_id: UUID, owner_id: str) -> dict[str, Any]:
    """Return the parameters of a statement with the condition `IS_OWNED`."""
    return {"the_session": session_id, "the_owner": owner_id}


_FORKED_FROM = case(
    (
        ChatSession.forked_from_id.is_not(None),
        formatted(
            literal_column("""'{"session_id":%s,"seq":%s}'"""),
            json_value("uuid", ChatSession.forked_from_id),
            json_value("integer", ChatSession.forked_from_seq),
        ),
    )
)
_MEMBERS = members_of(SessionSchema())
# A session in the trash has `trashed_at`.
_TRASHED_MEMBERS = members_of(ListedSessionSchema())
_JSON_COLUMNS = {
    **columns_by_attribute(ChatSession),
    "archived": ChatSession.archived_at.is_not(None),
    "metadata_": func.coalesce(ChatSession.metadata_, literal_column("'{}'")),
    "forked_from": _FORKED_FROM,
    "shown_head_seq": func.coalesce(
        cast(func.nullif(HEAD_SEQ, 0), Text), literal_column("'null'")
    ),
}


def session_json(
    fields: Fields | None = None, *, is_trashed: bool = False
) -> ColumnElement[str]:
    """Return SQL for the JSON text of a session with these fields; None means all."""
    members = _TRASHED_MEMBERS if is_trashed else _MEMBERS
    chosen = [each for each in members if fields is None or each.name in fields]
    return as_json(chosen, _JSON_COLUMNS)


def _json_by_id(fields: Fields | None = None) -> Prepared:
    return Prepared(select(session_json(fields), ChatSession.revision).where(IS_OWNED))


def _json_by_external_id(fields: Fields | None = None) -> Prepared:
    return Prepared(
        select(session_json(fields), ChatSession.revision, ChatSession.id).where(
            ChatSession.owner_id == bindparam("the_owner"),
            has_external_id(bindparam("the_external_id")),
        )
    )


# Reads of whole sessions must stay prepared, whatever fields others choose.
_SESSION_JSON_BY_ID = _json_by_id()
_SESSION_JSON_BY_EXTERNAL_ID = _json_by_external_id()
_prepare_by_id = lru_cache(maxsize=MAX_FIELD_SETS)(_json_by_id)
_prepare_by_external_id = lru_cache(maxsize=MAX_FIELD_SETS)(_json_by_external_id)


class SessionJson(NamedTuple):
    """The JSON text of a session, and the session's revision.

    `found_id` is the driver's value of its id if it was found by its external id.
    """

    text: str
    revision: int
    found_id: Any = None


def get_session_json(
    session_id: UUID, *, owner_id: str, fields: Fields | None = None
) -> SessionJson:
    """Return the session's JSON text, at a fifth of the cost of `get_session`.

    Raises NotFound.
    """
    query = _SESSION_JSON_BY_ID if fields is None else _prepare_by_id(fields)
    with read_connection() as connection:
        found = query.rows(connection, session_parameters(session_id, owner_id))
    if not found:
        raise no_such_session(session_id)
    return SessionJson(*found[0])


def get_external_session_json(
    external_id: str, *, owner_id: str, fields: Fields | None = None
) -> SessionJson:
    """Return the JSON text of the session with the external id; raise NotFound."""
    found = find_external_session_json(external_id, owner_id=owner_id, fields=fields)
    if found is None:
        raise NotFound(f"There is no session with the external_id {external_id!r}.")
    return found


def find_external_session_json(
    external_id: str, *, owner_id: str, fields: Fields | None = None
) -> SessionJson | None:
    """Return the JSON text of the session with the external id, or None."""
    query = _SESSION_JSON_BY_EXTERNAL_ID
    if fields is not None:
        query = _prepare_by_external_id(fields)
    parameters = {"the_owner": owner_id, "the_external_id": external_id}
    with read_connection() as connection:
        found = query.rows(connection, parameters)
    return SessionJson(*found[0]) if found else None


@prepared_first
def update_session(
    session_id: UUID,
    *,
    owner_id: str,
    changes: Mapping[str, Any],
    if_revisions: Collection[int] | None = None,
) -> Callable[[], ChatSession]:
    """Set the columns in `changes` and return the session.

    `changes` may also hold `archived`; if empty, the revision stays. `last_updated_at`
    always stays. Raises NotFound; PreconditionFailed when `if_revisions` is given and
    lacks the session's revision; HeadMissing when there is no message `head_seq`;
    ExternalIdTaken.
    """
    condition = at_revision(owned(session_id, owner_id), if_revisions)
    head_seq = changes.get("head_seq")
    if head_seq is not None:
        changes = {**changes, "head_seq": min(head_seq, MAX_SEQ)}
        condition = and_(condition, ChatSession.last_seq >= changes["head_seq"])
    words = entries.words_of_name(changes.get("name"), owner_id, session_id)
    columns = _columns(changes)

    def change() -> ChatSession:
        _require_future(changes.get("expires_at"))
        if columns.get("external_id") is not None:
            _refuse_change_to(columns["external_id"], session_id, owner_id, condition)
        chat: ChatSession | None = db.session.scalar(
            update(ChatSession)
            .where(condition)
            .values(**columns, revision=ChatSession.revision + 1)
            .returning(ChatSession)
            .execution_options(populate_existing=True)
            if changes
            else select(ChatSession).where(condition)
        )
        if chat is None:
            raise explain_no_match(
                session_id, owned(session_id, owner_id), if_revisions, head_seq
            )
        replace_facets({session_id: columns}, owner_id=owner_id)
        if "name" in changes:
            entries.put_name(chat, words)
        return chat

    return change


def delete_session(
    session_id: UUID,
    *,
    owner_id: str,
    if_revisions: Collection[int] | None = None,
    includes_trash: bool = False,
    bounds: deletions.Bounds = deletions.BOUNDS,
) -> bool:
    """Delete the session for good; return whether `finish_deletions` must do the rest.

    The database deletes the session's messages. If they are too many or too large for
    one transaction, this function only hides the session. With `includes_trash` the
    session may be in the owner's trash. Raises as `update_session` does.
    """
    place = owned(session_id, owner_id)
    if includes_trash:
        in_trash = and_(ChatSession.id == session_id, is_in_trash(owner_id))
        place = or_(place, in_trash)
    condition = at_revision(place, if_revisions)
    if deletions.delete_sessions(
        and_(condition, deletions.fits_one_transaction(bounds))
    ):
        return False
    if not deletions.hide_sessions(condition):
        raise explain_no_match(session_id, place)
    return True


def no_such_session(session_id: UUID) -> NotFound:
    """Return the same error for a missing session and for another owner's."""
    return NotFound(f"There is no session {session_id}.")


def folded_name(name: str | None) -> str:
    """Return the folded form of a name, by which lists sort and filter."""
    return fold(name or "")[:FOLDED_LENGTH]


def _columns(changes: Mapping[str, Any]) -> dict[str, Any]:
    columns = dict(changes)
    if "metadata" in columns:
        columns["metadata_"] = columns.pop("metadata")
    if "name" in columns:
        columns["name_folded"] = folded_name(columns["name"])
    if "archived" in columns:
        is_archived = columns.pop("archived")
        # A session that is archived already keeps its `archived_at`.
        now = literal(utc_now(), UtcDateTime())
        since = func.coalesce(ChatSession.archived_at, now)
        columns["archived_at"] = since if is_archived else None
    if "head_seq" in columns:
        # Null says that the last message is the head, as after every append.
        columns["head_seq"] = func.nullif(columns["head_seq"], ChatSession.last_seq)
    return columns


def _require_future(expires_at: datetime | None) -> None:
    # A request may be repeated with its key when the instant has passed, so this is no
    # rule of the body's shape.
    if expires_at is not None and expires_at <= utc_now():
        raise ValidationFailed([Flaw("/expires_at", "It must be later than now.")])


def _refuse_taken_id(session_id: UUID) -> None:
    # The error is the same whoever owns the session, so it tells nothing about others.
    query = select(ChatSession.id).where(ChatSession.id == session_id)
    if db.session.scalar(query) is not None:
        raise SessionIdTaken(session_id)


def _insert(chat: ChatSession, *, has_chosen_id: bool) -> None:
    new_id = chat.id  # a rollback expires the object
    if not has_chosen_id or row_owner() == ALL_OWNERS:
        db.session.add(chat)
        db.session.flush()
        return
    # Row security hides another owner's session, so only the insert finds its id. The
    # savepoint lets the caller release its idempotency key after the refusal.
    try:
        with savepoint():
            db.session.add(chat)
            db.session.flush()
    except IntegrityError as error:
        if "pk_sessions" in db_error_text(error):
            raise SessionIdTaken(new_id) from error
        raise


# In the trash a session may get a few revisions more than its tombstone says.
_REVISIONS_OF_TRASH = 10


def _first_revision(session_id: UUID, owner_id: str) -> int:
    """Return 1, or more if the owner had a session with the id: a new revision.

    The owner's clients may still have an entity tag of that session.
    """
    query = select(SessionTombstone.revision).where(
        SessionTombstone.session_id == session_id,
        SessionTombstone.owner_id == owner_id,
    )
    last: int | None = db.session.scalar(query)
    return 1 if last is None else last + _REVISIONS_OF_TRASH


def _refuse_taken_external_id(external_id: str, owner_id: str) -> None:
    taken_by = find_external(external_id, owner_id)
    if taken_by is not None:
        raise ExternalIdTaken(taken_by)


def _refuse_change_to(
    external_id: str, session_id: UUID, owner_id: str, condition: ColumnElement[bool]
) -> None:
    taken_by = find_external(external_id, owner_id)
    if taken_by in (None, session_id):
        return
    if db.session.scalar(select(ChatSession.id).where(condition)) is None:
        raise explain_no_match(session_id, owned(session_id, owner_id))
    raise ExternalIdTaken(taken_by)


def find_external(external_id: str, owner_id: str) -> UUID | None:
    """Return the id of the owner's session with the external id, or None."""
    query = select(ChatSession.id).where(
        ChatSession.owner_id == owner_id, has_external_id(external_id)
    )
    found: UUID | None = db.session.scalar(query)
    return found


def find_external_ids(external_ids: Sequence[str], owner_id: str) -> dict[str, UUID]:
    """Return the ids of the owner's sessions with these external ids, by these."""
    query = select(ChatSession.external_id, ChatSession.id).where(
        ChatSession.owner_id == owner_id,
        ChatSession.external_id.in_(external_ids),
        ChatSession.former_owner_id.is_(None),
    )
    return {str(row[0]): row[1] for row in db.session.execute(query)}


def at_revision(
    condition: ColumnElement[bool], revisions: Collection[int] | None
) -> ColumnElement[bool]:
    """Return the condition, and that the revision is one of these; None allows any."""
    if revisions is None:
        return condition
    return and_(condition, ChatSession.revision.in_(revisions))


def explain_no_match(
    session_id: UUID,
    place: ColumnElement[bool],
    if_revisions: Collection[int] | None = None,
    head_seq: int | None = None,
) -> ChatstoreError:
    """Return the error for a change that matched no session.

    Without its other conditions, the change looked for a session at `place`.
    """
    found = db.session.execute(
        select(ChatSession.revision, ChatSession.last_seq).where(place)
    ).first()
    if found is None:
        return no_such_session(session_id)
    is_expected = if_revisions is None or found.revision in if_revisions
    if head_seq is not None and is_expected:
        return HeadMissing(head_seq, found.last_seq)
    return PreconditionFailed(
        f"Session {session_id} has changed: If-Match names another revision."
    )
