"""Reads the conversations of the demo from the TOML files of this folder.

A file has `model` and `days_ago`, when its last message was written, and may have
`name`, `tags`, `documents`, `pinned` and `archived`. Each of its `messages` has `role`
and `content`, and may have `follows` (the seq before it, where it begins a branch),
`wait` (seconds since the message before it), `calls`, `answers` (the id of a call),
`model`, `rating` and `comment`.
"""

import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib.resources import files
from typing import Any

from chatstore.demo.arithmetic import lessons

# Sessions whose external id begins so belong to the demo.
PREFIX = "chatstore-demo:"


@dataclass(frozen=True)
class Turn:
    """A message, written `wait` after the one before it."""

    role: str
    content: str
    wait: timedelta
    extra: Mapping[str, Any]
    parent_seq: int | None
    feedback: Mapping[str, Any]


@dataclass(frozen=True)
class Conversation:
    """A session: `columns` to create it, its turns, and `changes` to make at the end.

    Its last turn was written `ago` before now.
    """

    external_id: str
    columns: Mapping[str, Any]
    changes: Mapping[str, Any]
    turns: Sequence[Turn]
    ago: timedelta

    def offsets(self) -> list[timedelta]:
        """Return how long before now each turn was written."""
        ago, offsets = self.ago, []
        for turn in reversed(self.turns):
            offsets.append(ago)
            ago += turn.wait
        return offsets[::-1]


def load_conversations() -> list[Conversation]:
    """Return all conversations, the oldest first."""
    found = [_load_conversation(name, data) for name, data in _read_files()]
    return sorted(found, key=lambda each: each.ago, reverse=True)


def _read_files() -> Iterator[tuple[str, dict[str, Any]]]:
    for file in files("chatstore.demo").iterdir():
        name, _, kind = file.name.rpartition(".")
        if kind == "toml":
            yield name, tomllib.loads(file.read_text("utf-8"))
    yield "arithmetic", lessons()


def _load_conversation(name: str, data: Mapping[str, Any]) -> Conversation:
    columns = {
        "name": data.get("name"),
        "llm_model_name": data["model"],
        "metadata_tags": data.get("tags", []),
        "rag_document_ids": data.get("documents", []),
    }
    flags = ("pinned", "archived")
    changes = {flag: True for flag in flags if data.get(flag)}
    return Conversation(
        external_id=f"{PREFIX}{name}",
        columns=columns,
        changes=changes,
        turns=list(_load_turns(data["messages"])),
        ago=timedelta(days=data["days_ago"]),
    )


def _load_turns(messages: Sequence[Mapping[str, Any]]) -> Iterator[Turn]:
    read = 0  # characters that the model has read
    for message in messages:
        content = message["content"].strip("\n")
        extra = {
            "tool_calls": [_to_tool_call(call) for call in message.get("calls", ())],
            "tool_call_id": message.get("answers"),
            "model": message.get("model"),
        }
        wait = 75 + len(content) / 3
        if message["role"] in ("assistant", "tool"):
            wait = 2 + len(content) / 120
        if message["role"] == "assistant":
            # A token has about four characters.
            extra["usage"] = {
                "input_tokens": 20 + read // 4,
                "output_tokens": 12 + len(content) // 4,
            }
            extra["finish_reason"] = "tool_calls" if extra["tool_calls"] else "stop"
        read += len(content)
        marks = ("rating", "comment")
        yield Turn(
            role=message["role"],
            content=content,
            wait=timedelta(seconds=message.get("wait", wait)),
            extra={key: value for key, value in extra.items() if value},
            parent_seq=message.get("follows"),
            feedback={mark: message[mark] for mark in marks if mark in message},
        )


def _to_tool_call(call: Mapping[str, Any]) -> dict[str, Any]:
    arguments = json.dumps(call["arguments"], ensure_ascii=False)
    function = {"name": call["name"], "arguments": arguments}
    return {"id": call["id"], "type": "function", "function": function}
