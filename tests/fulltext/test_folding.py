import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatstore.fulltext.folding import fold, fold_case, limit_marks


@given(st.text(), st.text())
def test_ascii_signs_separate_parts_that_fold_independently(one, other):
    assert fold(f"{one},{other}") == f"{fold(one)},{fold(other)}"


@pytest.mark.parametrize("mark", ["\u0301", "\u0951", "\U0001d165", "\u3099"])
def test_a_letter_has_thirty_marks_at_most(mark):
    kept = limit_marks("a" + mark * 10_000 + "b" + mark * 30)
    assert kept == "a" + mark * 30 + "b" + mark * 30


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Support", "SUPPORT"),
        ("é", "e\u0301"),
        ("É", "e\u0301"),
        ("Straße", "STRASSE"),
        ("Σίσυφος", "ΣΊΣΥΦΟΣ"),
        ("ﬁn", "FIN"),
        ("Ａ１", "a1"),
        ("가", "\u1100\u1161"),
        ("\u0345\u0308", "\u0308\u0345"),
    ],
)
def test_texts_of_different_case_and_form_have_one_folded_form(one, other):
    assert fold_case(one) == fold_case(other)


@pytest.mark.parametrize(
    ("one", "other"), [("resume", "résumé"), ("o", "ø"), ("a b", "ab"), ("i", "ı")]
)
def test_other_texts_keep_apart(one, other):
    assert fold_case(one) != fold_case(other)


def test_each_character_folds_once_to_something():
    for number in range(sys.maxunicode + 1):
        character = chr(number)
        folded = fold_case(character)
        assert folded, hex(number)
        assert fold_case(folded) == folded, hex(number)


@given(st.text())
def test_all_forms_of_a_text_fold_to_one(text):
    folded = fold_case(text)
    assert fold_case(folded) == folded
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        assert fold_case(unicodedata.normalize(form, text)) == folded
    assert fold_case(text.casefold()) == folded
