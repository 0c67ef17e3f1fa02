import pytest

from chatstore.access.owners import owner_flaw


@pytest.mark.parametrize("owner", ["local", "alice@example.org", "Zoë Müller", "张伟"])
def test_a_name_can_be_an_owner(owner):
    assert owner_flaw(owner) is None


@pytest.mark.parametrize(
    ("owner", "flaw"),
    [
        ("", "empty"),
        (" ", "empty"),
        ("  ", "empty"),
        ("alice ", "white space"),
        ("a" * 256, "255"),
        ("al\0ice", "printable"),
        ("al\nice", "printable"),
        ("al\ud800ice", "printable"),
    ],
)
def test_what_cannot_be_an_owner(owner, flaw):
    assert flaw in owner_flaw(owner)
