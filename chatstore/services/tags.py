"""Renames and deletes tags in many transactions; see `store.tags`."""

from collections.abc import Callable

from chatstore.db import run_read
from chatstore.services.steps import run_step
from chatstore.store import tags
from chatstore.store.tags import BOUNDS, ChangeBounds, TagChange


def change_tag(
    change: TagChange, *, bounds: ChangeBounds = BOUNDS
) -> Callable[[], int]:
    """Change the sessions with the tag, except the last batch; return its function.

    The caller runs this function in a transaction, which can also store its answer. The
    function changes the last batch, and returns how many sessions changed in all. Each
    batch is a transaction, so other writers get in between. A request that is repeated
    after a failure changes the rest.
    """
    changed = 0
    batches = run_read(tags.find_batches, change, after=None, bounds=bounds)
    while batches:
        batch = batches.pop(0)
        if not batches:
            batches = run_read(
                tags.find_batches, change, after=batch[-1], bounds=bounds
            )
        if not batches:
            return lambda: changed + tags.change_batch(change, batch)
        changed += run_step(tags.change_batch, change, batch)
    return lambda: 0
