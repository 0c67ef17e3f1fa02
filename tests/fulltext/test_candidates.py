import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatstore.fulltext.candidates import candidate_parts
from chatstore.fulltext.folding import fold
from chatstore.fulltext.matching import Term
from chatstore.fulltext.query import parse_query
from chatstore.fulltext.words import first_word, spans_of, words_of

# Marks that vanish, combine or reorder, characters that expand, and separators.
STRANGE = (
    "aAäßæﬁſİıKÅ¼ǆªⓐ㎏ａ𝐚ﷺ\u0301\u0323\u0345\u00ad\u0640\u2060\ufe0f\u200d"
    "бБйЙёςσΣΐᾳлшשׁש\u05c1عـًهﻻ한하ㅎㅏ\u1112\u1161\u11abﾡﾂ"
    "￭￮かが\u3099\u309aｶﾞ゛नऩ\u093c\u094d\u0951कফ\u09bc\u09c7\u09be\u09cb"
    "ำําู่ไท数据库，。、 \n-_'”—1２²½🚀\U0001f3fd\U0001e900"
)
TEXTS = st.text(st.one_of(st.sampled_from(STRANGE), st.characters(codec="utf-8")))


def near(text, terms):
    return "\n".join(text[start:end] for start, end in candidate_parts(text, terms))


@settings(max_examples=500)
@given(TEXTS, st.data())
def test_each_word_of_a_text_is_in_a_part_that_is_near_it(text, data):
    words = words_of(text)
    if not words:
        return
    word = data.draw(st.sampled_from(words))
    beginning = word[: data.draw(st.integers(1, len(word)))]
    for term in (Term((word,)), Term((beginning,), is_prefix=True)):
        found = words_of(near(text, [term]))
        assert term.count_in(found) == term.count_in(words)


@settings(max_examples=500)
@given(TEXTS, TEXTS)
def test_each_term_of_a_text_is_in_a_part_that_is_near_it(before, query):
    text = f"{before} {query} {before}{query}"
    terms = parse_query(query).terms
    words = words_of(text)
    found = words_of(near(text, terms))
    for term in terms:
        assert term.count_in(found) == term.count_in(words)


@given(TEXTS, st.sampled_from(["ab", "ка", "है", "数据"]))
def test_a_part_folds_as_it_does_in_its_text(text, word):
    text = f"{text} {word} {text}"
    spans = list(spans_of(fold(text)))
    for start, end in candidate_parts(text, [Term((word,))]):
        split_values = " ".join((text[:start], text[start:end], text[end:]))
        assert [each for each, _, _ in spans_of(fold(split_values))] == [
            each for each, _, _ in spans
        ]


# A word to find, and a text that shares some letters with it.
SCRIPTS = [
    ("budget", "bucket"),
    ("haushalt", "häuser große"),
    ("ngân", "ngày"),
    ("бюджет", "бюро"),
    ("προϋπολογισμό", "προσπάθεια"),
    ("الميزانية", "الميناء"),
    ("התקציב", "התקדמות"),
    ("बजट", "बजे"),
    ("งบประมาณ", "งาน"),
    ("预算", "预先"),
    ("予算", "予定"),
    ("예산", "예정"),
    ("🐳", "🐬"),
]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize(("word", "other"), SCRIPTS)
def test_hardly_more_is_folded_than_what_is_sought(word, other, form):
    if word == "예산":
        form = (
            "NFC"  # letters of Hangul combine in many ways, so all of these are folded
        )
    word, other = (unicodedata.normalize(form, each) for each in (word, other))
    text = f"{other} " * 200 + word + f" {other}" * 200
    found = list(candidate_parts(text, parse_query(word).terms))
    assert [text[start:end] for start, end in found] == [word]


@pytest.mark.parametrize(
    "unit", ["budget ", "bu", "бюджет ", "预算", "🐳 ", "ßæ", "ﷺ "]
)
@pytest.mark.parametrize("q", ["budget", "бюджет", "预算", "🐳", "a", '"a b"', "b*"])
def test_no_part_of_a_text_is_folded_twice(unit, q):
    text = unit * 500
    last = 0
    for start, end in candidate_parts(text, parse_query(q).terms):
        assert last <= start < end <= len(text)
        last = end


@pytest.mark.parametrize(
    ("q", "text"),
    [
        ("haushalt", "wußte maßen, daß Spaß"),
        ("sitzung", "wußte maßen, daß Spaß"),
        ("flusses", "wußte maßen, daß Spaß"),
        ("λιμάνι", "ᾳδης τῷ ᾠδή"),
        ("sông nhiệt", "không ổng hông siệt"),
        ("реки отчёт", "пересмотреть"),
        ("перед", "пересмотреть"),
        ("รู้", "รถ เรือ แรง"),
    ],
)
def test_words_that_only_share_letters_are_not_looked_at(q, text):
    assert near(text, parse_query(q).terms) == ""


@pytest.mark.parametrize(
    ("word", "text"),
    [
        ("strasse", "ſtraße"),
        ("ausschuss", "Außchuß"),
        ("flusses", "flußes"),
        ("sinn", "ſinn"),
        ("spaß", "Spaſs"),
        ("caesar", "Cæsar"),
        ("ᾳδησ", "ᾳδης"),
        ("ญี่ปุ่น", "ญ\u0e48ีป\u0e48\u0e38น"),
        ("\u093cι", "\u0345\u093c"),
        ("コド", "\u30ff\u3099"),
        ("ιαβ", "\u037aαβ"),
    ],
)
def test_a_word_is_found_whichever_way_its_letters_are_written(word, text):
    for sought in {first_word(word), fold(word)}:
        assert near(text, [Term((sought,), is_prefix=True)]) == text


@pytest.mark.parametrize("word", ["budget", "бюджет", "ngân", "पोर", "नमस्ते", "🐳"])
def test_few_neighbours_of_a_word_that_stands_often_are_looked_at(word):
    text = f"{word} {'é ' * 40}" * 60
    assert len(near(text, parse_query(word).terms)) <= 60 * (len(word) + 8)


def test_a_word_of_all_its_forms_is_found():
    for text in (
        "BÜDGET",
        "ｂｕｄｇｅｔ",
        "𝐛𝐮𝐝𝐠𝐞𝐭",
        "bu\u00addget",
        "b\u0301udg\u0323et",
    ):
        assert near(f"x {text} x é", [Term(("budget",))]) == text


@pytest.mark.parametrize("unit", ["xdgetx ", "dget ", "büdget ", "джет, "])
def test_a_long_text_has_few_parts(unit):
    text = unit * (100_000 // len(unit))
    for q in ("budget", "бюджет", "бюджет OR budget"):
        assert len(list(candidate_parts(text, parse_query(q).terms))) <= 200


@pytest.mark.parametrize("mark", ["\u0301", "\u00ad", "\u094d", "\u3099"])
def test_no_pattern_passes_any_number_of_marks(mark):
    # Matching any number of marks is quadratic, so letters with many always match.
    terms = [Term(("budget",))]
    assert near("bud" + 4 * mark, terms) == "bud" + 4 * mark
    assert near("bud" + 3 * mark, terms) == ""
    assert near("bu" + 50 * mark + "dget", terms) == "bu" + 50 * mark + "dget"
    assert near("bu" + 3 * mark + "dget", terms) == "bu" + 3 * mark + "dget"
