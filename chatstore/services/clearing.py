"""Clears a session in many transactions; see `store.clearing`."""

from uuid import UUID

from chatstore.services.steps import run_step
from chatstore.store import clearing
from chatstore.store.clearing import Clearing
from chatstore.store.idempotency import KeyedRequest


def clear_session(
    session_id: UUID, *, owner_id: str, keyed: KeyedRequest | None
) -> Clearing:
    """Delete what the session's messages say, and return the finished clearing.

    Messages that are appended meanwhile stay. Each batch is a transaction, so other
    writers get in between. Raises as `start_clearing` does.
    """
    state = run_step(
        clearing.start_clearing, session_id, owner_id=owner_id, keyed=keyed
    )
    while not state.is_done:
        state = run_step(clearing.clear_next, state)
    return state
