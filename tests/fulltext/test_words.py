import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.words import (
    FOLDED_CHARACTERS,
    INDEXED_CHARACTERS,
    MOST_PARTS,
    parts_of,
    without_crowds,
    words_of,
)

WORDS = {
    "The quick, brown fox!": ["the", "quick", "brown", "fox"],
    "snake_case 3.14 don't": ["snake", "case", "3", "14", "don", "t"],
    "Café CAFÉ Cafe\u0301": ["cafe", "cafe", "cafe"],
    "naïve straße ﬁne ｆｕｌｌ": ["naive", "strasse", "fine", "full"],
    "Øre Łódź đồng Æsop þing": ["ore", "lodz", "dong", "aesop", "thing"],
    "İstanbul ILIK ılık": ["istanbul", "ilik", "ilik"],
    "Ελλάδα ΕΛΛΆΔΑ λόγος": ["ελλαδα", "ελλαδα", "λογοσ"],
    "Ёлка Київ": ["елка", "київ".replace("ї", "і")],
    "عَرَبِيّ عربى ـعربيـ": ["عربي", "عربى", "عربي"],
    "שָׁלוֹם": ["שלום"],
    "हिन्दी में": ["हिन्दी", "में"],
    "数据库很快": ["数据", "据库", "库很", "很快", "快"],
    "我 love 你们": ["我", "love", "你们", "们"],
    "한국어": ["한국", "국어", "어"],
    "カ\u3099ス ｶﾞｽ": ["ガス", "ス", "ガス", "ス"],
    "ไทย": ["ไท", "ทย", "ย"],
    "iPhone手机2": ["iphone", "手机", "机", "2"],
    "🚀🚀 👍🏽 ❤️": ["🚀", "🚀", "👍", "🏽", "❤"],
    "soft\u00adhyphen zero\u200bwidth": ["softhyphen", "zero", "width"],
    "\ue000 \x7f … — ": [],
    "": [],
}


@pytest.mark.parametrize("text", WORDS)
def test_text_becomes_these_words(text):
    assert words_of(text) == WORDS[text]


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
@pytest.mark.parametrize("text", WORDS)
def test_how_a_text_is_encoded_makes_no_difference(text, form):
    assert words_of(unicodedata.normalize(form, text)) == WORDS[text]


@given(st.text())
def test_ascii_text_has_the_words_that_it_has_beside_other_text(text):
    text = text.encode("ascii", "ignore").decode()
    assert words_of(f"{text} é") == [*words_of(text), "e"]


@given(st.text())
def test_words_can_stand_in_any_index(text):
    for word in words_of(text):
        assert 1 <= len(word) <= 100
        assert word == word.lower() or not word.isascii()
        assert not set(word) & set(" _'\"\\:*()\x00\ue000\ue001")


def test_a_long_word_is_cut():
    assert words_of("x" * 250) == words_of("é" * 0 + "x" * 100) == ["x" * 100]
    assert words_of("é" * 250) == ["e" * 100]


def test_the_end_of_a_long_text_is_left_out():
    text = "a " * (INDEXED_CHARACTERS // 2)
    assert words_of(text + "late") == words_of(text)


@pytest.mark.parametrize(
    "text",
    ["\ufdfa" * 340_000, "\ufdfa " * 50_000, "a" + "\u0301\u0323" * 200_000],
    ids=["FDFA", "FDFAs", "marks"],
)
def test_folding_makes_no_text_longer_than_the_bound(text):
    assert sum(map(len, words_of(text))) <= FOLDED_CHARACTERS


@pytest.mark.parametrize("mark", ["\u0301", "\u0951", "\U0001d165", "\u3099"])
def test_a_letter_has_thirty_marks_at_most(mark):
    kept = without_crowds("a" + mark * 10_000 + "b" + mark * 30)
    assert kept == "a" + mark * 30 + "b" + mark * 30


IDENTIFIERS = {
    "getUserById": [["get", "user", "by", "id"]],
    "HTTPServer": [["http", "server"]],
    "parseJSON2": [["parse", "json", "2"]],
    "x=getX(a) getX MyType": [["get", "x"], ["my", "type"]],
    "пользовательИмя ΓάταΣκύλος": [["пользователь", "имя"], ["γατα", "σκυλοσ"]],
    "caféBar": [["cafe", "bar"]],
    "PDFs order4300 UPPER lower Title v2": [],
    "2026-03-05T10:35:07.25Z": [["2026", "03", "05"], ["10", "35", "07", "25"]],
    "v3.11.7 1.2rc getX3.4": [
        ["3", "11", "7"],
        ["1", "2"],
        ["get", "x", "3"],
        ["3", "4"],
    ],
    "2026-03-05 10:35:07, 10.0.1.50 3.11.7 T1 1T": [],
    "数据库 aB" + "x" * 100: [],
}


@pytest.mark.parametrize("text", IDENTIFIERS)
def test_an_identifier_has_these_parts(text):
    text = unicodedata.normalize("NFC", text)
    assert parts_of(text) == IDENTIFIERS[unicodedata.normalize("NFC", text)]


@pytest.mark.parametrize("text", ["1" * 100_000, "1." * 50_000, "1.1a" * 25_000])
def test_numbers_add_a_bounded_number_of_words(text):
    assert sum(map(len, parts_of(text))) <= 2


def test_identifiers_add_a_bounded_number_of_words():
    text = " ".join(f"a{chr(65 + n % 26)}x{n}Y" for n in range(9_000))
    assert sum(map(len, parts_of(text))) <= MOST_PARTS
