from datetime import UTC, datetime, timedelta

from chatstore.access.failed_logins import FailedLogin, FailedLogins

MINUTE = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)


def test_failures_are_counted_by_address_and_minute():
    failed = FailedLogins()
    for second in (0, 59):
        failed.note("192.0.2.1", MINUTE + timedelta(seconds=second))
    failed.note("192.0.2.2", MINUTE)
    later = MINUTE + timedelta(seconds=60)
    failed.note("192.0.2.1", later)
    assert failed.take(later) == [
        FailedLogin(MINUTE, "192.0.2.1", 2),
        FailedLogin(MINUTE, "192.0.2.2", 1),
    ]
    assert failed.take(later) == []
    assert len(failed.take(later + timedelta(minutes=1))) == 1


def test_a_minute_has_at_most_60_rows_and_memory_is_bounded():
    failed = FailedLogins()
    for minute in range(20):
        for host in range(200):
            failed.note(f"192.0.2.{host}", MINUTE + timedelta(minutes=minute))
    taken = failed.take(MINUTE + timedelta(hours=1))
    assert len(taken) == 10 * 60
    assert sum(each.failures for each in taken) == 10 * 200
    assert taken[59] == FailedLogin(MINUTE, None, 200 - 59)


def test_failures_that_were_not_written_are_returned_again():
    failed = FailedLogins()
    failed.note("192.0.2.1", MINUTE)
    later = MINUTE + timedelta(minutes=1)
    taken = failed.take(later)
    failed.note("192.0.2.1", MINUTE)
    failed.give_back(taken)
    assert failed.take(later) == [FailedLogin(MINUTE, "192.0.2.1", 2)]


def test_memory_is_bounded_when_failures_are_given_back():
    failed = FailedLogins()
    for _ in range(3):
        failed.give_back(
            FailedLogin(MINUTE + timedelta(minutes=minute), f"192.0.2.{host}", 1)
            for minute in range(20)
            for host in range(200)
        )
    taken = failed.take(MINUTE + timedelta(hours=1))
    assert len(taken) == 10 * 60
    assert taken[0] == FailedLogin(MINUTE, "192.0.2.0", 3)
