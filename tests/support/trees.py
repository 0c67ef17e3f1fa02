"""Conversations that branch: random ones, their paths in Python, and their rows."""

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import insert

from chatstore.db import db
from chatstore.models import ChatSession, Message

MICROSECOND = timedelta(microseconds=1)
_START = datetime(2026, 1, 1, tzinfo=UTC)
# `parents[0]` is the `parent_seq` of message 1; None if it follows the seq before.
Parents = Sequence[int | None]


def random_parents(chance: random.Random, size: int) -> list[int | None]:
    """Return a random tree; how often it branches is random too."""
    often = chance.choice([0.05, 0.3, 1.0])
    parents: list[int | None] = [None]
    for seq in range(2, size + 1):
        parent = chance.randrange(seq) if chance.random() < often else seq - 1
        parents.append(None if parent == seq - 1 else parent)
    return parents[:size]


def parent_of(parents: Parents, seq: int) -> int:
    parent = parents[seq - 1]
    return seq - 1 if parent is None else parent


def walked(parents: Parents, head: int) -> list[int]:
    """Return the seqs of the path to `head`, ascending, found parent by parent."""
    path = []
    while head:
        path.append(head)
        head = parent_of(parents, head)
    return path[::-1]


def siblings_of(parents: Parents, seq: int) -> list[int]:
    """Return all messages with the parent of `seq`, itself included."""
    mine = parent_of(parents, seq)
    return [
        each for each in range(1, len(parents) + 1) if parent_of(parents, each) == mine
    ]


def plant(
    trees: Sequence[Parents],
    *,
    owner_id: str = "alice",
    roles: Sequence[str] = ("user",),
    **columns: Any,
) -> list[UUID]:
    """Insert a session for each tree and return the ids; the head is the last message.

    The content of message 7 is `m7`. Its role is `roles[7 % len(roles)]`.
    """
    ids = [uuid4() for _ in trees]
    # Numbers of sessions come from their instants, so each session has its own.
    starts = [_START + number * MICROSECOND for number in range(len(ids))]
    sessions = [
        _session_row(id_, owner_id, start, len(parents)) | columns
        for id_, start, parents in zip(ids, starts, trees, strict=True)
    ]
    db.session.execute(insert(ChatSession), sessions)
    rows = [
        {
            "session_id": id_,
            "seq": seq,
            "timestamp": start + seq * MICROSECOND,
            "role": roles[seq % len(roles)],
            "content": f"m{seq}",
            "parent_seq": parent,
        }
        for id_, start, parents in zip(ids, starts, trees, strict=True)
        for seq, parent in enumerate(parents, 1)
    ]
    if rows:
        db.session.execute(insert(Message), rows)
    db.session.commit()
    db.session.remove()
    return ids


def _session_row(id_: UUID, owner_id: str, start: Any, size: int) -> Mapping[str, Any]:
    return {
        "id": id_,
        "owner_id": owner_id,
        "created_at": start,
        "last_updated_at": start + size * MICROSECOND,
        "llm_model_name": "m",
        "rag_document_ids": [],
        "metadata_tags": [],
        "message_count": size,
        "last_seq": size,
        "last_message_preview": f"m{size}" if size else None,
    }
