"""Sends listings of any length in constant memory."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from threading import BoundedSemaphore

import structlog
from flask import Flask, Response, current_app

from chatstore.app_state import add_to_app, get_from_app
from chatstore.db import new_deadline
from chatstore.db.errors import db_error_text
from chatstore.db.turns import Turns
from chatstore.errors import TooManyStreams
from chatstore.logs import LOGGED_NOTE
from chatstore.settings import Settings
from chatstore.store.messages import MessageChunk, MessageRange

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
    read: Callable[[MessageRange], MessageChunk], wanted: MessageRange
) -> Response:
    """Answer with the `wanted` messages, streamed unless one chunk holds them all.

    A stream reads each chunk after the client has taken the one before, in its own
    context, so it holds no connection in between. If a read fails, because the session
    was deleted for example, the answer is cut off and never looks complete.
    Raises TooManyStreams.
    """
    chunk = read(wanted)
    app = current_app._get_current_object()  # type: ignore[attr-defined]
    body = _generate(app, read, chunk)
    if chunk.rest is None:
        return Response(b"".join(body), mimetype="application/json")
    release = _take_slot()
    response = Response(body, mimetype="application/json")
    response.call_on_close(release)
    return response


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
    app: Flask, read: Callable[[MessageRange], MessageChunk], chunk: MessageChunk
) -> Iterator[bytes]:
    yield b'{"messages":['
    yield _join_messages(chunk)
    has_begun = bool(chunk.messages)
    while chunk.rest is not None:
        try:
            with app.app_context(), _read_turn():
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
