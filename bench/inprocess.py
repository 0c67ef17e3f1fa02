"""The inside of a request: its SQL statements, and the cost of the search index."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import event

from bench.pairs import NotThere, Pair
from chatstore.app import create_app
from chatstore.db import db
from chatstore.settings import Settings

_SESSIONS = "/api/v1/sessions/"
_NOT_COUNTED = ("BEGIN", "PRAGMA", "COMMIT", "SAVEPOINT", "RELEASE")


@contextmanager
def application(url: str) -> Iterator[Flask]:
    """Yield an application in this process, on a migrated database."""
    app = create_app(Settings(database_url=url, secret_key="bench", log_level="error"))
    try:
        yield app
    finally:
        with app.app_context():
            db.engine.dispose()


def count_statements(url: str) -> dict[str, int | str]:
    """Return the number of statements that each kind of request executes."""
    with application(url) as app:
        client = app.test_client()
        with app.app_context():
            engine = db.engine
        counted: list[str] = []
        event.listen(
            engine, "before_cursor_execute", lambda *given: counted.append(given[2])
        )
        return {
            name: _count(client, counted, method, path, body)
            for name, method, path, body in _requests(client)
        }


def _requests(client: FlaskClient) -> list[tuple[str, str, str, Any]]:
    turn = {"content": "How many statements?"}
    path = _SESSIONS + client.post(_SESSIONS, json={}).get_json()["id"]
    client.post(f"{path}/messages", json=turn)
    return [
        ("get session", "GET", path, None),
        ("100 messages", "GET", f"{path}/messages?limit=100", None),
        ("50 sessions", "GET", f"{_SESSIONS}?limit=50", None),
        ("50 sessions by tag", "GET", f"{_SESSIONS}?limit=50&tag=work", None),
        ("search", "GET", "/api/v1/search?q=statements", None),
        ("append", "POST", f"{path}/messages", turn),
        ("batch of 100", "POST", f"{path}/messages/batch", {"messages": [turn] * 100}),
        ("delete session", "DELETE", f"{path}?purge=true", None),
    ]


def _count(
    client: FlaskClient, counted: list[str], method: str, path: str, body: Any
) -> int | str:
    client.open(path, method=method, json=body) if method == "GET" else None  # warm
    counted.clear()
    response = client.open(path, method=method, json=body)
    response.get_data()
    if response.status_code in (400, 404, 422):
        return f"not there: {response.status_code}"
    return sum(not each.upper().startswith(_NOT_COUNTED) for each in counted)


def append_pair(app: Flask, text: str) -> Pair:
    """Return the cost of the index: an append with it / an append without it.

    Both run in process, so that no network time hides the difference.
    """
    client = app.test_client()
    path = _SESSIONS + client.post(_SESSIONS, json={}).get_json()["id"]
    post = partial(client.post, f"{path}/messages", json={"content": text})
    name = "append with search / without"
    return Pair(name, post, partial(_without_index, post), most=1.3)


def _without_index(post: Any) -> None:
    if find_spec("chatstore.store.search.entries") is None:
        raise NotThere("this version writes no search index")
    index: Any = import_module("chatstore.store.search.entries")
    written = index.put_words, index.words_of
    index.put_words = lambda *_, **__: None
    # on PostgreSQL, the entry stays but has no words
    index.words_of = lambda *_, **__: index.Words("", "")
    try:
        post()
    finally:
        index.put_words, index.words_of = written
