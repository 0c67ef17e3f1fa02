"""URLs of the API, and assertions about its responses."""

import json
import re
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any
from unittest.mock import ANY
from uuid import UUID

from sqlalchemy import func, select

API = "/api/v1"
SESSIONS = f"{API}/sessions/"
MISSING_ID = "00000000-0000-4000-8000-000000000000"
ANY_ID = ANY
JSON = {"Content-Type": "application/json"}


def session_url(chat: Any) -> str:
    return f"{API}/sessions/{chat['id'] if isinstance(chat, dict) else chat.id}"


def messages_url(chat: Any) -> str:
    return f"{session_url(chat)}/messages"


def parsed(texts: Iterable[str]) -> list[Any]:
    """Parse rows of JSON into objects; `id` and `session_id` become UUIDs."""
    rows = [json.loads(text) for text in texts]
    for row in rows:
        for name in {"id", "session_id"} & row.keys():
            row[name] = UUID(row[name]) if isinstance(row[name], str) else row[name]
    return [SimpleNamespace(**row) for row in rows]


def count(db_session: Any, model: Any) -> int:
    return db_session.scalar(select(func.count()).select_from(model))


def assert_problem(
    response: Any, status: int, *, pointer: str | None = None, detail: str = ""
) -> dict[str, Any]:
    """Assert that the response is a complete RFC 9457 problem; return its JSON."""
    assert response.status_code == status, response.data
    assert response.content_type == "application/problem+json"
    problem = json.loads(response.data)
    assert problem["type"].startswith("urn:chatstore:problem:")
    assert problem["status"] == status
    assert problem["title"]
    assert re.search(detail, problem["detail"]), problem["detail"]
    assert problem["request_id"] == response.headers["X-Request-Id"]
    if status == 422:
        assert problem["errors"]
        assert all({"pointer", "detail"} == set(each) for each in problem["errors"])
    else:
        assert "errors" not in problem
    if status == 405:
        assert response.headers["Allow"]
    if status in (429, 503):
        assert int(response.headers["Retry-After"]) > 0
    if pointer is not None:
        assert pointer in [each["pointer"] for each in problem["errors"]], problem
    return problem
