import json
import random
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text, update

from chatstore.db import db, run_read, run_write, transaction
from chatstore.enums import Archived, Role, SearchSort
from chatstore.errors import NotFound
from chatstore.fulltext.words import words_of
from chatstore.models import ChatSession, Message
from chatstore.services.background_indexing import finish_indexing
from chatstore.store import forks
from chatstore.store.filters import SessionFilters
from chatstore.store.messages import append_message, append_messages
from chatstore.store.search.criteria import BATCH, Bounds
from chatstore.store.search.hits import CHECKED_CHARACTERS
from chatstore.store.search.pages import Search, search
from chatstore.store.sessions import create_session, delete_session, update_session
from tests.support.searches import (
    TEXTS,
    assert_finds_what_python_finds,
    found,
    hits,
    holds,
    new_chat,
    pages,
    say,
    total,
)
from tests.support.statements import (
    MOST_TO_PURGE,
    MOST_TO_READ,
    MOST_TO_WRITE,
    statements_of_read,
    statements_of_write,
)

FUZZED = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
SORTS = [SearchSort.RELEVANCE, SearchSort.NEWEST]
NEWEST = SearchSort.NEWEST


FINDABLE = {
    "数据库很快": [
        "数据",
        "数据库",
        "据库很",
        "快",
        "库",
        ['"数据', '很快"', "-慢"][0],
    ],
    "Un Café naïf": ["cafe", "CAFÉ", "naif", "Naïf", "caf*", '"un cafe"'],
    "Große Straße": ["strasse", "STRASSE", "große", "grosse"],
    "Η Ελλάδα": ["Ελλάδα", "ελλαδα", "ΕΛΛΑΔΑ", "ελλ*"],
    "نص عَرَبِيّ": ["عربي", "عَرَبِيّ"],
    "저는 한국어를 배웁니다": ["한국어", "한국", "배웁니다"],
    "Launch 🚀 now 👍🏽": ["🚀", "👍", "launch 🚀", '"🚀 now"'],
    "İstanbul'da": ["istanbul", "İSTANBUL"],
}


@pytest.mark.parametrize("content", FINDABLE)
def test_a_text_is_found_as_message_and_as_name(db_session, content):
    new_chat("other name", content, "other text")
    new_chat(content)
    for query in FINDABLE[content]:
        assert [hit.snippet for hit in hits(query)] == [content, content], query


def test_what_is_asked_for_must_all_be_there(db_session):
    new_chat(None, "red plan", "blue plan", "red blue", "plan red")
    assert found("red plan") == {"red plan", "plan red"}
    assert found('"red plan"') == {"red plan"}
    assert found("red -plan") == {"red blue"}
    assert found('plan -"red plan"') == {"blue plan", "plan red"}
    assert found("pla* bl*") == {"blue plan"}
    assert found("plan -missing") == {"red plan", "blue plan", "plan red"}
    assert found("-plan") == found("") == found('* - "') == set()


def test_a_hit_says_what_was_found(db_session):
    chat = new_chat("About plans", "The plan: a plan.")
    (message,) = db.session.scalars(
        db.select(Message).where(Message.session_id == chat.id)
    )
    (hit,) = hits("plan")
    assert (hit.session_id, hit.session_name) == (chat.id, "About plans")
    assert (hit.message_id, hit.seq, hit.role) == (message.id, 1, "user")
    assert (hit.timestamp, hit.snippet) == (message.timestamp, "The plan: a plan.")
    assert hit.matches == [(4, 8), (12, 16)]
    assert 0 < hit.score < 1


def test_names_come_first_and_have_no_message(db_session):
    chat = new_chat("A plan", "first plan")
    by_name, by_text = hits("plan")
    assert (by_name.session_id, by_name.snippet) == (chat.id, "A plan")
    assert (by_name.message_id, by_name.seq, by_name.role) == (None, None, None)
    assert by_name.timestamp == chat.created_at
    assert by_text.snippet == "first plan"


def test_the_better_match_comes_first_or_the_newer(db_session):
    best, worst = "plan plan plan", "a plan among so many other words " * 5
    new_chat(None, best, worst)
    assert [hit.message_id for hit in hits("plan")] == [1, 2]
    assert [hit.message_id for hit in hits("plan", sort=SearchSort.NEWEST)] == [2, 1]


