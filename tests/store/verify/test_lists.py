import pytest

from chatstore.db import run_write
from chatstore.store.sessions import update_session
from chatstore.store.verify.checks import CHECKS
from chatstore.store.verify.lists import find_wrong_facets, find_wrong_names
from tests.support.breakage import damage_rows

OF_A = "session_id = (SELECT id FROM sessions WHERE name = 'a')"
# Damage, and the check that reports it.
DAMAGES = {
    "a tag cannot be found": (
        "facets",
        f"DELETE FROM session_facets WHERE {OF_A} AND value = 't1'",
    ),
    "a document is found that is not there": (
        "facets",
        f"UPDATE session_facets SET kind = 'document' WHERE {OF_A} AND value = 't1'",
    ),
    "a tag is found by another owner": (
        "facets",
        f"UPDATE session_facets SET owner_id = 'bob' WHERE {OF_A} AND value = 't1'",
    ),
    "a tag is spelled in another way": (
        "facets",
        f"UPDATE session_facets SET label = 'T1' WHERE {OF_A} AND value = 't1'",
    ),
    "a tag is not folded": (
        "facets",
        f"UPDATE session_facets SET value = 'T1' WHERE {OF_A} AND value = 't1'",
    ),
    "a tag is not as old as its session": (
        "facets",
        f"UPDATE session_facets SET number = 1 WHERE {OF_A} AND value = 't1'",
    ),
    "a session has metadata that is not indexed": (
        "facets",
        """UPDATE sessions SET metadata = '{"k": 1}' WHERE name = 'a'""",
    ),
    "metadata is found that is not there": (
        "facets",
        f"UPDATE session_facets SET value = 'k:2' WHERE {OF_A} AND kind = 'metadata'",
    ),
    "a session has a tag that is not indexed": (
        "facets",
        """UPDATE sessions SET metadata_tags = '["t1", "t2", "t3"]' WHERE name = 'a'""",
    ),
    "a name is sorted as another": (
        "names",
        "UPDATE sessions SET name_folded = 'A' WHERE name = 'a'",
    ),
}
FIND = {"facets": find_wrong_facets, "names": find_wrong_names}


@pytest.fixture
def chat(db_session, make_session):
    make_session(name="b", metadata_tags=["t1"], rag_document_ids=["d"])
    return make_session(name="a", metadata_tags=["t1", "t2"], metadata={"k": "v"})


def test_nothing_is_wrong_with_what_the_store_wrote(chat):
    changes = {
        "name": "Ä 数据",
        "metadata_tags": ["T3", "t3", "Ä"],
        "rag_document_ids": ["d"],
    }
    run_write(update_session, chat.id, owner_id=chat.owner_id, changes=changes)
    assert [list(find()) for find in FIND.values()] == [[], []]


@pytest.mark.parametrize("what", DAMAGES)
def test_damage_is_found_by_its_own_check(chat, db_session, database_url, what):
    expected, *statements = DAMAGES[what]
    db_session.rollback()
    damage_rows(database_url, *statements)
    for name, find in FIND.items():
        found = list(find())
        assert len(found) == (name == expected)
        assert all(f"session {chat.id}" in sentence for sentence in found)
    # test_index.py tests what the search check reports.
    broken = {check.name for check in CHECKS if list(check.find())}
    assert broken - {"search"} == {expected}
