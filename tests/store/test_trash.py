from concurrent.futures import ThreadPoolExecutor
from functools import partial
from threading import Barrier

import pytest
from sqlalchemy import select

from chatstore.db import db, run_write, transaction
from chatstore.enums import BulkAction
from chatstore.errors import ExternalIdTaken, NotFound, ValidationFailed
from chatstore.models import ChatSession, Message, SessionFacet
from chatstore.models.sessions import TRASH_OWNER
from chatstore.services.background_deletions import finish_deletions
from chatstore.store import stats
from chatstore.store.bulk import BOUNDS, Bounds, BulkChange, WholeTrash, change_sessions
from chatstore.store.search import rebuild
from chatstore.store.sessions import (
    create_session,
    delete_session,
    update_session,
)
from chatstore.store.trash import restore_session, trash_session
from chatstore.store.verify.checks import CHECKS
from tests.support import count
from tests.support.crowd import fill_sessions
from tests.support.statements import MOST_TO_WRITE, statements_of_write

ALICE = {"owner_id": "alice"}


@pytest.fixture
def chat(db_session, make_session):
    return make_session(
        owner_id="alice",
        name="Plan",
        messages=3,
        metadata_tags=["t"],
        rag_document_ids=["d"],
        metadata={"k": "v"},
    )


ALL = tuple(check.name for check in CHECKS)


def violations(names=ALL):
    db.session.remove()
    return [each for check in CHECKS if check.name in names for each in check.find()]


def in_trash():
    db.session.remove()
    query = select(ChatSession.id).where(ChatSession.owner_id == TRASH_OWNER)
    return set(db.session.scalars(query))


def change(action, selected, *, bounds=BOUNDS, is_dry_run=False):
    return run_write(
        change_sessions,
        BulkChange(BulkAction(action), has_trash=True),
        owner_id="alice",
        selected=selected,
        max_sessions=10_000,
        is_dry_run=is_dry_run,
        bounds=bounds,
    )


@pytest.mark.parametrize("work", [trash_session, restore_session])
def test_it_costs_the_same_for_any_number_of_messages(chat, work):
    if work is restore_session:
        run_write(trash_session, chat.id, **ALICE)
    statements = statements_of_write(work, chat.id, **ALICE)
    assert len(statements) <= MOST_TO_WRITE, statements
    written = [each for each in statements if not each.startswith("SELECT")]
    for table in ("chat_messages", "message_index", "name_index"):
        assert not any(table in each for each in written), statements


def test_the_data_is_sound_in_the_trash_and_afterwards(chat):
    run_write(trash_session, chat.id, **ALICE)
    assert violations() == []
    assert count(db.session, SessionFacet) == 0
    assert (stats.count_sessions(), stats.count_trash()) == (0, 1)
    assert stats.get_stats()["sessions in the trash"] == 1
    run_write(restore_session, chat.id, **ALICE)
    assert violations() == []
    assert count(db.session, SessionFacet) == 3
    assert (stats.count_sessions(), stats.count_trash()) == (1, 0)


def test_damage_in_the_trash_is_found(chat):
    run_write(trash_session, chat.id, **ALICE)
    with transaction():
        db.session.execute(Message.__table__.delete().where(Message.seq == 2))
    assert any("must have seq 1 to 3" in each for each in violations())


def test_the_index_is_rebuilt_for_the_trash_too(chat):
    run_write(trash_session, chat.id, **ALICE)
    for index in ("name_index", "message_index"):
        run_write(rebuild.reindex_batch, index, after=0)
    assert violations() == []
    run_write(restore_session, chat.id, **ALICE)
    assert violations() == []


def test_a_session_keeps_its_revisions_in_order(chat):
    before = chat.revision
    run_write(trash_session, chat.id, **ALICE)
    restored = run_write(restore_session, chat.id, **ALICE)
    assert restored.revision == before + 2
    assert (restored.owner_id, restored.former_owner_id) == ("alice", None)
    assert restored.trashed_at is None


def attempt(app, work, barrier, **keywords):
    with app.app_context():
        barrier.wait()
        try:
            run_write(work, **ALICE, **keywords)
        except NotFound:
            return "missing"
        return "done"


def at_once(app, *works, **keywords):
    """Run the works in threads that begin together; return their outcomes."""
    barrier = Barrier(len(works))
    with ThreadPoolExecutor(len(works)) as pool:
        runs = [pool.submit(attempt, app, work, barrier, **keywords) for work in works]
        return [run.result() for run in runs]


def purge_session(session_id, **keywords):
    return delete_session(session_id, includes_trash=True, **keywords)


