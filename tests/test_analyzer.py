import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.analyzer import (
    INDEXED_CHARACTERS,
    fold,
    lay_out,
    locate_words,
    runs_of,
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


@given(st.text())
def test_what_is_folded_stays_as_it_is(text):
    assert fold(fold(text)) == fold(text)


@given(st.text())
def test_located_words_are_the_words(text):
    located = list(locate_words(text))
    assert [each.word for each in located] == words_of(text)
    assert all(0 <= each.start < each.end <= len(text) for each in located)
    assert [word for _, words in runs_of(text) for word in words] == words_of(text)


def test_a_located_word_is_where_it_stands():
    text = "Ein naïver Cafe\u0301-Gast: 数据库!"
    found = [(each.word, text[each.start : each.end]) for each in locate_words(text)]
    assert found == [
        ("ein", "Ein"),
        ("naiver", "naïver"),
        ("cafe", "Cafe\u0301"),
        ("gast", "Gast"),
        ("数据", "数据"),
        ("据库", "据库"),
        ("库", "库"),
    ]


def test_a_long_word_is_cut():
    assert words_of("x" * 250) == words_of("é" * 0 + "x" * 100) == ["x" * 100]
    assert words_of("é" * 250) == ["e" * 100]


def test_the_end_of_a_long_text_is_left_out():
    text = "a " * (INDEXED_CHARACTERS // 2)
    assert words_of(text + "late") == words_of(text)


# How words are laid out


def test_the_words_of_a_short_text_all_have_their_place():
    words = ["a"] * 255
    assert lay_out(words).stretches == [words]


def test_a_word_has_255_places_and_parts_its_neighbours_then():
    layout = lay_out(["a", "b"] * 255 + ["a", "c", "a", "d"])
    assert layout.stretches == [["a", "b"] * 255, ["c"], ["d"]]
    assert layout.loose == []


def test_words_after_the_last_place_are_loose():
    words = [f"w{number}" for number in range(20_000)]
    layout = lay_out([*words, "w1"])
    assert layout.stretches == [words[:16_381]]
    assert layout.loose == words[16_381:]


def test_no_more_words_are_kept_than_a_tsvector_holds():
    letters = [chr(0x20000 + number) for number in range(320)]
    words = [one + other for one in letters for other in letters]
    layout = lay_out(words)
    kept = sum(map(len, layout.stretches)) + len(layout.loose)
    assert len(words) == 102_400
    assert kept == 1_040_000 // 12


def test_a_hundred_thousand_different_pairs_are_all_kept():
    letters = [chr(0x4E00 + number) for number in range(317)]
    words = [one + other for one in letters for other in letters][:100_000]
    layout = lay_out(words)
    assert layout.stretches[0] + layout.loose == words
