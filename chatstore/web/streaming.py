"""Sends listings of any length in constant memory."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from threading import BoundedSemaphore

import structlog
from flask import Flask, Response, current_app

from chatstore.app_state import add_to_app, get_from_app
from chatstore.db import new_deadline
from chatstore.db.errors import db_error_text
from chatstore.db.row_owner import row_owner, rows_of
from chatstore.db.turns import Turns
from chatstore.errors import TooManyStreams
from chatstore.logs import LOGGED_NOTE
from chatstore.settings import Settings
from chatstore.store.messages import MessageChunk, MessageRange
from chatstore.web.etags import page_etag

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class _Streams:
    """The bounds of the streams of one process: their number, their connections."""

    max_streams: int
    slots: BoundedSemaphore
    read_turns: Turns


def init_streaming(app: Flask, settings: Settings) -> None:
    """Bound the streams of `app`.

    A client that reads slowly keeps a thread, so the number of streams is bounded.
    There are many more streams than connections, so streams use at most half of these.
    """
    slots = BoundedSemaphore(settings.max_streams)
    turns = Turns(places=max(1, settings.threads // 2))
    add_to_app(app, _Streams(settings.max_streams, slots, turns))


def answer_messages(
    read: Callable[[MessageRange], MessageChunk],
    wanted: MessageRange,
    *,
    convert: Callable[[Sequence[str]], Sequence[str]] | None = None,
    etag: dict[str, str] | None = None,
) -> Response:
    """Answer with the `wanted` messages, streamed unless one chunk holds them all.

    `convert` gives other JSON texts for those of a chunk, and may leave some out.
    Without the header `etag`, a page with a limit has that of its first chunk.

    A stream reads each chunk after the client has taken the one before, in its own
    context, so it holds no connection in between. If a read fails, because the session
    was deleted for example, the answer is cut off and never looks complete.
    Raises TooManyStreams.
    """
    if convert is not None:
        read = _converted(read, convert)
    chunk = read(wanted)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    # The rest is read after the request has ended, so the stream keeps its owner.
    body = _generate(app, read, chunk, row_owner())
    if etag is None:
        etag = page_etag(chunk.validator) if wanted.limit is not None else {}
    if chunk.rest is None:
        return Response(b"".join(body), headers=etag, mimetype="application/json")
    release = _take_slot()
    response = Response(body, headers=etag, mimetype="application/json")
    response.call_on_close(release)
    return response


def _converted(
    read: Callable[[MessageRange], MessageChunk],
    convert: Callable[[Sequence[str]], Sequence[str]],
) -> Callable[[MessageRange], MessageChunk]:
    def read_converted(wanted: MessageRange) -> MessageChunk:
        chunk = read(wanted)
        return replace(chunk, messages=convert(chunk.messages))

    return read_converted


def _take_slot() -> Callable[[], None]:
    """Take a slot and return a function that frees it, however often it is called."""
    streams = get_from_app(_Streams)
    if not streams.slots.acquire(blocking=False):
        raise TooManyStreams(
            f"This process already streams {streams.max_streams} listings"
            " (CHATSTORE_MAX_STREAMS)."
            " Try again, or request pages with limit."
        )
    release = ExitStack()
    release.callback(streams.slots.release)
    return release.close


def _generate(
    app: Flask,
    read: Callable[[MessageRange], MessageChunk],
    chunk: MessageChunk,
    owner_id: str,
) -> Iterator[bytes]:
    yield b'{"messages":['
    yield _join_messages(chunk)
    has_begun = bool(chunk.messages)
    while chunk.rest is not None:
        try:
            with app.app_context(), _read_turn(), rows_of(owner_id):
                chunk = read(chunk.rest)
        except Exception as error:
            log.warning("listing cut off", cause=db_error_text(error))
            # gunicorn closes the connection after an error, and would log a traceback.
            error.add_note(LOGGED_NOTE)
            raise
        if chunk.messages:
            yield (b"," if has_begun else b"") + _join_messages(chunk)
            has_begun = True
    yield b'],"has_more":true}' if chunk.has_more else b'],"has_more":false}'


def _read_turn() -> AbstractContextManager[None]:
    return get_from_app(_Streams).read_turns.taken("connections", new_deadline())


def _join_messages(chunk: MessageChunk) -> bytes:
    return ",".join(chunk.messages).encode()
