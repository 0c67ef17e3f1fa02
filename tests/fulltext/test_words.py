import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.folding import fold
from chatstore.fulltext.words import (
    FOLDED_CHARACTERS,
    INDEXED_CHARACTERS,
    WHOLE_BYTES,
    is_whole,
    parts_of,
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
    "数据库 aB" + "x" * 100: [["a", "b" + "x" * 99]],
}


@pytest.mark.parametrize("text", IDENTIFIERS)
def test_an_identifier_has_these_parts(text):
    text = unicodedata.normalize("NFC", text)
    assert parts_of(text) == IDENTIFIERS[unicodedata.normalize("NFC", text)]


@pytest.mark.parametrize("text", ["1" * 100_000, "1." * 50_000, "1.1a" * 25_000])
def test_numbers_add_a_bounded_number_of_words(text):
    assert sum(map(len, parts_of(text))) <= 2


MANY_PARTS = {
    "short": " ".join(f"a{chr(65 + n % 26)}x{n}Y" for n in range(10_000)),
    "long": "aB" * 50_000,
    "numbers": " ".join(f"{n % 10}.{n}a" for n in range(12_000)),
}


@pytest.mark.parametrize("text", MANY_PARTS.values(), ids=MANY_PARTS)
def test_all_identifiers_of_a_long_text_have_their_parts(text):
    assert len(text) <= INDEXED_CHARACTERS
    expected = sum((parts_of(piece) for piece in dict.fromkeys(text.split())), [])
    assert parts_of(text) == expected
    assert len(text) // 10 < sum(map(len, expected)) <= len(text)


LONG = {
    "ASCII": ("a" * 99_995, True),
    "more than is looked at": ("a" * 99_996, False),
    "18 of one": ("\ufdfa" * 11_110, True),
    "18 of one, too often": ("\ufdfa" * 11_111, False),
    "3 of one": ("ﬃ" * 66_665, True),
    "3 of one, too often": ("ﬃ" * 66_666, False),
    "2 of one": ("ǆ" * 99_995, True),
    "marks": ("e\u0301" * 49_997, True),
    "2 of one, plain": ("Ǽþ" * 49_997, True),
    "18 of one, and many of 1": ("\ufdfa" * 5_882 + "数" * 94_113, True),
    "18 of one, and too many of 1": ("\ufdfa" * 5_883 + "数" * 94_112, False),
}


@pytest.mark.parametrize(("text", "is_all"), LONG.values(), ids=LONG)
def test_a_text_is_whole_if_no_part_of_it_is_left_out(text, is_all):
    text += " late"
    assert (words_of(text)[-1] == "late") is is_all
    assert is_whole(text) is is_all


def test_folding_makes_as_many_characters_of_bytes_as_the_bound_says():
    for character in map(chr, [*range(0xD800), *range(0xE000, 0x110000)]):
        size = len(character.encode())
        assert len(fold(character)) * WHOLE_BYTES <= size * FOLDED_CHARACTERS


def test_no_character_folds_to_more_than_is_counted():
    characters = map(chr, [*range(0x80, 0xD800), *range(0xE000, 0x110000)])
    by_length = {}
    for character in characters:
        by_length.setdefault(len(fold(character)), []).append(character)
    for length, some in by_length.items():
        assert not any(is_whole(each, max_folded=length - 1) for each in some)


class Looked(str):
    """A text that counts the characters sliced from it."""

    taken = 0

    def __getitem__(self, part):
        piece = super().__getitem__(part)
        Looked.taken += len(piece)
        return piece


def test_a_text_that_folds_to_too_much_is_looked_at_up_to_the_bound(monkeypatch):
    monkeypatch.setattr(Looked, "taken", 0)
    assert not is_whole(Looked("\ufdfa" * INDEXED_CHARACTERS))
    assert FOLDED_CHARACTERS // 18 < Looked.taken < 16_000
