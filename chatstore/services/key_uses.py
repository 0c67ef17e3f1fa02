"""Writes down when keys and logins were last used; the background worker does so."""

from collections.abc import Callable, Mapping
from datetime import datetime

from chatstore.access.key_uses import KeyUses
from chatstore.services.steps import run_step
from chatstore.store import keys
from chatstore.store.batches import in_batches

BATCH = 500


def write_key_uses(uses: KeyUses, *, batch: int = BATCH) -> None:
    """Write the noted uses of API keys; see `write_uses`."""
    write_uses(uses, keys.write_uses, batch=batch)


def write_uses(
    uses: KeyUses,
    write: Callable[[Mapping[str, datetime]], None],
    *,
    batch: int = BATCH,
) -> None:
    """Write the noted uses, `batch` in a transaction; after an error, keep the rest."""
    left = uses.take()
    try:
        for each in list(in_batches(left.items(), lambda _: 1, batch)):
            run_step(write, dict(each))
            for key_id, _ in each:
                del left[key_id]
    finally:
        uses.give_back(left)
