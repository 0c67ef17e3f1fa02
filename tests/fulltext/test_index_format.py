from uuid import UUID

import pytest

from chatstore.fulltext.index_format import (
    UNPLACED_TSQUERY,
    any_tsquery,
    fts5_query,
    fts5_words,
    owner_scope,
    role_scope,
    scopes_of,
    session_lexeme,
    session_scope,
    tsquery,
    tsvector_words,
)
from chatstore.fulltext.positions import NOTHING
from chatstore.fulltext.query import parse_query

ID = UUID("12345678-1234-4678-9234-567812345678")
ALICE = owner_scope("alice")
GAP = "\ue000"


def test_scopes_name_owner_session_and_role():
    assert scopes_of("alice", ID, "user") == [ALICE, session_scope(ID), "ruser"]
    assert scopes_of("alice", ID) == [ALICE, session_scope(ID)]
    assert session_scope(ID) == "s12345678123446789234567812345678"
    assert role_scope("tool") == "rtool"
    assert f"'{session_lexeme(ID)}'" in tsvector_words("", scopes_of("alice", ID))


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
    "getUser x": ("getuser x \ue000 get user", "'getuser':1 'x':2 'get':4 'user':5"),
    "rm -rf": ("rm rf \ue000 \ue002rf", "'rm':1 'rf':2 '\ue002rf'"),
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
    assert fts5_words(text) == text
    last = f"'3ffc':16381 '3ffd' '3ffe' {UNPLACED_TSQUERY}"
    assert tsvector_words(text, []).endswith(last)


def test_signs_are_words_of_a_text_without_words_only():
    first, second = tsvector_words("!@# $%^&", []).split()
    assert first != second
    assert first in tsvector_words("!@#", [])
    assert tsvector_words("!@# a", []) == "'a':1"
    assert tsvector_words("", []) == fts5_words("") == ""


def test_all_white_space_is_one_word():
    blank = fts5_words(" ")
    assert blank == fts5_words("\n\u3000") != fts5_words("!")
    assert tsvector_words("\t", []) == f"'{blank.split()[-1]}'"


def _phrase(*words):
    quoted = [f"'{word}'" for word in words]
    anywhere = " & ".join([*quoted, UNPLACED_TSQUERY])
    return f"(({' <-> '.join(quoted)}) | ({anywhere}))"


QUERIES = {
    "plan": ('("plan")', "('plan')"),
    "red plan": ('("red" AND "plan")', "('red') & ('plan')"),
    '"red plan"': ('("red plan")', _phrase("red", "plan")),
    "pl*": ('("pl" *)', "('pl':*)"),
    "数据库": ('("数据 据库")', _phrase("数据", "据库")),
    "a OR b c": ('(("a" OR "b") AND "c")', "(('a') | ('b')) & ('c')"),
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
    red = '("red" NOT "\ue002red")'
    blue = '("big blue" NOT "\ue002big")'
    unwanted = f'"\ue001" OR {red} OR {blue}'
    assert fts5_query(query, []) == f'words : (("plan") NOT ({unwanted}))'
    red = "!(('red') & !('\ue002red'))"
    blue = "!(('big' <-> 'blue') & !('\ue002big'))"
    assert tsquery(query, []) == f"('plan') & {red} & {blue}"


def test_any_word_is_asked_for_to_rank_by():
    assert any_tsquery(parse_query('a OR "b c"* -d a')) == "'a' | 'b' | 'c':*"


@pytest.mark.parametrize(
    ("q", "words"),
    [
        ('"a b a b c"', ["a", "b", "a", "b", "c"]),
        ('"a b a b a c"', ["a", "b", "a", "b"]),
        ('"b a a a*"', ["b", "a", "a"]),
        ("数" * 50, ["数数", "数数"]),
    ],
)
def test_a_phrase_is_looked_up_to_a_word_that_is_in_it_for_the_third_time(q, words):
    asked = fts5_query(parse_query(q), [])
    assert f'(("{" ".join(words)}") NOT' in asked


def test_an_exclusion_that_is_not_looked_up_whole_is_left_to_the_text():
    query = parse_query('plan -"a a a"')
    assert query.has_repeats
    assert fts5_query(query, []) == f'words : (("plan") NOT ("{NOTHING}"))'
