import pytest

from chatstore.access.trusted_peers import parse_trusted_peers


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("10.0.0.0/8, ::1", "10.255.0.1"),
        ("10.0.0.0/8, ::1", "::1"),
        ("10.0.0.0/8", "::ffff:10.0.0.1"),
        ("fd00::/8", "fd00::1%eth0"),
        ("unix", ""),
    ],
)
def test_a_peer_of_the_list_is_trusted(trusted, peer):
    assert parse_trusted_peers(trusted).includes(peer)


@pytest.mark.parametrize(
    ("trusted", "peer"),
    [
        ("127.0.0.1", "127.0.0.2"),
        ("127.0.0.1", ""),
        ("127.0.0.1", "localhost"),
        ("unix", "127.0.0.1"),
        ("10.0.0.0/8", "fd00::1"),
        ("", ""),
        ("", "127.0.0.1"),
    ],
)
def test_another_peer_is_not(trusted, peer):
    assert not parse_trusted_peers(trusted).includes(peer)


@pytest.mark.parametrize(
    "word", ["proxy.example", "10.0.0.1/8", "0.0.0.0/0", "::/0", "10.0.0.0/33", "*"]
)
def test_what_is_no_network_or_is_every_address_is_refused(word):
    with pytest.raises(ValueError, match=word.replace("*", r"\*")):
        parse_trusted_peers(f"127.0.0.1,{word}")