# The order of seq


def in_order(q, chat, **where):
    return [
        hit.seq for hit in hits(q, sort=SearchSort.SEQ, session_id=chat.id, **where)
    ]


@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_the_hits_of_a_session_come_in_the_order_of_their_seq(db_session, limit):
    chance = random.Random(limit)
    contents = [
        " ".join(chance.choices(["plan", "fees", "数据库", "x"], k=chance.randrange(5)))
        for _ in range(2 * BATCH + 30)
    ]
    chat, other = new_chat("plan"), new_chat("plan")
    for start in range(0, len(contents), 50):  # the sessions take turns
        say(chat, *contents[start : start + 50])
        say(other, "plan fees", "数据库")
    for q in ("plan", "plan fees", "plan -fees", "数据", "fees OR 库", '"fees plan"'):
        expected = [seq for seq, content in enumerate(contents, 1) if holds(q, content)]
        assert in_order(q, chat, limit=limit) == expected, q
        assert total(q, sort=SearchSort.SEQ, session_id=chat.id) == (
            len(expected),
            True,
        )


def test_the_order_of_seq_heeds_roles_and_times_and_has_no_names(db_session):
    chat = new_chat("plan", "plan 1", "plan 2")
    say(chat, "plan 3", role=Role.ASSISTANT)
    say(chat, "plan 4")
    assert in_order("plan", chat) == [1, 2, 3, 4]
    assert in_order("plan", chat, role=Role.USER) == [1, 2, 4]
    messages = db.session.scalars(db.select(Message).order_by(Message.seq)).all()
    times = [message.timestamp for message in messages]
    assert in_order("plan", chat, after=times[0], before=times[3]) == [2, 3]


def test_pages_in_the_order_of_seq_reach_what_is_appended_meanwhile(db_session):
    chat = new_chat(None, *[f"plan {number}" for number in range(1, 11)])
    seen = []
    for page in pages("plan", sort=SearchSort.SEQ, session_id=chat.id, limit=3):
        seen += [hit.seq for hit in page]
        if len(seen) < 12:
            say(chat, "plan")
    assert seen == list(range(1, len(seen) + 1))
    assert len(seen) == chat_length(chat)


def chat_length(chat):
    return db.session.scalar(
        db.select(db.func.count()).where(Message.session_id == chat.id)
    )


def test_a_copy_is_found_in_the_order_of_seq(db_session):
    chat = new_chat(None, *["plan"] * 20)
    fork = run_read(forks.plan_fork, chat.id, owner_id="alice")
    copy = run_write(forks.finish_fork, fork)
    assert finish_indexing()
    assert in_order("plan", copy) == list(range(1, 21))


# Ownership and deletion


def test_nobody_finds_what_is_not_theirs(db_session):
    chat = new_chat("plan", "plan")
    assert hits("plan", owner_id="bob") == []
    with pytest.raises(NotFound):
        hits("plan", owner_id="bob", session_id=chat.id)
    assert len(hits("plan", session_id=chat.id)) == 2


def test_a_name_that_changed_is_found_by_what_it_is_now(db_session):
    chat = new_chat("before")
    for name, expected in [("after", 1), (None, 0), ("after that", 1), ("", 0)]:
        run_write(update_session, chat.id, owner_id="alice", changes={"name": name})
        assert (len(hits("before")), len(hits("after"))) == (0, expected)


def test_what_is_deleted_is_never_found_again(db_session):
    chat = new_chat("plan", "plan", "plan")
    other = new_chat("plan", "plan")
    run_write(delete_session, chat.id, owner_id="alice")
    assert {hit.session_id for hit in hits("plan")} == {other.id}
    new_chat("else", "else")
    assert len(hits("plan")) == 2


def test_a_message_that_was_taken_back_is_not_found(db_session):
    chat = new_chat()
    with pytest.raises(RuntimeError), transaction():
        append_message(chat.id, owner_id="alice", content="plan")
        create_session(owner_id="alice", llm_model_name="m", name="plan")
        raise RuntimeError
    assert hits("plan") == []
    say(chat, "else")
    assert hits("plan") == []


