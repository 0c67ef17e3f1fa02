"""Step 0013 folds the tags by which lists find sessions; down restores them."""

import re
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command

from chatstore.app import create_app
from chatstore.clock import format_instant, utc_now
from chatstore.db import db, run_write
from chatstore.db.revisions import alembic_config, migrate, migrations_folder
from chatstore.store.facets import tag_value
from chatstore.store.rebuild_lists import rebuild_batch
from chatstore.store.tags import list_tags
from chatstore.store.verify.lists import find_wrong_facets
from tests.support import make_settings

(STEP,) = (migrations_folder() / "versions").glob("*_find_tags_in_any_case.py")
REVISION = STEP.name[:4]
(BEFORE,) = re.findall(r'^down_revision = "(\d+)"$', STEP.read_text(), re.MULTILINE)
BATCH = int(re.search(r"^SESSIONS, .* = (\d+),", STEP.read_text(), re.MULTILINE)[1])
TAGS = [["Support", "x"], ["support", "É"], ["e\u0301", "x"], []]
LONG = ["\ufdfa" * 512, "Straße"]


@pytest.fixture
def app(empty_database_url):
    """The application on a database of the previous revision, its context pushed."""
    app = create_app(make_settings(empty_database_url))
    with app.app_context():
        migrate(BEFORE)
        insert_sessions([*TAGS, LONG, *[["T"]] * (2 * BATCH)])
        yield app
        db.session.remove()
        db.engine.dispose()


def insert_sessions(tag_lists, *, first=1):
    """Add sessions and facets as an older version does; later ones have lesser ids."""
    tables = sa.MetaData()
    tables.reflect(db.session.connection(), only=["sessions", "session_facets"])
    is_sqlite = db.engine.dialect.name == "sqlite"
    now = format_instant(utc_now()) if is_sqlite else utc_now()
    chats, facets = [], []
    for number, tags in enumerate(tag_lists, first):
        session_id = UUID(int=2**64 - number, version=4)
        session_id = session_id.hex if is_sqlite else session_id
        chats.append(
            {
                "id": session_id,
                "number": number,
                "owner_id": "alice",
                "created_at": now,
                "last_updated_at": now,
                "llm_model_name": "m",
                "rag_document_ids": ["D"],
                "metadata_tags": tags,
                "message_count": 0,
                "last_seq": 0,
                "pinned": False,
                "revision": 1,
            }
        )
        facets += [
            {"session_id": session_id, "owner_id": "alice", "kind": kind, "value": each}
            for kind, values in (("tag", tags), ("document", ["D"]))
            for each in values
        ]
    db.session.execute(tables.tables["sessions"].insert(), chats)
    db.session.execute(tables.tables["session_facets"].insert(), facets)
    db.session.commit()


def stored():
    rows = db.session.execute(
        sa.text("SELECT session_id, kind, value, owner_id FROM session_facets")
    )
    found = {tuple(map(str, row)) for row in rows}
    db.session.rollback()
    return found


def listed():
    found = list_tags(owner_id="alice", limit=9).items
    db.session.rollback()
    return [(each.value, each.sessions) for each in found]


def test_old_tags_are_found_in_any_spelling(app):
    migrate()
    assert list(find_wrong_facets()) == []
    assert listed()[0] == ("T", 2 * BATCH)
    assert dict(listed()) == {
        "T": 2 * BATCH,
        "Support": 2,
        "x": 2,
        "É": 2,
        **dict.fromkeys(LONG, 1),
    }


def test_the_step_can_be_taken_back_and_again(app):
    before = stored()
    for _ in range(2):
        migrate()
        assert list(find_wrong_facets()) == []
        db.session.remove()
        command.downgrade(alembic_config(), BEFORE)
        assert stored() == before


def test_what_an_old_server_writes_is_wrong_until_it_is_rebuilt(app):
    migrate()
    insert_sessions([["New"], ["new"]], first=10_000)
    assert len(list(find_wrong_facets())) == 1
    db.session.rollback()
    last = None
    while batch := run_write(rebuild_batch, after=last):
        last = batch.last
    assert list(find_wrong_facets()) == []
    assert ("New", 2) in listed()


@pytest.mark.parametrize(
    "tag", [*sum(TAGS, []), *LONG, "Σς", "\u0345\u0308", "ﬁ" * 300]
)
def test_the_frozen_value_of_a_tag_is_todays(tag):
    frozen = {}
    text = (migrations_folder() / "frozen" / f"tags_{REVISION}.py").read_text()
    exec(text, frozen)
    assert frozen["tag_value"](tag) == tag_value(tag)
