"""Sends listings of any length in constant memory."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from threading import BoundedSemaphore

import structlog
from flask import Flask, Response, current_app

from chatstore.db import new_deadline
from chatstore.db.errors import db_error_text
from chatstore.db.turns import Turns
from chatstore.errors import TooManyStreams
from chatstore.logs import LOGGED
from chatstore.store.messages import MessageChunk, MessageRange

log = structlog.get_logger(__name__)


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
    release = _take_slot(app)
    response = Response(body, mimetype="application/json")
    response.call_on_close(release)
    return response


def _take_slot(app: Flask) -> Callable[[], None]:
    # A client that reads slowly keeps a thread, so we bound the number of streams.
    most = app.config["CHATSTORE"].max_streams
    slots = app.extensions.setdefault("chatstore-streams", BoundedSemaphore(most))
    if not slots.acquire(blocking=False):
        raise TooManyStreams(
            f"This process already streams {most} listings (CHATSTORE_MAX_STREAMS)."
            " Try again, or request pages with limit."
        )
    once = ExitStack()
    once.callback(slots.release)
    return once.close


def _generate(
    app: Flask, read: Callable[[MessageRange], MessageChunk], chunk: MessageChunk
) -> Iterator[bytes]:
    yield b'{"messages":['
    yield _items(chunk)
    while chunk.rest is not None:
        try:
            with app.app_context(), _turn_to_read(app):
                chunk = read(chunk.rest)
        except Exception as error:
            log.warning("listing cut off", cause=db_error_text(error))
            # gunicorn closes the connection after an error, and would log a traceback.
            error.add_note(LOGGED)
            raise
        if chunk.messages:
            yield b"," + _items(chunk)
    yield b'],"has_more":true}' if chunk.has_more else b'],"has_more":false}'


def _turn_to_read(app: Flask) -> AbstractContextManager[None]:
    # There are many more streams than connections, so streams use at most half of them.
    width = max(1, app.config["CHATSTORE"].threads // 2)
    turns: Turns = app.extensions.setdefault("chatstore-chunks", Turns(width=width))
    return turns.taken("connections", new_deadline())


def _items(chunk: MessageChunk) -> bytes:
    return ",".join(chunk.messages).encode()
