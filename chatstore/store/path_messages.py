"""Lists the messages on a path, those around a message, and siblings; no HTTP.

The path of a message never changes, so the chunks of a listing need no common snapshot.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from uuid import UUID

from chatstore.enums import Order
from chatstore.errors import NotFound
from chatstore.store.messages import (
    CHUNK_MESSAGES,
    FoundMessages,
    MessageChunk,
    MessageRange,
    get_position,
    list_messages,
    read_messages,
)
from chatstore.store.paths import BOUNDS, WalkBounds, get_path, no_such_seq
from chatstore.store.runs import Runs
from chatstore.store.sessions import MAX_SEQ
from chatstore.store.siblings import MAX_EACH_SIDE, find_siblings

# The `path` of a listing that begins at the session's head.
HEAD = 0


@dataclass(frozen=True)
class ListingBounds:
    """What one chunk of a listing costs at most.

    A chunk with a role looks at `messages_per_chunk` messages of the path. It may find
    none of the role.
    """

    walk: WalkBounds = BOUNDS
    messages_per_chunk: int = 4 * CHUNK_MESSAGES
    siblings_each_side: int = MAX_EACH_SIDE


LISTING_BOUNDS = ListingBounds()


@dataclass(frozen=True)
class BranchRange(MessageRange):
    """A range of the messages on the path to the message `path`, or of the whole log.

    `around` is the seq in the middle of a window of `limit` messages. `runs` are the
    seqs to list, where a chunk has found them.
    """

    path: int | None = None
    around: int | None = None
    siblings: bool = False
    runs: Runs | None = None


def list_branch(
    session_id: UUID,
    *,
    owner_id: str,
    wanted: BranchRange,
    bounds: ListingBounds = LISTING_BOUNDS,
) -> MessageChunk:
    """Return the first chunk of the `wanted` messages, as `list_messages` does.

    With `siblings`, a message that has siblings tells their seqs. Raises NotFound if
    the session, its message `path`, or the message `around` on the path is missing, and
    TooManyForks.
    """
    if wanted.around is not None:
        wanted = _window(session_id, owner_id, wanted, bounds)
    if wanted.path is None and wanted.runs is None:
        chunk = list_messages(session_id, owner_id=owner_id, wanted=wanted)
    else:
        chunk = _list_path(session_id, owner_id, wanted, bounds)
    if not wanted.siblings or not chunk.messages:
        return chunk
    siblings = find_siblings(
        session_id, chunk.seqs, each_side=bounds.siblings_each_side
    )
    messages = [
        _with_siblings(message, siblings.get(seq))
        for seq, message in zip(chunk.seqs, chunk.messages, strict=True)
    ]
    return replace(chunk, messages=messages)


def _with_siblings(message: str, siblings: Sequence[int] | None) -> str:
    if siblings is None:
        return message
    comma = "" if message == "{}" else ","
    return f'{message[:-1]}{comma}"siblings":[{",".join(map(str, siblings))}]}}'


def _window(
    session_id: UUID, owner_id: str, wanted: BranchRange, bounds: ListingBounds
) -> BranchRange:
    """Return `wanted` with the runs of its window, and one message after the window.

    The last one is there to tell whether messages follow in the order asked for.
    """
    middle, limit = wanted.around or 0, wanted.limit or 1
    earlier = (limit - 1) // 2
    if wanted.path is None:
        last_seq = get_position(session_id, owner_id=owner_id).last_seq
        runs = Runs.of_one(1, last_seq)
    else:
        path = get_path(
            session_id,
            owner_id=owner_id,
            head_seq=wanted.path or None,
            before=middle + 1,
            size=earlier + 2,
            bounds=bounds.walk,
        )
        last_seq, runs = path.last_seq, path.runs
    if middle > last_seq:
        raise no_such_seq(session_id, middle, last_seq)
    if not runs.holds(middle):
        raise NotFound(f"Message {middle} of session {session_id} is not on this path.")
    is_descending = wanted.order is Order.DESC
    before = runs.seqs(
        count=earlier + is_descending, after=0, before=middle, is_descending=True
    )
    after = runs.seqs(
        count=limit - 1 - earlier + (not is_descending),
        after=middle,
        before=MAX_SEQ,
        is_descending=False,
    )
    size = 1 + min(len(before), earlier) + min(len(after), limit - 1 - earlier)
    window = Runs.of([*before[::-1], middle, *after])
    return replace(wanted, around=None, path=None, limit=size, runs=window)


def _list_path(
    session_id: UUID, owner_id: str, wanted: BranchRange, bounds: ListingBounds
) -> MessageChunk:
    is_descending = wanted.order is Order.DESC
    # One more than a chunk holds tells whether the listing goes on.
    size = CHUNK_MESSAGES + 1
    if wanted.limit is not None:
        size = min(size, wanted.limit + 1)
    if wanted.role is not None:
        size = max(size, bounds.messages_per_chunk)
    before = MAX_SEQ if wanted.before is None else wanted.before
    runs = wanted.runs
    if runs is None:
        path = get_path(
            session_id,
            owner_id=owner_id,
            head_seq=wanted.path or None,
            after=wanted.after,
            before=before,
            # In ascending order the listing begins at the end of the walk.
            size=size if is_descending else MAX_SEQ,
            bounds=bounds.walk,
        )
        runs = path.runs
    seqs = runs.seqs(
        count=size, after=wanted.after, before=before, is_descending=is_descending
    )
    found = _read(session_id, owner_id, wanted, seqs)
    has_more, last = False, seqs[-1] if len(seqs) == size else None
    if found.is_cut:
        has_more = len(found.messages) == wanted.limit
        last = None if has_more else found.seqs[-1]
    rest = None
    if last is not None:
        rest = _rest(wanted, runs, last=last, count=len(found.seqs))
    return MessageChunk(found.messages, rest, has_more, found.seqs)


def _read(
    session_id: UUID, owner_id: str, wanted: BranchRange, seqs: Sequence[int]
) -> FoundMessages:
    """Return the messages `seqs` that fit into a chunk, by a range if they are one."""
    first, last = (min(seqs), max(seqs)) if seqs else (1, 0)
    is_one_run = last - first + 1 == len(seqs)
    return read_messages(
        session_id,
        owner_id=owner_id,
        wanted=replace(wanted, after=first - 1, before=last + 1),
        seqs=None if is_one_run else seqs,
    )


def _rest(wanted: BranchRange, runs: Runs, *, last: int, count: int) -> BranchRange:
    """Return the range after a chunk of `count` messages that looked up to `last`."""
    limit = None if wanted.limit is None else wanted.limit - count
    if wanted.order is Order.ASC:
        return replace(wanted, after=last, limit=limit, runs=runs)
    if wanted.runs is not None:
        return replace(wanted, before=last, limit=limit)
    # The next walk begins where this one ended, so it visits no fork twice.
    return replace(wanted, path=last, before=last, limit=limit)
