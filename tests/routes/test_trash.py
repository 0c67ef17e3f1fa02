"""Deleting sessions into the trash, restoring and purging them."""

from datetime import timedelta

import pytest

from chatstore.db import db
from chatstore.models import ChatSession, Message
from chatstore.services.purges import Rules, purge
from tests.support import (
    API,
    MISSING_ID,
    SESSIONS,
    assert_problem,
    count,
    messages_url,
    session_url,
)

BULK = f"{SESSIONS}bulk"
TRASH = f"{SESSIONS}?trash=true"
KEY = {"Idempotency-Key": "k"}


@pytest.fixture
def full(alice):
    """A session with everything that a list, a search or a filter finds it by."""
    body = {
        "name": "Pension plans",
        "external_id": "ticket/1",
        "metadata_tags": ["support"],
        "rag_document_ids": ["handbook"],
        "metadata": {"team": "red"},
        "llm_model_name": "rare-model",
        "messages": [
            {"content": "Which one suits me?"},
            {"role": "assistant", "content": "The flexible one."},
        ],
    }
    chat = alice.post(SESSIONS, json=body).json
    (first, _) = alice.get(messages_url(chat)).json["messages"]
    rated = {"rating": 1, "comment": "good"}
    alice.put(f"{messages_url(chat)}/{first['id']}/feedback", json=rated)
    return chat


def sightings(client):
    """Return what lists, counts and searches show of the session `full`."""
    return [
        client.get(f"{SESSIONS}?count=true&archived=any").json["total"],
        client.get(f"{SESSIONS}?tag=support").json["sessions"],
        client.get(f"{SESSIONS}?document=handbook").json["sessions"],
        client.get(f"{SESSIONS}?metadata=team:red").json["sessions"],
        client.get(f"{SESSIONS}?external_id=ticket/1").json["sessions"],
        client.get(f"{API}/tags").json["tags"],
        client.get(f"{API}/models").json["models"],
        client.get(f"{API}/search?q=flexible").json["hits"],
        client.get(f"{API}/search?q=pension").json["hits"],
        client.get(f"{API}/feedback").json["messages"],
    ]


def restore(client, chat, **keywords):
    return client.post(f"{session_url(chat)}/restore", **keywords)


def test_a_deleted_session_is_seen_nowhere(alice, full):
    assert all(sightings(alice))
    assert alice.delete(session_url(full)).status_code == 204
    assert not any(sightings(alice))
    for url in (session_url(full), messages_url(full), f"{session_url(full)}/path"):
        assert_problem(alice.get(url), 404)
    assert_problem(alice.get(f"{SESSIONS}by-external-id/ticket/1"), 404)
    assert_problem(alice.post(messages_url(full), json={"content": "x"}), 404)
    assert_problem(alice.post(f"{session_url(full)}/fork", json={}), 404)
    assert_problem(alice.patch(session_url(full), json={"name": "x"}), 404)
    assert_problem(alice.delete(session_url(full)), 404)


def test_a_restored_session_is_whole(alice, full):
    before = alice.get(session_url(full)).json, alice.get(messages_url(full)).json
    seen = sightings(alice)
    alice.delete(session_url(full))
    answer = restore(alice, full)
    assert answer.status_code == 200
    assert answer.json == before[0]
    assert answer.headers["ETag"] == alice.get(session_url(full)).headers["ETag"]
    assert (alice.get(session_url(full)).json, alice.get(messages_url(full)).json) == (
        before
    )
    assert sightings(alice) == seen
    assert alice.post(messages_url(full), json={"content": "x"}).json["seq"] == 3
    assert alice.get(TRASH).json["sessions"] == []


def test_the_trash_lists_the_last_deleted_first(alice, make_session, clock):
    chats = [make_session(name=name) for name in "abc"]
    deleted_at = {}
    for chat in (chats[1], chats[2], chats[0]):
        alice.delete(session_url(chat))
        deleted_at[chat.name] = clock.iso
    page = alice.get(f"{TRASH}&count=true").json
    assert [each["name"] for each in page["sessions"]] == ["a", "c", "b"]
    assert {each["name"]: each["trashed_at"] for each in page["sessions"]} == deleted_at
    assert page["total"] == 3
    first = alice.get(f"{TRASH}&limit=2").json
    second = alice.get(f"{TRASH}&limit=2&cursor={first['next_cursor']}").json
    assert [each["name"] for each in second["sessions"]] == ["b"]
    assert second["next_cursor"] is None
    back = alice.get(f"{TRASH}&limit=2&cursor={second['previous_cursor']}").json
    assert back["sessions"] == first["sessions"] == page["sessions"][:2]
    assert alice.get(f"{TRASH}&offset=1").json["sessions"] == page["sessions"][1:]
    other = f"{SESSIONS}?limit=2&cursor={first['next_cursor']}"
    assert_problem(alice.get(other), 400)


