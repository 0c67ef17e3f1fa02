from datetime import date, timedelta

import pytest
from sqlalchemy import event, func, select, text

from chatstore.clock import utc_now
from chatstore.db import db, run_read, run_write, transaction
from chatstore.enums import UsageBucket, UsageSplit
from chatstore.errors import ValidationFailed
from chatstore.models import ChatSession, Message, UsageCount, UsageProgress
from chatstore.periods import periods_between
from chatstore.services.usage import add_usage
from chatstore.store import usage
from chatstore.store.deletions import hide_sessions
from chatstore.store.edits import edit_message
from chatstore.store.erasures import delete_message
from chatstore.store.forks import finish_fork, plan_fork
from chatstore.store.messages import append_message, append_messages
from chatstore.store.sessions import create_session, delete_session
from chatstore.store.usage import Bounds, Counts
from tests.support import on_postgresql

SOON = Bounds(lag=timedelta(0))
USAGE = {"usage": {"input_tokens": 3, "output_tokens": 2}}


@pytest.fixture
def chat(db_session, clock):
    return create(owner_id="alice")


def create(owner_id, **columns):
    return run_write(
        create_session, owner_id=owner_id, llm_model_name="model", **columns
    ).id


def append(chat, content="héllo", *, owner_id="alice", **keywords):
    keywords = {"extra": USAGE} | keywords
    return run_write(
        append_message, chat, owner_id=owner_id, content=content, **keywords
    ).id


def used(owner_id="alice", *, bounds=SOON, split=UsageSplit.NONE, by="day", **where):
    """Return the usage of the last 30 periods, without the empty ones."""
    where = {"start": None, "end": None, "tz": "UTC"} | where
    periods = periods_between(by=UsageBucket(by), now=utc_now(), **where)
    found = run_read(
        usage.get_usage, periods, owner_id=owner_id, split=split, bounds=bounds
    )
    return [each for each in found.periods if each.sessions or each.counts.messages]


def total(owner_id="alice"):
    counts = Counts()
    for each in used(owner_id):
        counts = counts.plus(each.counts)
    return counts


def added():
    """Return the number of messages in the table."""
    return db.session.scalar(select(func.coalesce(func.sum(UsageCount.messages), 0)))


def add(bounds=SOON):
    add_usage(bounds=bounds)
    db.session.rollback()


def test_messages_count_the_same_before_and_after_they_are_added(chat):
    append(chat)
    append(chat, "x", extra=None)
    expected = Counts(2, 7, 3, 2)
    assert (added(), total()) == (0, expected)
    add()
    assert (added(), total()) == (2, expected)
    append(chat)
    assert (added(), total()) == (2, expected.plus(Counts(1, 6, 3, 2)))
    add()
    add()
    assert (added(), total()) == (3, expected.plus(Counts(1, 6, 3, 2)))


@pytest.mark.parametrize("is_added", [False, True])
def test_usage_is_the_owners(chat, is_added):
    append(chat)
    append(create(owner_id="bob"), "theirs", owner_id="bob")
    if is_added:
        add()
    (mine,) = used("alice")
    assert (mine.counts, mine.sessions) == (Counts(1, 6, 3, 2), 1)
    assert used("carol") == []


@pytest.mark.parametrize("is_added", [False, True])
@pytest.mark.parametrize(
    ("split", "parts"),
    [
        ("none", {}),
        ("role", {"user": Counts(2, 12, 6, 4), "assistant": Counts(1, 6, 3, 2)}),
        ("model", {"model": Counts(2, 12, 6, 4), "other": Counts(1, 6, 3, 2)}),
    ],
)
def test_usage_is_split(chat, split, parts, is_added):
    append(chat)
    append(chat)
    append(chat, role="assistant", extra=USAGE | {"model": "other"})
    if is_added:
        add()
    (day,) = used(split=UsageSplit(split))
    assert (day.counts, day.parts) == (Counts(3, 18, 9, 6), parts)


@pytest.mark.parametrize("is_added", [False, True])
def test_messages_belong_to_the_period_of_their_timestamp(chat, clock, is_added):
    # 23:59:59.9999995 would be rounded to the next day.
    for moment in ("23:59:59.999900", "00:00:00.000001", "00:15:00.000000"):
        clock.now = clock.now.replace(hour=0, minute=0, second=0, microsecond=0)
        hour, minute, second = moment.split(":")
        clock.now += timedelta(
            days=hour == "00" and minute == "00",
            hours=int(hour),
            minutes=int(minute),
            seconds=float(second),
        )
        clock.step = timedelta(0)
        append(chat)
    if is_added:
        clock.now += timedelta(days=1)
        add()
    assert [each.counts.messages for each in used()] == [1, 2]
    days = used(start=date(2026, 1, 1), end=date(2026, 1, 5), tz="Asia/Kathmandu")
    assert [each.counts.messages for each in days] == [0, 3]


