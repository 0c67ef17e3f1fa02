"""Fills a database with many sessions at once, as the store would have created them."""

import random
from datetime import UTC, datetime, timedelta
from itertools import count as counter
from itertools import islice
from uuid import UUID

from sqlalchemy import insert, text

from chatstore.db import db
from chatstore.models import ChatSession, SessionFacet
from chatstore.store.facets import COLUMNS, facet_values
from chatstore.store.sessions import folded_name

START = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
# The store's numbers would repeat at these few instants, so count here.
NUMBERS = counter(1)
WORDS = ["Plan", "Café", "straße", "Tax", "数据库", "Ελλάδα"]


def fill_sessions(count, *, owner_id="alice", seed=0):
    """Add and commit `count` sessions; return their columns, unordered.

    Half of them have the tag `often`, one in a hundred `seldom`; many share an instant.
    The metadata of two in three has the team `a`, and that of one in 99 any one rank.
    """
    chance = random.Random(seed)
    numbers = islice(NUMBERS, count)
    rows = [
        _columns(chance, owner_id) | {"number": number, "external_id": f"e/{place}"}
        for place, number in enumerate(numbers)
    ]
    facets = [
        {"session_id": row["id"], "kind": kind, "value": value, "owner_id": owner_id}
        for row in rows
        for kind, column in COLUMNS.items()
        for value in facet_values(kind, row[column.strip("_")])
    ]
    db.session.execute(insert(ChatSession.__table__), rows)
    if facets:
        db.session.execute(insert(SessionFacet.__table__), facets)
    db.session.commit()
    if db.engine.dialect.name == "postgresql":
        db.session.execute(text("ANALYZE sessions, session_facets"))
        db.session.commit()
    return rows


def _columns(chance, owner_id):
    created = START + timedelta(minutes=chance.randrange(1000))
    name = " ".join(chance.choices(WORDS, k=chance.randrange(3))) or None
    often = [tag for tag in ("often", "other") if chance.random() < 0.5]
    return {
        "id": UUID(int=chance.getrandbits(128), version=4),
        "owner_id": owner_id,
        "name": name,
        "name_folded": folded_name(name),
        "created_at": created,
        "last_updated_at": created + timedelta(minutes=chance.randrange(10)),
        "llm_model_name": chance.choice(["m1", "m1", "m2"]),
        "rag_document_ids": ["d"] if chance.random() < 0.1 else [],
        "metadata_tags": often + (["seldom"] if chance.random() < 0.01 else []),
        "pinned": chance.random() < 0.01,
        "metadata": {
            "team": chance.choice(["a", "a", "b"]),
            "rank": chance.randrange(99),
        },
        "archived_at": START if chance.random() < 0.1 else None,
    }


def number_after(number):
    """Return the number that this process issues after `number` at the same instant."""
    instant, count = divmod(number, 2048)
    return instant * 2048 + (count + 1) % 2048
