"""Fills an owner's store with the demo and takes it out, one session at a time.

The command that does so is a process of its own. It lets its clock show the past,
so the sessions are as old as they say, and the order of their times is kept.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from chatstore.clock import stopped_at, utc_now
from chatstore.db import prepared, prepared_first, run_read
from chatstore.demo.conversations import Conversation, Turn, load_conversations
from chatstore.enums import Role
from chatstore.errors import NotFound
from chatstore.services.background_deletions import finish_deletions
from chatstore.services.steps import run_step
from chatstore.store import demo, feedback, messages, sessions, usage
from chatstore.store.demo import DemoSession
from chatstore.store.json_rows import AppendedMessage

Progress = Callable[[int, int], None]

# Messages of one transaction.
_TURNS = 100


def fill_demo(owner_id: str, *, progress: Progress) -> int:
    """Add the conversations that the owner lacks; return how many.

    A long one takes several transactions. A run that was killed is finished by the
    next one. `progress` gets the number so far and of all.
    """
    present = run_read(demo.find_demo_sessions, owner_id)
    conversations = load_conversations()
    now = utc_now()
    added = 0
    for number, conversation in enumerate(conversations, start=1):
        found = present.get(conversation.external_id) or DemoSession(uuid4(), 0, False)
        if found.last_seq < len(conversation.turns) and not found.is_in_trash:
            for first in range(found.last_seq, len(conversation.turns), _TURNS):
                run_step(add_turns, conversation, found.id, first, owner_id, now)
            added += 1
        progress(number, len(conversations))
    return added


@prepared_first
def add_turns(
    conversation: Conversation,
    session_id: UUID,
    first: int,
    owner_id: str,
    now: datetime,
) -> Callable[[], None]:
    """Add the next turns, each at its time before `now`; the first add the session."""
    times = [now - offset for offset in conversation.offsets()]
    next_turns = range(len(times))[first : first + _TURNS]
    place: Mapping[str, Any] = {"owner_id": owner_id}
    create = prepared(
        sessions.create_session,
        **place,
        **conversation.columns,
        external_id=conversation.external_id,
        session_id=session_id,
    )
    appends = [
        _prepare_append(conversation.turns[number], session_id, number, owner_id)
        for number in next_turns
    ]

    def add() -> None:
        if first == 0:
            with stopped_at(times[0] - timedelta(seconds=1)):
                create()
        for number, append in zip(next_turns, appends, strict=True):
            with stopped_at(times[number]):
                message = append()
            if given := conversation.turns[number].feedback:
                feedback.set_feedback(session_id, message.id, **place, feedback=given)
        if next_turns[-1] + 1 == len(times):
            changes = conversation.changes
            with stopped_at(times[-1]):
                sessions.update_session(session_id, **place, changes=changes)

    return add


def _prepare_append(
    turn: Turn, session_id: UUID, number: int, owner_id: str
) -> Callable[[], AppendedMessage]:
    return prepared(
        messages.append_message,
        session_id,
        owner_id=owner_id,
        role=Role(turn.role),
        content=turn.content,
        extra=turn.extra or None,
        parent_seq=turn.parent_seq,
        expected_seq=number + 1,
    )


def remove_demo(owner_id: str, *, progress: Progress) -> int:
    """Delete the owner's demo for good, also from the trash; return its sessions."""
    found = run_read(demo.find_demo_sessions, owner_id)
    is_unfinished = False
    for number, chat in enumerate(found.values(), start=1):
        with suppress(NotFound):  # somebody else deleted it meanwhile
            is_unfinished |= run_step(_remove_session, chat.id, owner_id)
        progress(number, len(found))
    if is_unfinished:
        finish_deletions()
    return len(found)


def _remove_session(session_id: UUID, owner_id: str) -> bool:
    usage.forget_session(session_id)
    return sessions.delete_session(session_id, owner_id=owner_id, includes_trash=True)