def test_young_messages_wait(chat, clock):
    append(chat)
    clock.now += timedelta(minutes=2)
    append(chat)
    add(Bounds())
    assert added() == 1
    clock.now += timedelta(minutes=2)
    add(Bounds())
    assert added() == 2


def test_messages_of_a_clock_that_was_ahead_do_not_wait(chat, clock):
    clock.now += timedelta(days=365)
    append(chat)
    clock.now -= timedelta(days=365)
    append(create(owner_id="alice"))
    clock.now += timedelta(minutes=2)
    add(Bounds())
    assert added() == 2


def test_batches_are_bounded(chat):
    for _ in range(5):
        append(chat, extra=USAGE | {"refusal": "x" * 100})
    horizon = usage.find_horizon()
    db.session.rollback()
    counts = [
        run_write(usage.add_batch, horizon=horizon, bounds=bounds)
        for bounds in (
            Bounds(lag=timedelta(0), batch=2),
            Bounds(lag=timedelta(0), batch_extra_bytes=250),
            Bounds(lag=timedelta(0), batch_extra_bytes=1),
        )
    ]
    assert counts == [2, 1, 1]
    assert total() == Counts(5, 30, 15, 10)


def test_a_query_counts_few_messages_itself(chat):
    for _ in range(5):
        append(chat)
    periods = periods_between(None, None, by=UsageBucket.DAY, tz="UTC", now=utc_now())

    def ask(**bounds):
        found = usage.get_usage(periods, owner_id="alice", bounds=Bounds(**bounds))
        messages = sum(each.counts.messages for each in found.periods)
        return messages, found.is_complete, found.needs_worker

    assert ask() == (5, True, False)
    assert ask(live_without_worker=5) == (5, True, True)
    assert ask(live=(5, 2)) == (5, False, True)
    assert ask(live=(3, 2)) == (3, False, True)
    assert ask(live=(100, 2), live_extra_bytes=1) == (2, False, True)
    add()
    assert ask(live=(5, 2)) == (5, True, False)


def test_an_answer_has_few_parts(chat):
    for number in range(3):
        append(chat, extra={"model": f"m{number}"})
    periods = periods_between(None, None, by=UsageBucket.DAY, tz="UTC", now=utc_now())
    for _ in range(2):
        keywords = {"owner_id": "alice", "split": UsageSplit.MODEL}
        found = usage.get_usage(periods, **keywords, bounds=Bounds(counts=3 + 30))
        assert len(found.periods[-1].parts) == 3
        with pytest.raises(ValidationFailed):
            usage.get_usage(periods, **keywords, bounds=Bounds(counts=2))
        db.session.rollback()
        add()


def test_copies_count_nothing(chat, clock):
    append(chat)
    plan = run_read(plan_fork, chat, owner_id="alice")
    fork = run_write(finish_fork, plan)
    assert total() == Counts(1, 6, 3, 2)
    append(fork.id)
    assert total() == Counts(2, 12, 6, 4)
    add()
    assert total() == Counts(2, 12, 6, 4)
    assert sum(each.sessions for each in used()) == 2


def test_what_was_added_stays(chat):
    first = append(chat)
    append(chat)
    add()
    with transaction():
        delete_message(chat, first, owner_id="alice")
    assert total() == Counts(2, 12, 6, 4)
    run_write(delete_session, chat, owner_id="alice")
    assert total() == Counts(2, 12, 6, 4)


def test_a_hidden_session_is_still_its_owners(chat):
    append(chat)
    with transaction():
        hide_sessions(ChatSession.id == chat)
    assert total() == Counts(1, 6, 3, 2)
    add()
    assert total() == Counts(1, 6, 3, 2)


@pytest.mark.parametrize("is_added", [False, True])
def test_an_edit_corrects_the_tokens(chat, is_added):
    message = append(chat, extra=None)
    if is_added:
        add()
    for tokens in (70, 7):
        changes = {"usage": {"output_tokens": tokens}, "model": "other"}
        run_write(edit_message, chat, message, owner_id="alice", changes=changes)
        assert total() == Counts(1, 6, 0, tokens)
    add()
    assert total() == Counts(1, 6, 0, 7)


