"""What a session said is nowhere after its purge: in no table, file or log."""

import json
from pathlib import Path

import pytest
from sqlalchemy import MetaData, inspect, text

from chatstore.db import db
from chatstore.fulltext.index_format import is_index_table
from chatstore.services.purges import Rules, compact_index, purge
from tests.support import SESSIONS, messages_url, session_url

BULK = f"{SESSIONS}bulk"


def keyed(name):
    return {"Idempotency-Key": name}


def word(place):
    """A word that is one in the index too, and differs from place to place."""
    return f"canary{place}"


def fill(client):
    """Store a canary wherever a text can be; return the sessions."""
    body = {
        "name": word("name"),
        "metadata_tags": [word("tag")],
        "rag_document_ids": [word("document")],
        "metadata": {word("key"): word("value")},
        "external_id": word("external"),
        "llm_model_name": word("model"),
        "messages": [{"content": word("first"), "metadata": {"m": word("metadata")}}],
    }
    chat = client.post(SESSIONS, json=body, headers=keyed("a")).json
    call = {"function": {"name": word("function"), "arguments": word("arguments")}}
    parts = [{"type": "text", "text": word("part")}, {"type": "x", "x": word("other")}]
    turns = [
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"content": parts, "name": word("speaker")},
        {"role": "assistant", "content": word("long") * 3000},
    ]
    url = messages_url(chat)
    made = client.post(f"{url}/batch", json={"messages": turns}, headers=keyed("b"))
    one = client.post(url, json={"content": word("single")}, headers=keyed("c")).json
    client.patch(f"{url}/{one['id']}", json={"content": word("edited")})
    rating = {"rating": 1, "comment": word("comment"), "labels": [word("label")]}
    client.put(f"{url}/{one['id']}/feedback", json=rating)
    fork = client.post(
        f"{session_url(chat)}/fork", json={"name": word("fork")}, headers=keyed("d")
    ).json
    empty = client.post(SESSIONS, json={"name": word("empty")}, headers=keyed("e")).json
    client.get(f"/api/v1/search?q={word('first')}")
    client.delete(session_url(chat))
    client.post(f"{session_url(chat)}/restore", headers=keyed("f"))
    client.patch(session_url(chat), json={"name": word("renamed")})
    assert made.status_code == 201
    return [chat, fork, empty]


def tables_with_it():
    """Return the names of tables that hold a canary in some row."""
    db.session.remove()
    connection = db.session.connection()
    metadata = MetaData()
    metadata.reflect(connection)
    found = {
        table.name
        for table in metadata.sorted_tables
        for row in connection.execute(table.select())
        if any("canary" in repr(value) for value in row)
    }
    assert any(map(is_index_table, inspect(connection).get_table_names()))
    return found


def files_with_it(folder):
    return {each.name for each in folder.iterdir() if b"canary" in each.read_bytes()}


def purge_at_once(client, chats):
    for chat in chats:
        assert client.delete(f"{session_url(chat)}?purge=true").status_code == 204


def purge_in_bulk(client, chats):
    client.post(BULK, json={"action": "delete", "all": True})
    body = {"action": "purge", "trash": True}
    assert client.post(BULK, json=body).json["changed"] == len(chats)


def purge_after_a_while(client, chats):
    client.post(BULK, json={"action": "delete", "all": True})
    with client.application.app_context():
        assert purge(Rules(trash_seconds=0)) == {"trash": len(chats)}


@pytest.mark.parametrize("get_rid", [purge_at_once, purge_in_bulk, purge_after_a_while])
def test_what_a_purged_session_said_is_nowhere(
    alice, app, database_url, tmp_path, caplog, get_rid
):
    caplog.set_level("DEBUG")
    chats = fill(alice)
    with app.app_context():
        before = tables_with_it()
    expected = {"sessions", "session_facets", "chat_messages", "message_revisions"}
    assert before >= expected | {"idempotency_records"}
    get_rid(alice, chats)
    with app.app_context():
        compact_index()
        assert tables_with_it() == set()
        db.session.remove()
        if database_url.startswith("sqlite"):
            db.engine.dispose()
            with db.engine.connect() as connection:
                # What is left in the log is what a checkpoint could not move.
                connection.execute(text("PRAGMA wal_checkpoint(TRUNCATE)"))
            assert (
                files_with_it(Path(database_url.removeprefix("sqlite:///")).parent)
                == set()
            )
    assert "canary" not in caplog.text


def test_the_canary_is_found_before(alice, database_url, tmp_path):
    """The search for it can fail: files and answers hold it until the purge."""
    (chat, *_) = fill(alice)
    assert "canary" in json.dumps(alice.get(session_url(chat)).json)
    if database_url.startswith("sqlite"):
        assert files_with_it(Path(database_url.removeprefix("sqlite:///")).parent)
