from uuid import UUID

import pytest

from chatstore.entries import (
    fts5_query,
    fts5_words,
    owner_scope,
    role_scope,
    scopes_of,
    session_scope,
    tsquery,
    tsvector_words,
)
from chatstore.queries import parse_query

ID = UUID("12345678-1234-4678-9234-567812345678")
ALICE = owner_scope("alice")
GAP = "\ue000"


def test_scopes_name_owner_session_and_role():
    assert scopes_of("alice", ID, "user") == [ALICE, session_scope(ID), "ruser"]
    assert scopes_of("alice", ID) == [ALICE, session_scope(ID)]
    assert session_scope(ID) == "s12345678123446789234567812345678"
    assert role_scope("tool") == "rtool"


@pytest.mark.parametrize(
    "owner_id", ["", "Alice", "alice ", "o' OR 1", "数据", "x" * 999]
)
def test_the_scope_of_an_owner_is_a_word_of_its_own(owner_id):
    scope = owner_scope(owner_id)
    assert scope != ALICE
    assert scope.isascii()
    assert scope.isalnum()
    assert len(scope) == 17


TEXTS = {
    "Red plan, red!": ("red plan red", "'red':1,3 'plan':2"),
    "数据库": ("数据 据库 库", "'数据':1 '据库':2 '库':3"),
    "it's": ("it s", "'it':1 's':2"),
    "\\ ' \" \ue000 \ue001": ("", ""),
    "": ("", ""),
}


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_is_written_for_each_database(text):
    for_fts5, for_tsvector = TEXTS[text]
    assert fts5_words(text) == for_fts5
    assert tsvector_words(text, []) == for_tsvector


def test_a_tsvector_has_its_scopes_where_no_word_can_be():
    assert tsvector_words("ruser", ["ruser"]) == "'ruser':1 '_ruser'"


def test_words_beyond_the_last_place_are_there_without_one():
    text = " ".join(f"{number:x}" for number in range(16_383))
    ends = ["3ffb", "3ffc", GAP, "3ffd", GAP, "3ffe"]
    assert fts5_words(text).split()[16_379:] == ends
    last = "'3ffc':16381 '3ffd':16383 '3ffe':16383"
    assert tsvector_words(text, []).endswith(last)


QUERIES = {
    "plan": ('("plan")', "('plan')"),
    "red plan": ('("red" AND "plan")', "('red') & ('plan')"),
    '"red plan"': ('("red plan")', "('red' <-> 'plan')"),
    "pl*": ('("pl" *)', "('pl':*)"),
    "数据库": ('("数据 据库")', "('数据' <-> '据库')"),
    "AND": ('("and")', "('and')"),
}


@pytest.mark.parametrize("q", QUERIES)
def test_a_query_is_written_for_each_database(q):
    for_fts5, for_tsvector = QUERIES[q]
    query = parse_query(q)
    scopes = [["a"], ["b", "c"]]
    words = f'words : ({for_fts5} NOT ("\ue001"))'
    within = 'scope : ("a") AND scope : ("b" OR "c")'
    assert fts5_query(query, scopes) == f"{words} AND {within}"
    assert tsquery(query, scopes) == f"{for_tsvector} & ('_a') & ('_b' | '_c')"


def test_what_is_not_wanted_is_written_for_each_database():
    query = parse_query('plan -red -"big blue"')
    assert (
        fts5_query(query, [])
        == 'words : (("plan") NOT ("\ue001" OR "red" OR "big blue"))'
    )
    assert tsquery(query, []) == "('plan') & !('red') & !('big' <-> 'blue')"