def test_a_message_is_found_as_soon_as_it_is_there(db_session):
    chat = new_chat()
    with transaction():
        append_message(chat.id, owner_id="alice", content="plan")
        page = search(Search(q="plan"), owner_id="alice", limit=5)
        assert len(page.hits) == 1


# Filters


def test_filters_hold_for_names_and_messages(db_session):
    new_chat("plan a", "plan a", metadata_tags=["x", "y"])
    chat = new_chat("plan b", "plan b", metadata_tags=["x"])
    changes = {"pinned": True, "llm_model_name": "other"}
    run_write(update_session, chat.id, owner_id="alice", changes=changes)

    def among(**filters):
        return found("plan", filters=SessionFilters(**filters))

    assert among() == among(tag=("x",)) == {"plan a", "plan b"}
    assert among(tag=("x", "y")) == among(name="Plan A") == {"plan a"}
    assert among(pinned=True) == among(model="other") == {"plan b"}
    assert among(tag_any=("y", "z")) == {"plan a"}
    assert among(tag=("none",)) == among(document="d") == set()
    created = chat.created_at
    assert among(created_after=created) == set()
    assert among(created_before=created) == {"plan a"}


def test_archived_sessions_are_left_out_unless_asked_for(db_session):
    chat = new_chat("plan a", "plan a")
    new_chat("plan b")
    changes = {"archived": True}
    run_write(update_session, chat.id, owner_id="alice", changes=changes)
    archived = {
        each: found("plan", filters=SessionFilters(archived=each)) for each in Archived
    }
    assert archived == {
        Archived.NO: {"plan b"},
        Archived.YES: {"plan a"},
        Archived.ANY: {"plan a", "plan b"},
    }


def test_messages_are_filtered_by_session_role_and_time(db_session):
    chat, other = new_chat("plan", "plan 1"), new_chat("plan", "plan 2")
    (answer,) = say(other, "plan 3", role=Role.ASSISTANT)
    assert found("plan", session_id=other.id) == {"plan", "plan 2", "plan 3"}
    assert found("plan", role=Role.ASSISTANT) == {"plan 3"}
    assert found("plan", role=Role.USER) == {"plan 1", "plan 2"}
    assert found("plan", after=answer.timestamp) == set()
    instant = answer.timestamp - timedelta(microseconds=1)
    assert found("plan", after=instant) == {"plan 3"}
    assert "plan 3" not in found("plan", before=answer.timestamp)
    assert len(hits("plan", before=answer.timestamp)) == 4
    assert len(hits("plan", before=chat.created_at)) == 0


# Pages


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("limit", [1, 7, 100, 1000])
def test_pages_hold_each_match_once(db_session, sort, limit):
    chance = random.Random(limit)
    chat = new_chat(
        "plan",
        *(
            "plan " * chance.randrange(1, 4) + "x " * chance.randrange(3)
            for _ in range(2 * BATCH + 30)
        ),
    )
    for _ in range(3):
        new_chat("plan")
    listed = list(pages("plan", sort=sort, limit=limit))
    assert all(len(page) <= limit for page in listed)
    ids = [(hit.session_id, hit.message_id) for page in listed for hit in page]
    assert len(ids) == len(set(ids)) == 2 * BATCH + 30 + 4
    names = [number for _, number in ids if number is None]
    assert ids[: len(names)] == [(each, None) for each, _ in ids[: len(names)]]
    if sort is SearchSort.NEWEST:
        numbers = [number for _, number in ids[4:]]
        assert numbers == sorted(numbers, reverse=True)
    else:
        scores = [hit.score for page in listed for hit in page][4 : 4 + BATCH]
        assert scores == sorted(scores, reverse=True)
    assert chat.id in {each for each, _ in ids}


