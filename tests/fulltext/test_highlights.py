import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chatstore.fulltext.folding import fold
from chatstore.fulltext.highlights import MAX_MATCHES, Highlighter
from chatstore.fulltext.query import parse_query
from chatstore.fulltext.words import tokens_of


def matches(text, q, searched=None):
    return Highlighter(parse_query(q)).matches(text, searched)


def marked(text, q, searched=None):
    return [text[start:end] for start, end in matches(text, q, searched)]


@pytest.mark.parametrize(
    ("text", "q", "expected"),
    [
        ("One plan, another PLAN", "plan", ["plan", "PLAN"]),
        ("plan " + "x " * 500 + "plan", "plan", ["plan", "plan"]),
        ("Pläne und plane " + "x " * 500 + "pla\u0308ne", "plane", None),
        ("数据库很快, 快", "据库", ["据库"]),
        ("数据库很快, 很", "很", ["很快", "很"]),
        ("go 🚀🚀 go", "🚀", ["🚀", "🚀"]),
        ("see foo-bar.", '"foo bar"', ["foo-bar"]),
        ("working words", "wor*", ["working", "words"]),
        ("call getUserById and userById", "userById", ["UserById", "userById"]),
        ("b getUser b", "user OR b", ["b", "User", "b"]),
        ("2026-03-05T10:35:07Z in v3.11.7", "3.11.7 10:35", ["10:35", "3.11.7"]),
        ("a b c b", '"a b" "b c"', ["a b c"]),
        ("git push --force", "--force", ["force"]),
        ("nothing", "else", []),
        ("", "x", []),
        ("x", "", []),
        ("!@#", "!@#", []),
    ],
)
def test_all_matches_are_found_in_order(text, q, expected):
    if expected is None:
        expected = ["Pläne", "plane", "pla\u0308ne"]
    assert marked(text, q) == expected


def test_a_text_that_does_not_match_the_whole_query_has_no_matches():
    assert marked("a plan", "plan fees") == []
    assert marked("a plan", "plan OR fees") == ["plan"]
    assert marked("a plan", "plan -fees") == ["plan"]
    assert marked("a plan with fees", "plan -fees") == []
    assert marked("a plan with --fees", "plan -fees") == ["plan"]


def test_the_query_may_match_in_more_than_is_shown():
    searched = "the plan\nget_fees"
    assert marked("the plan", "plan fees", searched) == ["plan"]
    assert marked("the plan", "plan missing", searched) == []
    assert marked("the plan", "fees", searched) == []
    assert marked("the plan", "plan -get", searched) == []


@pytest.mark.parametrize("unit", ["plan ", "plän ", "getPlan ", "数据 "])
def test_a_text_has_the_first_matches_up_to_a_bound(unit):
    text = unit * 2000 + "late"
    q = {"数据 ": "数据"}.get(unit, "plan")
    first = matches(unit * MAX_MATCHES, q)
    assert len(first) == MAX_MATCHES
    assert matches(text, q) == first
    # What comes after the bound decides whether the text matches.
    assert matches(text, f"{q} late") == first
    assert matches(text, f"{q} later") == matches(text, f"{q} -late") == []


def test_a_phrase_after_the_bound_joins_no_earlier_match():
    text = "a " * (MAX_MATCHES + 60) + "b"
    phrase = '"' + "a " * 60 + 'b"'
    found = matches(text, f"a OR {phrase}")
    assert found == [(2 * number, 2 * number + 1) for number in range(MAX_MATCHES)]


def test_only_the_indexed_part_of_a_text_is_read():
    assert matches("x " * 49_998 + "plan plan", "plan") == [(99_996, 100_000)]
    assert matches("x " * 60_000 + "plan", "plan") == []


def test_offsets_count_code_points_of_the_whole_text():
    text = "😀 é\n\n\u0644\u0644 " * 300 + "plan"
    assert matches(text, "plan") == [(len(text) - 4, len(text))]


PIECES = [
    "a",
    "b",
    "c",
    "ab",
    "数据",
    "库",
    "é",
    "🚀",
    " ",
    '"',
    "-",
    "*",
    "(",
    ":",
    "aB",
]
TEXTS = st.lists(st.sampled_from(PIECES), max_size=30).map("".join) | st.text()


@given(TEXTS, TEXTS)
@example("a", "-a")
def test_exactly_the_texts_that_search_finds_have_matches(text, q):
    query = parse_query(q)
    has_words = bool(tokens_of(q))  # the signs of a text are not marked
    found = matches(text, q)
    assert bool(found) == (has_words and query.can_match and query.holds(text))
    assert found == sorted(found)
    ends = [0]
    for start, end in found:
        assert ends[-1] <= start < end <= len(text)
        ends.append(end)


@given(
    st.lists(st.sampled_from(["plan", "PLÄN", "pla\u0308n", "planb", ",", "\n", " "]))
)
def test_a_match_folds_to_the_word_and_every_such_word_is_a_match(pieces):
    text = " ".join(pieces)
    expected = [each for each in pieces if fold(each) == "plan"]
    assert marked(text, "plan") == expected
