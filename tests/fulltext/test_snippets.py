import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.folded_text import FoldedText
from chatstore.fulltext.query import parse_query
from chatstore.fulltext.snippets import (
    LENGTH,
    PAGE_CHARACTERS,
    characters_each,
    cut_snippet,
)
from chatstore.fulltext.words import INDEXED_CHARACTERS, words_of


def snippet(text, query):
    return cut_snippet(text, parse_query(query).terms)


def marked(text, query):
    cut = snippet(text, query)
    return [cut.text[start:end] for start, end in cut.matches]


@pytest.mark.parametrize(
    ("text", "query", "matches"),
    [
        ("One plan, another PLAN", "plan", ["plan", "PLAN"]),
        ("Pläne und pläne", "plane", ["Pläne", "pläne"]),
        ("Cafe\u0301 Café", "café", ["Cafe\u0301", "Café"]),
        ("STRASSE Straße", "straße", ["STRASSE", "Straße"]),
        ("数据库很快, 快", "据库", ["据库"]),
        ("数据库很快", "数据库", ["数据库"]),
        ("数据库很快, 很", "很", ["很快", "很"]),
        ("한국어를 배우다", "한국어", ["한국어"]),
        ("go 🚀🚀 go", "🚀", ["🚀", "🚀"]),
        ("see foo-bar.", '"foo bar"', ["foo-bar"]),
        ("working words", "wor*", ["working", "words"]),
        ("a b a c", '"a c"', ["a c"]),
        ("nothing", "else", []),
        ("", "x", []),
    ],
)
def test_the_matches_are_marked(text, query, matches):
    assert marked(text, query) == matches


def test_a_text_that_fits_is_shown_whole():
    text = "x " * 70 + "needle"
    assert snippet(text, "needle").text == text
    assert snippet("more " + text * 2, "needle").text.startswith("…x x")


def test_a_short_text_is_its_own_snippet_in_one_line():
    assert snippet("one\ntwo\tthree", "two").text == "one two three"


def test_a_long_text_is_cut_between_words_around_the_first_match():
    text = "word " * 100 + "needle " + "more " * 100
    cut = snippet(text, "needle").text
    assert cut.startswith("…word word") and cut.endswith("more more…")
    assert "needle" in cut
    assert LENGTH - 30 <= len(cut) <= LENGTH + 2


def test_a_phrase_longer_than_a_snippet_is_marked_as_far_as_it_is_shown():
    text = "before " * 20 + "long " * 90
    cut = snippet(text, f'"{"long " * 90}"')
    ((start, end),) = cut.matches
    assert cut.text[start:end].startswith("long long")


@given(st.text(min_size=1), st.text(), st.integers(0, 300))
def test_offsets_are_within_the_snippet_and_hold_a_match(needle, other, padding):
    text = other + " x" * padding + " " + needle + " " + other
    query = parse_query(needle)
    cut = cut_snippet(text, query.terms)
    assert len(cut.text) <= LENGTH + 2
    ends = [0]
    for start, end in cut.matches:
        assert ends[-1] <= start < end <= len(cut.text)
        ends.append(end)
    if query.wanted and len(words_of(needle)) == 1:
        assert cut.matches


def test_a_match_beyond_what_is_indexed_is_not_looked_for():
    text = "x " * 60_000 + "needle"
    assert snippet(text, "needle").matches == []


class Text(str):
    """A text that counts the characters sliced from it."""

    taken = 0
    __slots__ = ()

    def __getitem__(self, part):
        found = super().__getitem__(part)
        Text.taken += len(found)
        return found


@pytest.mark.parametrize("unit", ["lorem ipsum ", "数据库", "\ufdfa", "a\u0301\u0323"])
def test_no_more_of_a_text_is_looked_at_than_is_allowed(unit):
    text = Text(unit * (300_000 // len(unit)) + "needle")
    Text.taken = 0
    assert snippet(text, '"needle here"').matches == []
    assert Text.taken <= INDEXED_CHARACTERS + LENGTH


def test_the_snippets_of_a_page_share_what_they_look_at():
    for hits in (1, 20, 100, 1000):
        assert hits * characters_each(hits) <= PAGE_CHARACTERS
    text = "x " * 100 + "needle"
    terms = parse_query("needle").terms
    assert cut_snippet(text, terms, 206).matches
    assert cut_snippet(text, terms, 205).matches == []


def test_the_way_back_is_looked_for_only_around_the_match():
    folded = FoldedText("数据库é" * 20_000)
    folded.origin(40_000, 40_002)
    assert len(folded._origins) == 1


@pytest.mark.parametrize("unit", ["x", "数", "é", "\u1100\u1161\u11a8", "A\u0301"])
def test_a_match_late_in_a_text_is_shown(unit):
    text = unit * 10_000 + " needle "
    assert marked(text, "needle") == ["needle"]


def test_parts_of_an_identifier_are_marked():
    assert marked("call getUserById(1)", "user") == ["User"]
    assert marked("call getUserById(1)", "userById") == ["UserById"]
    assert marked("call ПервыйВторой", "второй") == ["Второй"]
    assert marked("rm --force", "--force") == ["force"]
    assert marked("b or c", "a OR c") == ["c"]


def test_dates_times_and_versions_next_to_letters_are_marked():
    text = "2026-03-05T10:35:07Z ERROR in v3.11.7"
    assert marked(text, "2026-03-05") == ["2026-03-05"]
    assert marked(text, "10:35") == ["10:35"]
    assert marked(text, "3.11.7") == ["3.11.7"]
    assert marked(text, "05") == ["05"]


@pytest.mark.parametrize("padding", [0, 300])
def test_an_emoji_right_after_a_letter_is_marked(padding):
    assert marked("é" + "x" * padding + "🚀 a", "🚀") == ["🚀"]


@pytest.mark.parametrize("between", [" ", "—", "é—"])
def test_a_match_after_the_snippet_is_not_marked(between):
    text = "é user " + between * 200 + "user" + between * 200
    assert marked(text, "user") == ["user"]
