"""Converts messages from and to the Chat Completions format.

The format is that of https://platform.openai.com/docs/api-reference/chat, which many
servers of language models share.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import orjson

from chatstore.fulltext.words import INDEXED_CHARACTERS

Content = str | Sequence[Mapping[str, Any]] | None

# The fields that a message may have besides its role and content. `parts` holds the
# content where it was not a text.
EXTRA_FIELDS = (
    "parts",
    "tool_calls",
    "tool_call_id",
    "name",
    "refusal",
    "annotations",
    "audio",
    "function_call",
    "model",
    "usage",
    "finish_reason",
    "created_at",
)
# The fields that a request may send to a model again.
_SENDABLE = ("tool_calls", "tool_call_id", "name", "refusal", "function_call", "audio")
# Fields that stand for a content, so that it may be null.
_INSTEAD_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")
# The members of a tool call that search finds.
_SEARCHED = ("name", "arguments", "input")
# One more than the index holds, so that a hit says that it holds a part only.
_MAX_SEARCH_TEXT = INDEXED_CHARACTERS + 1
_ESCAPE = re.compile(r"(?:\\u[0-9A-Fa-f]{4})+|\\.", re.DOTALL)
_MAX_ESCAPED = len("\\uffff") * _MAX_SEARCH_TEXT


def text_of(content: Content) -> str:
    """Return the content as text: its text parts, joined by a blank line."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = [part["text"] for part in content if part.get("type") == "text"]
    return "\n\n".join(texts)


def search_text(text: str, extra: Mapping[str, Any]) -> str | None:
    """Return the text to search: `text`, names and arguments of the tool calls.

    Returns None if the calls have none, so that `text` is all. The rest beyond
    `_MAX_SEARCH_TEXT` characters is cut off.
    """
    calls = [*(extra.get("tool_calls") or [])]
    if function := extra.get("function_call"):
        calls.append({"function": function})
    texts, length = [text], len(text)
    for word in (word for call in calls for word in _words_of_call(call)):
        if length > _MAX_SEARCH_TEXT:
            break
        texts.append(_without_escapes(word[:_MAX_ESCAPED]))
        length += len(texts[-1])
    if len(texts) == 1:
        return None
    return "\n".join(filter(None, texts))[:_MAX_SEARCH_TEXT]


def _words_of_call(call: Mapping[str, Any]) -> Iterator[str]:
    # The kind of a call, as "function" or "custom", names the member that holds it.
    called = [call, *(value for value in call.values() if isinstance(value, Mapping))]
    for value in (each.get(name) for each in called for name in _SEARCHED):
        if isinstance(value, Mapping | list):
            yield orjson.dumps(value).decode()
        elif isinstance(value, str):
            yield value


def _without_escapes(text: str) -> str:
    """Return JSON with its characters written out, other text unchanged.

    A word after an escape such as \\n would not be found. Numbers keep their digits.
    """
    return _ESCAPE.sub(_unescape, text) if text.lstrip()[:1] in ("{", "[") else text


def _unescape(escape: re.Match[str]) -> str:
    try:
        text: str = json.loads(f'"{escape[0]}"')
    except ValueError:
        return escape[0]
    # Databases keep neither NUL nor half of a surrogate pair.
    pairs = text.encode("utf-16", "surrogatepass")
    return pairs.decode("utf-16", "replace").replace("\0", "\N{REPLACEMENT CHARACTER}")


def as_request_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as a request to a model takes it.

    `message` has `role`, `content` and those of `EXTRA_FIELDS` that were given. Content
    has the form in which it came, a text or a list of parts. An empty list is an empty
    text; null stays null if another field stands for the content.
    """
    fields = {name: message[name] for name in _SENDABLE if message.get(name)}
    if "audio" in fields and "id" in fields["audio"]:
        # A request refers to the audio of an answer and must not repeat it.
        fields["audio"] = {"id": fields["audio"]["id"]}
    content = message.get("parts", message["content"])
    if not content:
        is_null = "parts" in message and content is None
        has_other = any(name in fields for name in _INSTEAD_OF_CONTENT)
        content = None if is_null and has_other else ""
    return {"role": message["role"], "content": content, **fields}


def request_messages(texts: Iterable[str]) -> list[str]:
    """Return messages, as JSON texts of the API, as texts for a request to a model.

    Deleted messages are left out.
    """
    messages = map(orjson.loads, texts)
    return [
        orjson.dumps(as_request_message(each)).decode()
        for each in messages
        if "deleted_at" not in each
    ]
