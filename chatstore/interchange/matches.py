"""Adds to messages where their content matches a query."""

from collections.abc import Iterator, Sequence

import orjson

from chatstore.fulltext.highlights import Highlighter
from chatstore.fulltext.query import Query
from chatstore.interchange.chat_completions import search_text


def add_matches(messages: Sequence[str], query: Query) -> Sequence[str]:
    """Return the JSON texts of messages, each with the member `matches`.

    It lists the matches in `content` as [from, to], and is empty if search does not
    find the message.
    """
    return list(_with_matches(messages, Highlighter(query)))


def _with_matches(messages: Sequence[str], finder: Highlighter) -> Iterator[str]:
    for text in messages:
        message = orjson.loads(text)
        content = message.get("content") or ""
        matches = finder.matches(content, search_text(content, message))
        yield f'{text[:-1]},"matches":{orjson.dumps(matches).decode()}}}'
