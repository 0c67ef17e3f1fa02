"""Edits a message: computes its words before the lock, and again if it changed."""

from collections.abc import Callable, Collection, Mapping
from typing import Any
from uuid import UUID

from chatstore.db import new_deadline, prepared, run_transaction
from chatstore.errors import DatabaseUnavailable
from chatstore.store import edits
from chatstore.store.messages import MessageJson


def edit_message(
    session_id: UUID,
    message_id: int,
    *,
    owner_id: str,
    changes: Mapping[str, Any],
    if_revisions: Collection[int] | None,
    bounds: edits.EditBounds,
    check_bytes: Callable[[int], None] = lambda _: None,
) -> MessageJson:
    """Edit a message as `store.edits.edit_message` does, and return it.

    Concurrent edits of one message take place one after the other. Raises what that
    function raises, and DatabaseUnavailable if others came first until the deadline.
    """
    deadline = new_deadline()
    while True:
        edit = prepared(
            edits.edit_message,
            session_id,
            message_id,
            owner_id=owner_id,
            changes=changes,
            if_revisions=if_revisions,
            bounds=bounds,
            check_bytes=check_bytes,
        )
        message = run_transaction(edit, turn=session_id, deadline=deadline)
        if message is not None:
            return message
        if deadline.is_over:
            raise DatabaseUnavailable("Too many requests edit this message.")
