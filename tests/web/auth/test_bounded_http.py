import socket
import threading

import pytest

from chatstore.web.auth.bounded_http import Answer, exchange
from tests.support.tokens import issuer


def test_an_answer_may_have_as_many_bytes_as_allowed():
    with issuer(b"12345") as served:
        answer = exchange(served.url, seconds=5, max_bytes=5, headers={})
        assert answer == Answer(200, b"12345")
        with pytest.raises(ValueError, match="more than 4 bytes"):
            exchange(served.url, seconds=5, max_bytes=4, headers={})


def test_a_redirect_is_not_followed():
    with issuer(b"") as served:
        served.status, served.location = 302, f"{served.url}&elsewhere"
        assert exchange(served.url, seconds=5, max_bytes=5, headers={}).status == 302
        assert served.count == 1


def test_an_answer_that_drips_is_cut_off():
    has_ended = threading.Event()

    def drip(listener):
        with listener.accept()[0] as connection:
            connection.sendall(b"HTTP/1.1 200 OK\r\nA: ")
            while not has_ended.wait(0.05):
                try:
                    connection.sendall(b"a")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        dripping = threading.Thread(target=drip, args=[listener])
        dripping.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        with pytest.raises(TimeoutError):
            # The timeout of the socket alone would never end it.
            exchange(url, seconds=0.3, max_bytes=5, headers={})
        has_ended.set()
        dripping.join()


@pytest.mark.parametrize("body", [b"", b"x", b"[]", b"[" * 100_000, b"\xff", b"null"])
def test_what_is_no_json_object_is_refused(body):
    with pytest.raises(ValueError, match="is no"):
        Answer(200, body).json_object()