@pytest.mark.parametrize("sort", SORTS)
def test_pages_hold_what_stays_while_messages_come_and_go(db_session, sort):
    staying = new_chat(None, *(f"plan {number}" for number in range(BATCH + 50)))
    going = [new_chat(None, *["plan plan"] * 20) for _ in range(5)]
    seen = []
    for page in pages("plan", sort=sort, limit=30):
        seen += [hit.message_id for hit in page if hit.session_id == staying.id]
        new_chat("a plan", "plan plan plan")
        if going:
            run_write(delete_session, going.pop().id, owner_id="alice")
    assert len(seen) == len(set(seen)) == BATCH + 50


# Window sizes that a test can fill.
SMALL = Bounds(window=150, batch=20, max_ranked=60)


@pytest.mark.parametrize("limit", [7, 20, 50])
@pytest.mark.parametrize("sort", SORTS)
def test_windows_hold_each_match_once(db_session, sort, limit):
    chance = random.Random(limit)
    contents = ["plan " * chance.randrange(1, 4) + f"x{n}" for n in range(400)]
    new_chat("plan", *contents)
    listed = list(pages("plan", bounds=SMALL, sort=sort, limit=limit))
    ids = [hit.message_id for page in listed for hit in page]
    assert ids[0] is None
    assert sorted(ids[1:]) == list(range(1, 401))
    assert all(page for page in listed)


@pytest.mark.parametrize("sort", SORTS)
def test_windows_hold_what_stays_while_messages_come_and_go(db_session, sort):
    staying = new_chat(None, *(f"plan {number}" for number in range(350)))
    going = [new_chat(None, *["plan plan"] * 20) for _ in range(9)]
    seen = []
    for page in pages("plan", bounds=SMALL, sort=sort, limit=15):
        seen += [hit.message_id for hit in page if hit.session_id == staying.id]
        new_chat("a plan", "plan plan plan")
        if going:
            run_write(delete_session, going.pop().id, owner_id="alice")
    assert sorted(seen) == list(range(1, 351))


def test_a_good_old_match_comes_before_hundreds_of_weaker_new_ones(db_session):
    weak = "so much else is said here before anybody speaks of the plan " * 3
    new_chat(None, "plan plan plan", *[weak] * 700, "other")
    first = hits("plan")[0]
    assert (first.message_id, first.snippet) == (1, "plan plan plan")


def test_the_window_is_ranked_and_not_what_is_older(db_session):
    new_chat(None, "plan plan plan", *["a plan and more"] * 150)
    found = [hit.message_id for hit in hits("plan", bounds=SMALL)]
    assert found[-1] == 1
    new_chat(None, "plan plan", "else")
    assert hits("plan", bounds=SMALL)[0].message_id == 152


def test_a_session_archived_between_two_pages_is_left_out_of_the_second(db_session):
    chats = [new_chat(None, f"plan {number}") for number in range(6)]
    wanted = Search(q="plan")
    first = search(wanted, owner_id="alice", limit=2)
    shown = {hit.session_id for hit in first.hits}
    (gone, *others) = [chat for chat in chats if chat.id not in shown]
    run_write(update_session, gone.id, owner_id="alice", changes={"archived": True})
    rest = search(wanted, owner_id="alice", limit=9, place=first.next_place)
    assert {hit.session_id for hit in rest.hits} == {chat.id for chat in others}
    assert rest.next_place is None


def test_a_window_of_which_nothing_may_be_shown_leads_to_the_next(db_session):
    wanted = new_chat(None, "plan a", llm_model_name="rare")
    for _ in range(101):  # more sessions than a query looks up one by one
        new_chat(None, llm_model_name="rare")
    new_chat(None, *["plan b"] * 310)
    filters = SessionFilters(model="rare")
    found = hits("plan", bounds=SMALL, filters=filters)
    assert [hit.session_id for hit in found] == [wanted.id]


# Both databases find what Python finds with the same words


def conversation_texts(path):
    def texts(node):
        yield node["content"]
        for reply in node.get("replies", ()):
            yield from texts(reply)

    lines = path.read_text("utf-8").splitlines()
    return [list(texts(json.loads(line)["root"])) for line in lines]