def test_an_edit_of_a_copy_corrects_nothing(chat):
    append(chat)
    fork = run_write(finish_fork, run_read(plan_fork, chat, owner_id="alice"))
    add()
    query = select(Message.id).where(Message.session_id == fork.id)
    copy = db.session.scalar(query)
    db.session.rollback()
    changes = {"usage": {"output_tokens": 70}}
    run_write(edit_message, fork.id, copy, owner_id="alice", changes=changes)
    assert total() == Counts(1, 6, 3, 2)


def test_a_message_counts_at_most_a_billion_tokens(chat):
    most = 2**53 - 1
    extra = {"usage": {"input_tokens": most, "output_tokens": most}}
    run_write(
        append_messages,
        chat,
        owner_id="alice",
        turns=[
            {"content": "", "role": "assistant", "metadata": None, "extra": extra}
            for _ in range(1000)
        ],
    )
    expected = Counts(1000, 0, 10**12, 10**12)
    assert total() == expected
    add()
    assert total() == expected


def test_the_row_of_the_progress_comes_back(chat):
    append(chat)
    with transaction():
        db.session.execute(text("DELETE FROM usage_progress"))
    assert total() == Counts(1, 6, 3, 2)
    add()
    assert (added(), total()) == (1, Counts(1, 6, 3, 2))


@on_postgresql
def test_an_open_transaction_with_a_smaller_id_is_not_passed_over(chat, clock):
    other = create(owner_id="alice")
    with db.engine.connect() as connection:
        slow = connection.begin()
        # The id is drawn, and the transaction stays open for longer than the lag.
        connection.execute(
            text(
                "INSERT INTO chat_messages (session_id, seq, timestamp, role, content)"
                " VALUES (:chat, 1, :now, 'user', 'slow')"
            ),
            {"chat": chat, "now": utc_now()},
        )
        append(other)
        clock.now += timedelta(minutes=10)
        add(Bounds())
        assert added() == 0
        assert total() == Counts(1, 6, 3, 2)
        slow.commit()
    assert total() == Counts(2, 10, 3, 2)
    add(Bounds())
    assert (added(), total()) == (2, Counts(2, 10, 3, 2))


@on_postgresql
def test_one_process_adds_at_a_time(chat):
    append(chat)
    add()
    append(chat)
    with db.engine.connect() as connection:
        lock = "SELECT 1 FROM usage_progress FOR UPDATE"
        connection.execute(text(lock))
        add()
        assert added() == 1
        connection.rollback()
    add()
    assert added() == 2


def test_a_query_looks_up_what_it_counts(chat):
    append(chat)
    add()
    append(chat)
    plans = []

    def explain(connection, cursor, statement, parameters, *_):
        if statement.lstrip().startswith("SELECT") and "usage_" in statement:
            plans.append((statement, parameters))

    event.listen(db.engine, "before_cursor_execute", explain)
    try:
        assert total().messages == 2
    finally:
        event.remove(db.engine, "before_cursor_execute", explain)
    assert plans
    db.session.rollback()
    cursor = db.session.connection().connection.cursor()
    is_sqlite = db.engine.dialect.name == "sqlite"
    if not is_sqlite:
        cursor.execute("SET LOCAL enable_seqscan = off")
    for statement, parameters in plans:
        explaining = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
        cursor.execute(f"{explaining} {statement}", parameters)
        plan = "\n".join(str(row[3] if is_sqlite else row[0]) for row in cursor)
        for table in ("chat_messages", "sessions", "usage_counts"):
            assert f"SCAN {table}" not in plan
            assert f"Seq Scan on {table}" not in plan


def test_the_progress_is_one_row(chat):
    append(chat)
    add()
    rows = db.session.execute(select(UsageProgress.id, UsageProgress.last_message_id))
    assert [tuple(row) for row in rows] == [(1, db.session.scalar(select(Message.id)))]


def test_a_forgotten_session_leaves_no_counts(chat):
    other = create("alice")
    append(chat, "before")
    append(other)
    run_write(usage.forget_session, chat)  # nothing is added yet
    add_usage(bounds=SOON)
    append(chat, "not added yet")
    with transaction():
        usage.forget_session(chat)
        delete_session(chat, owner_id="alice")
    assert total() == Counts(1, 6, 3, 2)
    with transaction():
        usage.forget_session(other)
        delete_session(other, owner_id="alice")
    assert total() == Counts()
    assert db.session.scalar(select(func.count()).select_from(UsageCount)) == 0
