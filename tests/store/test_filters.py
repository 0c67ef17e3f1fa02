from datetime import UTC, datetime, timedelta

import orjson
import pytest

from chatstore.db import run_write
from chatstore.enums import Archived
from chatstore.store.filters import FEW, SessionFilters
from chatstore.store.session_lists import SessionListing, count_sessions, list_sessions
from chatstore.store.sessions import update_session
from tests.support import parsed

MOMENT = timedelta(microseconds=1)


def names(few=FEW, **given):
    """Return the names of alice's sessions that match the filters, sorted."""
    wanted = SessionFilters(**given)
    page = list_sessions(
        owner_id="alice", limit=100, listing=SessionListing(filters=wanted), few=few
    )
    assert count_sessions(owner_id="alice", filters=wanted) == len(page.items)
    return sorted(chat.name for chat in parsed(page.items))


@pytest.fixture
def sessions(db_session, make_session):
    def make(name, **columns):
        return make_session(owner_id="alice", name=name, **columns)

    make("a", metadata_tags=["red", "big"], rag_document_ids=["d1"])
    make("b", metadata_tags=["red"], llm_model_name="other")
    make("c", metadata_tags=["big", "Red"], rag_document_ids=["d1", "d2"])
    make("d")
    make_session(owner_id="bob", name="bob's", metadata_tags=["red", "big"])


# Use both plans: few tagged sessions are looked up, many are walked.
BOTH_PLANS = pytest.mark.parametrize("few", [FEW, -1], ids=["looked up", "walked"])


@BOTH_PLANS
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "abcd"),
        ({"tag": ("red",)}, "abc"),
        ({"tag": ("red", "big")}, "ac"),
        ({"tag": ("RED",)}, "abc"),
        ({"tag": ("re",)}, ""),
        ({"tag_any": ("red", "big")}, "abc"),
        ({"tag_any": ("Red", "nobody's")}, "abc"),
        ({"tag": ("big",), "tag_any": ("red", "Red")}, "ac"),
        ({"document": "d1"}, "ac"),
        ({"document": "red"}, ""),
        ({"document": "d1", "tag": ("red",)}, "ac"),
        ({"model": "other"}, "b"),
        ({"model": "OTHER"}, ""),
        ({"model": "other", "tag": ("red",), "name": "B"}, "b"),
        ({"pinned": True}, ""),
        ({"pinned": False}, "abcd"),
    ],
)
def test_every_filter_that_is_given_holds(sessions, few, given, expected):
    assert names(few, **given) == list(expected)


ODD_TAGS = ['a"b', "a\\b", '"red"', 'x"red', "[red]", "a,b", "%", "?", "é", "e"]
ODD_TAGS += ["数据", "🚀", "null", "1", "{}", "'", ":tag", "%s"]


@BOTH_PLANS
def test_a_tag_of_any_characters_is_found_as_itself(db_session, make_session, few):
    for number, tag in enumerate(ODD_TAGS):
        make_session(owner_id="alice", name=f"{number:02d}", metadata_tags=["red", tag])
    for number, tag in enumerate(ODD_TAGS):
        for given in ({"tag": (tag,)}, {"tag": ("red", tag)}, {"tag_any": (tag, "no")}):
            assert names(few, **given) == [f"{number:02d}"]
    assert len(names(few, tag=("red",))) == len(ODD_TAGS)


METADATA = {
    "": "",
    "team": "a:b",
    "é": "数据",
    "text": "true",
    "flag": True,
    "no": False,
    "none": None,
    "int": 1,
    "float": 1.0,
    "big": 1e22,
    "zero": -0.0,
    "odd": "%s'\"\\",
}
PAIRS = [":", "team:a:b", "é:数据", "text:true", "flag:true", "no:false", "none:null"]
PAIRS += [
    "int:1",
    "float:1.0",
    f"big:{orjson.dumps(1e22).decode()}",
    "zero:-0.0",
    "odd:%s'\"\\",
]
NO_PAIRS = [
    "team:a",
    "e\u0301:数据",
    "flag:True",
    "flag:1",
    "none:",
    "int:1.0",
    "nope:1",
]
NO_PAIRS += ["float:1", "list:[]", "object:{}", "a:b:c", "team:"]