def fixed_queries(contents):
    """Yield queries of every kind, made from the texts that they search."""
    chance = random.Random(4)
    for _ in range(45):
        words = words_of(chance.choice(contents)) or ["nothing"]
        start = chance.randrange(len(words))
        one, other = chance.choice(words), chance.choice(words)
        yield one
        yield f"{one} {other}"
        yield f'"{" ".join(words[start : start + 3])}"'
        yield f"{one} -{other}"
        yield f'{other[:3]}* -"{" ".join(words[start : start + 2])}"'
    yield from [
        "the",
        "a",
        "the -a",
        "数据",
        "de la",
        "ñ",
        "é",
        "*",
        "über",
        "i'm",
        "我",
    ]


def test_conversations_are_searched_the_same_everywhere(db_session, data):
    conversations = conversation_texts(data("conversation_trees.jsonl"))
    contents = {}
    for texts in conversations:
        chat = new_chat()
        for start in range(0, len(texts), 1000):
            for message in say(chat, *texts[start : start + 1000]):
                contents[message.id] = message.content
    queries = list(dict.fromkeys(fixed_queries(list(contents.values()))))
    assert len(queries) >= 200
    counts = [assert_finds_what_python_finds(q, contents) for q in queries]
    assert sum(count > 0 for count in counts) > 150


def test_no_naughty_string_is_an_error_and_each_finds_itself(
    db_session, naughty_strings
):
    strings = [
        each for each in naughty_strings if "\0" not in each and each.isprintable()
    ]
    chat = new_chat()
    contents = {each.id: each.content for each in say(chat, *strings)}
    for string in strings:
        assert_finds_what_python_finds(string, contents)


PIECES = ["a", "b", "c", "ab", "数据", "库", "é", "🚀", " ", '"', "-", "*", "(", ":"]
QUERIES = st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text()


@FUZZED
@given(
    st.lists(st.sampled_from(PIECES), max_size=12).map("".join) | st.text(max_size=30)
)
def test_no_query_is_an_error_and_all_find_the_same(searchable, q):
    assert_finds_what_python_finds(q.replace("\0", ""), searchable)


@pytest.fixture
def searchable(db_session):
    chat = new_chat()
    return {message.id: message.content for message in say(chat, *TEXTS)}


@pytest.mark.parametrize(
    "q",
    [
        "數" * 10_000,
        "a " * 5_000,
        " ".join(f"w{number}" for number in range(1_600)),
        '"' * 10_000,
        "-" * 10_000,
        "*a" * 5_000,
        "😀" * 10_000,
        "(" * 10_000,
    ],
    ids=lambda q: q[:3],
)
def test_ten_thousand_characters_are_no_error(searchable, q):
    assert_finds_what_python_finds(q, searchable)


# Long messages


@pytest.mark.parametrize(("length", "is_partly"), [(100_000, False), (100_001, True)])
@pytest.mark.parametrize("words", ["plan ", "数据"])
def test_a_hit_says_that_its_message_is_indexed_in_part(
    db_session, words, length, is_partly
):
    new_chat("plan 数据", (words * length)[:length])
    by_name, by_text = hits(words)
    assert not by_name.indexed_in_part
    assert by_text.indexed_in_part is is_partly


@pytest.mark.parametrize(
    ("letter", "count", "is_partly"),
    [("\ufdfa", 11_110, False), ("\ufdfa", 11_111, True), ("ﬃ", 66_666, True)],
)
def test_a_hit_says_that_letters_of_many_are_too_many(
    db_session, letter, count, is_partly
):
    new_chat(None, "plan" + letter * count + " late")
    (hit,) = hits("plan*")
    assert hit.indexed_in_part is is_partly
    assert len(hits("late")) == (not is_partly)


@pytest.mark.parametrize("between", [" ", ""], ids=["words", "one word"])
def test_parts_of_identifiers_are_found_however_many_there_are(db_session, between):
    letters = str.maketrans("0123456789", "bcdefghijk")
    names = [str(number).translate(letters) for number in range(10_000, 21_000)]
    new_chat(None, between.join(f"a{name.capitalize()}X" for name in names))
    for name in (names[0], names[5_500], names[-1]):
        (hit,) = hits(name)
        assert not hit.indexed_in_part


@pytest.mark.parametrize("count", [1_001, 49_000])
def test_a_long_text_of_signs_is_found_by_its_last(db_session, count):
    signs = list(map(chr, range(0xF0000, 0xF0000 + count)))
    new_chat(None, " ".join(signs))
    (hit,) = hits(signs[-1])
    assert not hit.indexed_in_part


