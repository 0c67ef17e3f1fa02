"""A gate at which a migration waits until its test lets it go on."""

from threading import Event

is_reached = Event()
may_go_on = Event()


def close() -> None:
    is_reached.clear()
    may_go_on.clear()


def wait() -> None:
    is_reached.set()
    assert may_go_on.wait(60)