@pytest.mark.parametrize("number", range(5))
def test_of_a_restore_and_a_purge_at_once_the_purge_wins(app, chat, number):
    run_write(trash_session, chat.id, **ALICE)
    _, purged = at_once(app, restore_session, purge_session, session_id=chat.id)
    assert purged == "done"
    db.session.remove()
    assert count(db.session, ChatSession) == count(db.session, Message) == 0
    assert count(db.session, SessionFacet) == 0
    assert violations() == []


@pytest.mark.parametrize("work", [restore_session, trash_session])
def test_of_two_at_once_one_has_an_effect(app, chat, work):
    if work is restore_session:
        run_write(trash_session, chat.id, **ALICE)
    outcomes = at_once(app, work, work, session_id=chat.id)
    assert sorted(outcomes) == ["done", "missing"]
    assert violations() == []
    assert db.session.get(ChatSession, chat.id).revision == (
        6 if work is restore_session else 5
    )


def test_bulk_restores_what_it_deleted_whatever_its_size(db_session):
    of_lists = ("facets", "names")
    rows = fill_sessions(1300)
    with transaction():
        db.session.execute(
            ChatSession.__table__.update().values(archived_at=None, owner_id="alice")
        )
    ids = [row["id"] for row in rows]
    assert violations(of_lists) == []
    before = count(db.session, SessionFacet)
    assert set(change("delete", ids).changed_ids) == set(ids) == in_trash()
    assert violations(of_lists) == []
    assert change("restore", ids).changed == 1300
    assert (count(db.session, SessionFacet), in_trash()) == (before, set())
    assert violations(of_lists) == []


@pytest.mark.parametrize("is_dry_run", [False, True])
def test_too_many_facets_at_once_restore_none(chat, make_session, is_dry_run):
    other = make_session(owner_id="alice", metadata_tags=["t", "u"])
    change("delete", [chat.id, other.id])
    keywords = {"selected": WholeTrash(), "is_dry_run": is_dry_run}
    with pytest.raises(ValidationFailed):
        change("restore", **keywords, bounds=Bounds(max_changed_facets=4))
    assert in_trash() == {chat.id, other.id}
    bounds = Bounds(max_changed_facets=5)
    assert change("restore", **keywords, bounds=bounds).changed == 2
    change("delete", [chat.id])
    assert change("restore", [chat.id], bounds=Bounds(max_changed_facets=1)).changed


def test_bulk_restores_no_two_sessions_with_one_external_id(db_session, make_session):
    chats = []
    for _ in range(2):
        chats.append(make_session(owner_id="alice", external_id="e"))
        run_write(trash_session, chats[-1].id, **ALICE)
    with pytest.raises(ExternalIdTaken):
        change("restore", WholeTrash())
    assert in_trash() == {chat.id for chat in chats}
    assert change("restore", [chats[0].id]).changed == 1
    with pytest.raises(ExternalIdTaken, match=str(chats[0].id)):
        change("restore", [chats[1].id])
    run_write(update_session, chats[0].id, **ALICE, changes={"external_id": "f"})
    assert change("restore", [chats[1].id]).changed == 1


def test_a_large_session_is_purged_from_the_trash_in_batches(chat):
    run_write(trash_session, chat.id, **ALICE)
    small = Bounds().deletion.__class__(max_messages=2)
    assert run_write(
        delete_session, chat.id, **ALICE, includes_trash=True, bounds=small
    )
    assert in_trash() == set()
    with pytest.raises(NotFound):
        run_write(restore_session, chat.id, **ALICE)
    assert finish_deletions(bounds=small)
    assert count(db.session, ChatSession) == 0
    assert violations() == []


@pytest.mark.parametrize("number", range(3))
def test_of_a_restore_and_a_creation_at_once_one_gets_the_external_id(
    app, db_session, make_session, number
):
    chat = make_session(owner_id="alice", external_id="e")
    run_write(trash_session, chat.id, **ALICE)
    create = partial(create_session, llm_model_name="m", external_id="e")
    barrier = Barrier(2)

    def work(function):
        with app.app_context():
            barrier.wait()
            try:
                return run_write(function, **ALICE).external_id
            except ExternalIdTaken:
                return None

    with ThreadPoolExecutor(2) as pool:
        works = [partial(restore_session, chat.id), create]
        outcomes = list(pool.map(work, works))
    assert sorted(map(str, outcomes)) == ["None", "e"]
    assert in_trash() == ({chat.id} if outcomes[0] is None else set())
    assert violations() == []