def test_a_list_without_the_trash_shows_no_time_of_deletion(alice, full):
    (listed,) = alice.get(f"{SESSIONS}?trash=false").json["sessions"]
    assert "trashed_at" not in listed


@pytest.mark.parametrize("other", ["tag=a", "sort=name", "archived=any", "order=asc"])
def test_the_list_of_the_trash_has_no_filters(alice, other):
    pointer = f"/{other.partition('=')[0]}"
    assert_problem(alice.get(f"{TRASH}&{other}"), 422, pointer=pointer)


def test_only_what_is_in_the_callers_trash_is_restored(alice, app, make_session):
    chat, others = make_session(), make_session(owner_id="bob")
    with app.app_context():
        from_bob = db.session.get(ChatSession, others.id)
        from_bob.owner_id, from_bob.former_owner_id = "  ", "bob"
        from_bob.trashed_at = from_bob.created_at
        db.session.commit()
    for each in (chat, others, {"id": MISSING_ID}):
        assert_problem(restore(alice, each), 404)
        body = {"action": "restore", "ids": [str(dict_id(each))]}
        assert alice.post(BULK, json=body).json["matched"] == 0
    assert_problem(alice.delete(f"{session_url(others)}?purge=true"), 404)
    assert alice.get(TRASH).json["sessions"] == []
    assert (
        alice.post(BULK, json={"action": "purge", "trash": True}).json["matched"] == 0
    )


def dict_id(chat):
    return chat["id"] if isinstance(chat, dict) else chat.id


def test_a_session_is_restored_once_and_deleted_again(alice, make_session):
    chat = make_session(messages=1)
    for _ in range(2):
        assert alice.delete(session_url(chat)).status_code == 204
        assert_problem(alice.delete(session_url(chat)), 404)
        assert restore(alice, chat).status_code == 200
        assert_problem(restore(alice, chat), 404)


def test_a_restore_with_a_key_is_repeated(alice, make_session):
    chat = make_session(messages=1)
    alice.delete(session_url(chat))
    first, second = (restore(alice, chat, headers=KEY) for _ in range(2))
    assert first.data == second.data
    assert second.headers["Idempotency-Replayed"] == "true"
    alice.delete(f"{session_url(chat)}?purge=true")
    assert_problem(restore(alice, chat, headers=KEY), 410)


def test_a_deleted_message_is_in_no_stored_answer_of_a_restore(alice, make_session):
    chat = make_session(messages=2)
    alice.delete(session_url(chat))
    assert "m2" in restore(alice, chat, headers=KEY).text
    last = alice.get(messages_url(chat)).json["messages"][1]
    alice.delete(f"{messages_url(chat)}/{last['id']}")
    assert_problem(restore(alice, chat, headers=KEY), 410)


def test_an_external_id_that_was_taken_meanwhile_loses_nothing(alice, full):
    alice.delete(session_url(full))
    new = alice.post(SESSIONS, json={"external_id": "ticket/1"}).json
    problem = assert_problem(restore(alice, full), 409, detail=new["id"])
    assert problem["type"].endswith(":external-id-taken")
    body = {"action": "restore", "trash": True}
    assert_problem(alice.post(BULK, json=body), 409, detail=new["id"])
    assert len(alice.get(TRASH).json["sessions"]) == 1
    alice.patch(session_url(new), json={"external_id": None})
    assert restore(alice, full).json == full | {"message_count": 2}


def rows(app):
    with app.app_context():
        return count(db.session, ChatSession), count(db.session, Message)


@pytest.mark.parametrize("is_trashed", [False, True])
def test_a_purge_is_at_once_and_for_good(alice, app, make_session, is_trashed):
    chat = make_session(messages=2)
    if is_trashed:
        alice.delete(session_url(chat))
    url = f"{session_url(chat)}?purge=true"
    assert_problem(alice.delete(url, headers={"If-Match": '"1"'}), 412)
    tag = '"4"' if is_trashed else '"3"'
    assert alice.delete(url, headers={"If-Match": tag}).status_code == 204
    assert rows(app) == (0, 0)
    assert_problem(alice.delete(url), 404)
    assert_problem(restore(alice, chat), 404)


@pytest.mark.parametrize("value", ["1", "yes", ""])
def test_purge_is_true_or_false(alice, make_session, value):
    url = f"{session_url(make_session())}?purge={value}"
    assert_problem(alice.delete(url), 422, pointer="/purge")


def test_a_server_without_a_trash_deletes_at_once(make_app, make_session, app):
    client = make_app(trash_seconds=0).test_client()
    chats = [make_session(messages=1) for _ in range(2)]
    assert client.delete(session_url(chats[0])).status_code == 204
    assert rows(app) == (1, 1)
    assert (
        client.post(BULK, json={"action": "delete", "all": True}).json["changed"] == 1
    )
    assert rows(app) == (0, 0)