def test_a_match_far_in_a_text_is_shown(db_session):
    new_chat(None, "x " * 30_000 + "the plan", "y " * 1_990 + "the plan " + "y " * 90)
    assert [(hit.message_id, hit.snippet[-8:]) for hit in hits("plan", sort=NEWEST)][
        1
    ] == (1, "the plan")
    for hit in hits("plan"):
        ((start, end),) = hit.matches
        assert hit.snippet[start:end] == "plan"


def test_long_texts_are_read_a_few_at_a_time(db_session):
    new_chat(None, *["x " * 30_000 + "plan"] * 20)
    assert finish_indexing()
    statements = statements_of_read(
        search, Search(q="plan"), owner_id="alice", limit=20
    )
    run_read = [each for each in statements if "substr" in each and "MATCH" not in each]
    texts = [each for each in run_read if "message_index" not in each]
    assert len(texts) == 5


def test_a_mebibyte_of_different_words_is_found_by_its_beginning(db_session):
    words = [f"w{number:06}" for number in range(131_072)]
    content = " ".join(words)
    chat = new_chat(None, content)
    assert len(content.encode()) == 1024**2 - 1
    for number in (0, 1, 9_000, 12_499):
        assert [hit.session_id for hit in hits(words[number])] == [chat.id], number
        phrase = f'"{words[number]} {words[number + 1]}"'
        assert len(hits(phrase)) == (number < 12_499), phrase
        wrong = f'"{words[number + 1]} {words[number]}"'
        assert hits(wrong) == [], wrong
    assert hits(words[12_500]) == hits(words[-1]) == []


def test_a_hundred_thousand_different_pairs_are_stored_and_found(db_session):
    letters = [chr(0x4E00 + number) for number in range(317)]
    content = "".join(one + other for one in letters for other in letters)[:100_000]
    new_chat(None, content)
    for place in (0, 16_000, 50_000, 99_000):
        assert len(hits(content[place : place + 2])) == 1, place
    assert len(hits(content[1000:1010])) == 1


def test_a_word_said_more_often_than_an_index_counts_is_found(db_session):
    contents = ["a " * 40_000 + "end", "b a " * 300 + "b c", "a " * 255 + "a b"]
    chat = new_chat()
    by_id = {message.id: message.content for message in say(chat, *contents)}
    for q in ("a", "end", "b", "c", '"b a"', "a -c"):
        assert_finds_what_python_finds(q, by_id)
    assert len(hits('"b c"')) == 1  # the 301st b has no position in a tsvector
    assert len(hits('"c b"')) == 0


LATE = ["order_{}", "10.0.1.{}", "self.client_{}", "3.11.{}", "POL-{}", "/var/x-{}.log"]


def test_what_stands_late_in_a_long_text_is_found(db_session):
    lines = [
        f"2026-11-28T10:{number // 60:02}:{number % 60:02}Z "
        + " ".join(each.format(number) for each in LATE)
        for number in range(1050)
    ]
    content = "\n".join(lines) + "\nsee getUserById\n我们的数据库很快"
    assert 90_000 < len(content) < 100_000
    new_chat(None, content)
    for each in LATE:
        for number in (3, 400, 1049):
            assert len(hits(each.format(number))) == 1, each
        assert hits(f'"{each.format(1050)}"') == []
    for q in (
        lines[1049],
        lines[-2][:20],
        "getUserById",
        "user",
        '"user by id"',
        "getUser*",
        "userById",
        "2026-11-28",
        "10:17:29",
        "17:29",
        "数据库",
        "据库很快",
        "的",
    ):
        assert len(hits(q)) == 1, q
    for q in ('"client_1049 order_1049"', '"id by user"', "库数据", "userByName"):
        assert hits(q) == [], q


