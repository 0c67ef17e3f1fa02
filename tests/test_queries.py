import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.analyzer import words_of
from chatstore.queries import MOST_WORDS, Query, Term, parse_query


def word(*words):
    return Term(words)


def prefix(*words):
    return Term(words, is_prefix=True)


QUERIES = {
    "two Words": ([word("two"), word("words")], []),
    "twice TWICE": ([word("twice")], []),
    '"a phrase" here': ([word("a", "phrase"), word("here")], []),
    "“curly” «French»": ([word("curly"), word("french")], []),
    "well-known": ([word("well", "known")], []),
    "yes -no --never": ([word("yes")], [word("no"), word("never")]),
    'yes -"not this"': ([word("yes")], [word("not", "this")]),
    "wor* foo-ba*": ([prefix("wor"), prefix("foo", "ba")], []),
    '"some phra"*': ([prefix("some", "phra")], []),
    "数据": ([word("数据")], []),
    "数据库": ([word("数据", "据库")], []),
    "库": ([prefix("库")], []),
    "库*": ([prefix("库")], []),
    '"数据 base"': ([word("数据", "据", "base")], []),
    "iPhone手机": ([word("iphone", "手机")], []),
    "🚀 ❤️": ([word("🚀"), word("❤")], []),
    '"unbalanced one': ([word("unbalanced", "one")], []),
    "a AND b OR NOT NEAR(c)": (
        [*map(word, ["a", "and", "b", "or", "not"]), word("near", "c")],
        [],
    ),
    "-only": ([], [word("only")]),
    **{
        nothing: ([], [])
        for nothing in ["", " ", "*", "-", '"', '""', "-* ()", "^:&|!"]
    },
}


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_is_read_as(text):
    wanted, unwanted = QUERIES[text]
    assert parse_query(text) == Query(tuple(wanted), tuple(unwanted))


@given(st.text())
def test_no_query_is_an_error(text):
    query = parse_query(text)
    assert all(term.words for term in [*query.wanted, *query.unwanted])


@given(st.text(alphabet=st.characters(exclude_characters='-*"“”„‟«»')))
def test_a_text_has_all_the_words_it_is_searched_for_by(text):
    words = words_of(text)
    assert all(term.count_in(words) for term in parse_query(text).wanted)


def test_the_first_hundred_words_count():
    many = [f"w{number}" for number in range(200)]
    assert parse_query(" ".join(many)).wanted == tuple(map(word, many[:MOST_WORDS]))
    (phrase,) = parse_query(f'"{" ".join(many)}"*').wanted
    assert phrase == word(*many[:MOST_WORDS])


@pytest.mark.parametrize(
    ("term", "count"),
    [
        (word("a"), 3),
        (word("a", "b"), 2),
        (word("b", "b"), 0),
        (word("a", "bc"), 1),
        (prefix("b"), 3),
        (prefix("a", "b"), 3),
        (word("d"), 0),
    ],
)
def test_a_term_is_counted(term, count):
    assert term.count_in(["a", "b", "a", "b", "a", "bc"]) == count
