"""Creates sessions together with their first messages; no HTTP, no commit."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

from chatstore.db import db, prepared, prepared_first
from chatstore.models import ChatSession
from chatstore.store import sessions
from chatstore.store.appends import draft_messages, write_messages


@prepared_first
def create_conversation(
    *,
    owner_id: str,
    turns: Sequence[Mapping[str, Any]] = (),
    session_id: UUID | None = None,
    **columns: Any,
) -> Callable[[], ChatSession]:
    """Add a session with one message per turn, and return it.

    `columns` and errors are those of `create_session`; `append_messages` describes a
    turn and the timestamps.
    """
    if not turns:
        return prepared(
            sessions.create_session, owner_id=owner_id, session_id=session_id, **columns
        )
    new_id = session_id or uuid4()
    create_session = prepared(
        sessions.create_session, owner_id=owner_id, session_id=new_id, **columns
    )
    draft = draft_messages(new_id, owner_id=owner_id, turns=turns)

    def create() -> ChatSession:
        chat = create_session()
        write_messages(draft, expected=None, expected_head=None, parent=None)
        db.session.refresh(chat)
        return chat

    return create


@prepared_first
def get_or_create_conversation(
    external_id: str, *, owner_id: str, **given: Any
) -> Callable[[], sessions.SessionJson | ChatSession]:
    """Return the JSON of the owner's session with the external id.

    If there is none, return a new session, which `create_conversation` adds.
    """
    create = prepared(
        create_conversation, owner_id=owner_id, external_id=external_id, **given
    )

    def get_or_create() -> sessions.SessionJson | ChatSession:
        found = sessions.find_external_session_json(external_id, owner_id=owner_id)
        return found or create()

    return get_or_create