def test_any_term_of_a_long_chinese_text_is_found(db_session):
    chance = random.Random(3)
    content = "".join(chr(chance.randrange(0x4E00, 0x5E00)) for _ in range(100_000))
    new_chat(None, content)
    for place in (0, 15_000, 17_000, 50_000, 99_990):
        assert len(hits(content[place : place + 3])) == 1, place
        assert len(hits(content[place : place + 10])) == 1, place
    scattered = content[70_000:70_002] + content[20_000:20_002]
    assert hits(scattered) == []


@pytest.mark.parametrize("sort", SORTS)
def test_a_page_of_phrases_in_long_texts_ends_when_it_has_checked_enough(
    db_session, sort
):
    filler = "word " * 19_990
    new_chat(None, *[f"{filler} plan b {number}" for number in range(7)])
    new_chat(None, *[f"plan {filler} b" for _ in range(7)])
    sizes = [len(page) for page in pages('"plan b"', sort=sort)]
    assert sum(sizes) == 7
    if db.engine.dialect.name == "postgresql":  # SQLite need not check the texts
        assert len(sizes) >= 14 * len(filler) // CHECKED_CHARACTERS
    else:
        assert sizes == [7]
    assert len({hit.message_id for hit in hits('"plan b"', sort=sort)}) == 7


# Statements per search


@pytest.mark.parametrize(
    "where",
    [
        {},
        {"sort": SearchSort.NEWEST},
        {"filters": SessionFilters(tag=("x",), tag_any=("x", "y"), document="d")},
        {"filters": SessionFilters(model="m", name="p", pinned=False)},
        {"role": Role.USER},
    ],
)
def test_a_search_costs_three_statements_at_most(db_session, where):
    new_chat("plan", *["plan"] * 250, metadata_tags=["x"], rag_document_ids=["d"])
    place = None
    for _ in range(4):
        wanted = Search(q="plan", **where)
        statements = statements_of_read(
            search, wanted, owner_id="alice", limit=90, place=place
        )
        selects = [each for each in statements if not each.startswith("BEGIN")]
        assert len(selects) <= MOST_TO_READ, selects
        place = search(wanted, owner_id="alice", limit=90, place=place).next_place
        if place is None:
            break


def test_a_write_with_its_index_costs_five_statements_at_most(db_session):
    chat = new_chat("a", "b", metadata_tags=["x"])
    for work, keywords in (
        (append_message, {"session_id": chat.id, "content": "c"}),
        (create_session, {"llm_model_name": "m", "name": "n", "metadata_tags": ["x"]}),
        (update_session, {"session_id": chat.id, "changes": {"name": "n"}}),
        (delete_session, {"session_id": chat.id}),
    ):
        statements = statements_of_write(work, owner_id="alice", **keywords)
        most = MOST_TO_PURGE if work is delete_session else MOST_TO_WRITE
        assert len(statements) <= most, statements


def test_a_batch_is_indexed_in_one_statement(db_session):
    chat = new_chat()
    turns = [{"content": "c", "role": Role.USER, "metadata": None}] * 20
    statements = statements_of_write(
        append_messages, chat.id, owner_id="alice", turns=turns
    )
    assert sum("message_index" in each for each in statements) == 1


def test_rows_of_before_numbers_are_found_by_their_messages(db_session):
    chat = new_chat("plan", "plan")
    with transaction():
        db.session.execute(text("DELETE FROM name_index"))
        db.session.execute(update(ChatSession).values(number=None))
    run_write(
        update_session, chat.id, owner_id="alice", changes={"name": "another plan"}
    )
    assert [hit.seq for hit in hits("plan")] == [1]


@pytest.mark.parametrize("sort", SORTS)
def test_a_phrase_that_repeats_a_word_finds_what_repeats_it_as_often(db_session, sort):
    new_chat(None, "b a a", "b a a a", "a b a b a", "数数数", "数" * 50, "a " * 30_000)

    def found(q):
        return sorted(hit.seq for hit in hits(q, sort=sort))

    assert found('"a a a"') == [2, 6]
    assert found('"b a a a"') == [2]
    assert found('"a b a b a"') == [3]
    assert found("数数数") == [4, 5]
    assert found("数" * 49) == [5]
    assert found('a -"a a a"') == [1, 3]
    assert found('b -"a b a b a"') == [1, 2]
    assert found('"a a a" OR "b a"') == [1, 2, 3, 6]
