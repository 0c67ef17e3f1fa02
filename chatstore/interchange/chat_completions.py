"""Messages of the Chat Completions format, as clients send and store them.

The format is that of https://platform.openai.com/docs/api-reference/chat, which many
servers of language models share.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

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
_SENDABLE = ("tool_calls", "tool_call_id", "name", "refusal", "function_call")


def text_of(content: Content) -> str:
    """Return the content as text: its text parts, joined by a blank line."""
    if content is None or isinstance(content, str):
        return content or ""
    texts = [part["text"] for part in content if part.get("type") == "text"]
    return "\n\n".join(texts)


def search_text(text: str, extra: Mapping[str, Any]) -> str | None:
    """Return the text to search: `text`, names and arguments of the tool calls.

    Returns None if there are no tool calls, so that `text` is all.
    """
    calls = [*(extra.get("tool_calls") or [])]
    if function := extra.get("function_call"):
        calls.append({"function": function})
    words = [word for call in calls for word in _words_of_call(call)]
    if not words:
        return None
    return "\n\n".join([text, *words] if text else words)


def _words_of_call(call: Mapping[str, Any]) -> list[str]:
    # The kind of a call, as "function" or "custom", names the member that holds it.
    called = [call, *(value for value in call.values() if isinstance(value, Mapping))]
    texts = (each.get(name) for each in called for name in ("name", *_ARGUMENTS))
    return [_without_escapes(text) for text in texts if isinstance(text, str)]


_ARGUMENTS = ("arguments", "input")


def _without_escapes(text: str) -> str:
    """Return JSON with its characters written out, so that a word is found as it is."""
    try:
        return orjson.dumps(orjson.loads(text)).decode()
    except (orjson.JSONDecodeError, TypeError):
        return text


def as_request_message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a stored message as a request to a model takes it.

    `message` has `role`, `content` and those of `EXTRA_FIELDS` that were given. Content
    has the form in which it came: a text, a list of parts, or null.
    """
    content = message["parts"] if "parts" in message else message["content"]
    fields = {name: message[name] for name in _SENDABLE if name in message}
    return {"role": message["role"], "content": content, **fields}
