import pytest

from chatstore.enums import Role
from chatstore.store.previews import LookBack, find_preview, preview_of_text

USER, TALK = (Role.USER,), (Role.TOOL, Role.USER)


@pytest.mark.parametrize(
    ("role", "content", "preview"),
    [
        ("user", " hi \n", "hi"),
        ("assistant", "x" * 201, "x" * 200),
        ("tool", "{}", None),
        ("system", "Be kind.", None),
        ("user", " \n\u3000", None),
    ],
)
def test_a_preview_is_what_a_person_reads(role, content, preview):
    assert preview_of_text(role, content) == preview


@pytest.mark.parametrize(
    ("contents", "roles", "preview"),
    [
        (["a", "b", "c", "d"], TALK, "c"),
        (["a", "b", "", " "], USER, "b"),
        ([""] * 30, USER, None),
        ([" " * 5000 + "late"], USER, "late"),
        ([" " * 300 + "x" * 300], USER, "x" * 200),
    ],
)
def test_the_last_readable_text_is_found(fill, contents, roles, preview):
    assert find_preview(fill(contents, roles=roles).id) == preview


@pytest.mark.parametrize(
    ("contents", "look_back", "preview"),
    [
        (["far"] + [""] * 20, LookBack(messages=20), None),
        (["far"] + [""] * 20, LookBack(messages=21), "far"),
        (["far", " " * 100, " " * 100], LookBack(bytes=150), None),
        (["far", " " * 100, " " * 100], LookBack(bytes=250), "far"),
    ],
)
def test_the_look_back_is_bounded(fill, contents, look_back, preview):
    assert find_preview(fill(contents).id, look_back=look_back) == preview