# Bulk changes


def test_an_undo_touches_only_what_was_changed(alice, make_session):
    chats = [make_session(name=name, metadata_tags=["t"]) for name in "abc"]
    alice.delete(session_url(chats[0]))
    deleted = alice.post(BULK, json={"action": "delete", "all": True}).json
    assert deleted["changed_ids"] == sorted(str(chat.id) for chat in chats[1:])
    undo = {"action": "restore", "ids": deleted["changed_ids"]}
    tried = alice.post(BULK, json=undo | {"dry_run": True}).json
    assert (tried["changed"], alice.get(SESSIONS).json["sessions"]) == (2, [])
    assert alice.post(BULK, json=undo).json["changed_ids"] == deleted["changed_ids"]
    (left,) = alice.get(TRASH).json["sessions"]
    assert left["name"] == "a"
    assert alice.get(f"{API}/tags").json["tags"] == [{"tag": "t", "sessions": 2}]
    assert alice.post(BULK, json=undo).json["changed_ids"] == []


def test_bulk_purges_the_trash_and_what_is_named(alice, app, make_session):
    chats = [make_session(messages=1) for _ in range(5)]
    for chat in chats[:3]:
        alice.delete(session_url(chat))
    ids = [str(chats[0].id), str(chats[4].id)]
    assert alice.post(BULK, json={"action": "purge", "ids": ids}).json["changed"] == 2
    assert rows(app) == (3, 3)
    assert (
        alice.post(BULK, json={"action": "purge", "trash": True}).json["changed"] == 2
    )
    assert rows(app) == (1, 1)
    assert alice.post(BULK, json={"action": "purge", "all": True}).json["changed"] == 1
    assert rows(app) == (0, 0)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"action": "restore", "all": True}, "/all"),
        ({"action": "restore", "filter": {"pinned": True}}, "/filter"),
        ({"action": "delete", "trash": True}, "/trash"),
        ({"action": "purge", "trash": False}, "/trash"),
        ({"action": "purge", "trash": True, "ids": []}, ""),
        ({"action": "purge", "filter": {}}, "/filter"),
        ({"action": "restore", "ids": [], "tags": ["t"]}, "/tags"),
    ],
)
def test_bulk_refuses_what_the_action_does_not_take(alice, body, pointer):
    assert_problem(alice.post(BULK, json=body), 422, pointer=pointer)


def test_bulk_refuses_a_trash_that_is_too_large(make_app, make_session):
    client = make_app(max_bulk_sessions=1).test_client()
    for _ in range(2):
        client.delete(session_url(make_session()))
    for action in ("restore", "purge"):
        answer = client.post(BULK, json={"action": action, "trash": True})
        assert_problem(answer, 422, pointer="/trash")
    assert len(client.get(TRASH).json["sessions"]) == 2


# Expiry


FAR = "2999-01-01T00:00:00.000000Z"


def test_a_session_may_expire(alice):
    chat = alice.post(SESSIONS, json={"expires_at": FAR}).json
    assert chat["expires_at"] == FAR
    changed = alice.patch(session_url(chat), json={"expires_at": None}).json
    assert changed["expires_at"] is None
    changed = alice.patch(session_url(chat), json={"expires_at": FAR}).json
    assert (
        changed["expires_at"] == FAR == alice.get(session_url(chat)).json["expires_at"]
    )
    fork = alice.post(f"{session_url(chat)}/fork", json={}).json
    assert fork["expires_at"] == FAR


@pytest.mark.parametrize("value", ["2020-01-01T00:00:00Z", "tomorrow", 1, ""])
def test_a_session_may_not_expire_before_now(alice, make_session, value):
    body = {"expires_at": value}
    assert_problem(alice.post(SESSIONS, json=body), 422, pointer="/expires_at")
    answer = alice.patch(session_url(make_session()), json=body)
    assert_problem(answer, 422, pointer="/expires_at")


def test_a_session_that_expires_is_gone_for_good(alice, app, clock):
    at = clock.now + timedelta(minutes=1)
    body = {"expires_at": at.isoformat(), "messages": [{"content": "x"}]}
    chat = alice.post(SESSIONS, json=body, headers=KEY).json
    with app.app_context():
        assert purge(Rules(trash_seconds=86_400)) == {}
    assert alice.get(session_url(chat)).status_code == 200
    clock.now += timedelta(minutes=2)
    assert alice.post(SESSIONS, json=body, headers=KEY).json == chat
    with app.app_context():
        assert purge(Rules(trash_seconds=86_400)) == {"expired": 1}
    assert rows(app) == (0, 0)
    assert_problem(restore(alice, chat), 404)
