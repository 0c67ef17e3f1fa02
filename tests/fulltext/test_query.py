import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.matching import Term
from chatstore.fulltext.positions import add_minus_mark, index_words
from chatstore.fulltext.query import MAX_WORDS, parse_query
from chatstore.fulltext.words import words_of


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
        [
            *map(word, ["a", "and"]),
            (word("b"), word("not")),
            word("near", "c"),
        ],
        [],
    ),
    "a OR b c": ([(word("a"), word("b")), word("c")], []),
    'a OR "b c" OR d*': ([(word("a"), word("b", "c"), prefix("d"))], []),
    "a or b": ([word("a"), word("or"), word("b")], []),
    "OR a OR": ([word("or"), word("a")], []),
    "a OR -b": ([word("a"), word("or")], [word("b")]),
    "-a OR b": ([word("or"), word("b")], [word("a")]),
    "a OR !! b": ([word("a"), word("or"), word("b")], []),
    "a OR OR b": ([(word("a"), word("or")), word("b")], []),
    "userById": ([(word("userbyid"), word("user", "by", "id"))], []),
    "getUser*": ([(prefix("getuser"), prefix("get", "user"))], []),
    "-only": ([word(add_minus_mark("only")), word("only")], []),
    "--no-go": ([word(add_minus_mark("no")), word("no", "go")], []),
    "": ([], []),
}


@pytest.mark.parametrize("text", QUERIES)
def test_a_query_is_read_as(text):
    wanted, unwanted = QUERIES[text]
    query = parse_query(text)
    clauses = [each if isinstance(each, tuple) else (each,) for each in wanted]
    assert list(query.wanted) == clauses
    assert [exclusion.term for exclusion in query.unwanted] == unwanted


@pytest.mark.parametrize("blank", [" ", "\n\u3000", "\x1c", "\x85\xa0"])
def test_a_query_of_white_space_asks_for_texts_of_white_space(blank):
    query = parse_query(blank)
    assert query.holds(" ") and query.holds("\t\u2028")
    assert not any(map(query.holds, ["", "a", " a ", "!", "\u200b"]))


@pytest.mark.parametrize("signs", ["*", "-", '"', '""', "-* ()", "^:&|!", "\u200b"])
def test_a_query_without_words_asks_for_its_signs(signs):
    query = parse_query(signs)
    assert len(query.wanted) == len(signs.split())
    assert query.holds(signs)
    assert not query.holds(f"{signs} a") and not query.holds(".")


HOLD = [
    ("jaguar -car", "the jaguar", "the jaguar, a car"),
    ("jaguar -car", "jaguar -car", "jaguar car-park"),
    ("git push --force", "$ git push --force", "git push, by force"),
    ("rm -rf", "`rm -rf /`", "rm rf"),
    ("--force", "(--force)", "force"),
    ("-x*", "a -xvf", "xvf"),
    ('a -"b c"', "a c b", "a b c"),
    ('a -"b c"', "a -“b c”", "a - b c"),
    ("userById", "getUserById()", "get_user_or_id"),
    ('"user by id"', "getUserById", "getUserIdBy"),
    ("a OR b c", "b c", "a b"),
    ("库", "数据库", "数据"),
]


@pytest.mark.parametrize(("q", "text", "other"), HOLD)
def test_a_query_holds_for_one_text_and_not_for_the_other(q, text, other):
    assert parse_query(q).holds(text)
    assert not parse_query(q).holds(other)


@pytest.mark.parametrize("before", ["", " ", "(", "`", "=", '"', "“", "é ", "a\n"])
def test_a_minus_after_this_is_written(before):
    assert add_minus_mark("x") in index_words(f"{before}-x").loose
    assert add_minus_mark("x") in index_words(f"{before}--'x'").loose


@pytest.mark.parametrize("before", ["a", "_", "é", "数", "7"])
def test_a_minus_within_a_word_only_parts_it(before):
    assert index_words(f"{before}-x").loose == []


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "OR",
        "-",
        "--",
        '"',
        "“",
        "*",
        "数据",
        "aB",
        "é",
        " ",
        "!",
        "\u0301",
        "=",
    ]
)


@given(st.text(max_size=100) | st.lists(PIECES, max_size=25).map("".join))
def test_a_text_that_is_searched_for_by_itself_is_found(text):
    assert parse_query(text).holds(text) or not text.split()


@given(st.text())
def test_no_query_is_an_error(text):
    query = parse_query(text)
    assert all(term.words for term in query.terms)


@given(st.text(alphabet=st.characters(exclude_characters='-*"“”„‟«»O')))
def test_a_text_has_all_the_words_it_is_searched_for_by(text):
    words = words_of(text)
    terms = [clause[0] for clause in parse_query(text).wanted]
    assert not words or all(term.count_in(words) for term in terms)


def test_the_first_hundred_words_count():
    many = [f"w{number}" for number in range(200)]
    assert parse_query(" ".join(many)).terms == tuple(map(word, many[:MAX_WORDS]))
    (phrase,) = parse_query(f'"{" ".join(many)}"*').terms
    assert phrase == word(*many[:MAX_WORDS])