@BOTH_PLANS
def test_a_session_is_found_by_each_scalar_of_its_metadata(
    db_session, make_session, few
):
    others = {"list": [], "object": {}, "a:b": "c", "long": "x" * 508}
    make_session(owner_id="alice", name="n", metadata=METADATA | others)
    make_session(owner_id="alice", name="m", metadata={"int": 2})
    make_session(owner_id="bob", metadata=METADATA)
    for pair in PAIRS:
        assert names(few, metadata=(pair,)) == ["n"], pair
    for pair in [*NO_PAIRS, f"long:{others['long']}"]:
        assert names(few, metadata=(pair,)) == [], pair
    assert names(few, metadata=tuple(PAIRS)) == ["n"]
    assert names(few, metadata=("int:1", "int:2")) == []


def test_the_longest_pair_fits_its_index(db_session, make_session):
    value = "".join(map(chr, range(0x1F300, 0x1F300 + 510)))
    make_session(owner_id="alice", name="n", metadata={"k": value})
    assert names(FEW, metadata=(f"k:{value}",)) == ["n"]


def test_a_filter_finds_the_metadata_that_a_change_sets(db_session, make_session):
    chat = make_session(owner_id="alice", name="n", metadata={"a": 1, "b": 1})
    change = {"metadata": {"b": 2}}
    run_write(update_session, chat.id, owner_id="alice", changes=change)
    assert names(metadata=("a:1",)) == names(metadata=("b:1",)) == []
    assert names(metadata=("b:2",)) == ["n"]


def test_an_external_id_finds_its_session(db_session, make_session):
    make_session(owner_id="alice", name="n", external_id="a/1", metadata_tags=["t"])
    make_session(owner_id="alice", name="m")
    make_session(owner_id="bob", external_id="a/1")
    assert names(external_id="a/1") == ["n"]
    assert names(external_id="a/1", tag=("t",)) == ["n"]
    assert names(external_id="a/1", tag=("s",)) == names(external_id="A/1") == []


def test_a_filter_finds_what_a_change_made_of_a_session(db_session, make_session):
    chat = make_session(owner_id="alice", name="n", metadata_tags=["old", "kept"])
    change = {"metadata_tags": ["kept", "new"], "rag_document_ids": ["d"]}
    run_write(update_session, chat.id, owner_id="alice", changes=change)
    assert names(tag=("old",)) == []
    assert names(tag=("new", "kept"), document="d") == ["n"]
    run_write(update_session, chat.id, owner_id="alice", changes={"name": "m"})
    assert names(tag=("new", "kept"), document="d") == ["m"]


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Café Müller", "cafe mu"),
        ("Straße", "STRASSE"),
        ("Ελλάδα", "ελλαδα"),
        ("100% sure_thing", "0% sure_"),
        ("back\\slash", "k\\s"),
        ("Łódź", "lodz"),
        ("数据库很快", "据库"),
        ("ﬁne ㎏", "fine kg"),
        ("anything", ""),
    ],
)
def test_a_name_is_found_by_a_part_of_it(db_session, make_session, name, part):
    make_session(owner_id="alice", name=name)
    assert names(name=part) == [name]


@pytest.mark.parametrize("part", ["%", "_", "a%b", "cafés", "\\"])
def test_a_part_that_is_not_in_the_name_does_not_find_it(
    db_session, make_session, part
):
    make_session(owner_id="alice", name="a-b café")
    assert names(name=part) == []


def test_archived_sessions_are_left_out_unless_asked_for(db_session, make_session):
    kept, gone = (make_session(owner_id="alice", name=name) for name in "kg")
    change = {"archived": True, "pinned": True}
    run_write(update_session, gone.id, owner_id="alice", changes=change)
    assert names() == ["k"]
    assert names(archived=Archived.YES) == ["g"]
    assert names(archived=Archived.ANY) == ["g", "k"]
    assert names(archived=Archived.ANY, pinned=True) == ["g"]
    assert names(pinned=True) == []
    change = {"archived": False}
    run_write(update_session, gone.id, owner_id="alice", changes=change)
    assert names() == ["g", "k"]


def test_instants_are_exclusive(db_session, make_session, clock):
    chat = make_session(owner_id="alice", name="n", messages=1)
    created, updated = chat.created_at, chat.last_updated_at
    assert names(created_after=created - MOMENT, created_before=created + MOMENT)
    assert names(updated_after=updated - MOMENT, updated_before=updated + MOMENT)
    for given in (
        {"created_after": created},
        {"created_before": created},
        {"updated_after": updated},
        {"updated_before": updated},
    ):
        assert names(**given) == [], given


def test_archiving_again_keeps_the_first_date(db_session, make_session, clock):
    chat = make_session(owner_id="alice")
    first, second = (
        run_write(
            update_session, chat.id, owner_id="alice", changes={"archived": True}
        ).archived_at
        for _ in range(2)
    )
    assert first == second
    assert first is not None and first < datetime.now(UTC)
