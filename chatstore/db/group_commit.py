"""Group commit on SQLite: one transaction commits the writes of several threads.

On SQLite a commit waits for the disk, and all other writers wait for that commit. So
one thread, the leader, runs the work of all waiting threads in one transaction. Each
thread gets its result once the transaction is on disk. Must not know what the work is.
"""

import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

from flask import Flask, current_app

from chatstore.clock import Deadline
from chatstore.db import is_in_transaction, new_deadline, run_transaction
from chatstore.errors import ChatstoreError, DatabaseUnavailable

T = TypeVar("T")

_EXTENSION = "chatstore-group"
# A leader takes jobs up to this total, or one job of any size. The group holds the
# write lock, and all its threads wait, until everything is on disk.
_MOST_BYTES = 1024 * 1024


class _Job:
    """The work of one thread; `settle` returns its result, raises or runs the work."""

    def __init__(
        self, work: Callable[[], Any], deadline: Deadline, size_bytes: int
    ) -> None:
        self.work = work
        self.deadline = deadline
        self.size_bytes = size_bytes
        self.woken = threading.Event()
        self.leads = False
        self.settle: Callable[[], Any] | None = None


class Group:
    """The threads that want to write; the leader runs the work of all of them."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._is_led = False

    def run(
        self,
        work: Callable[[], T],
        *,
        deadline: Deadline | None = None,
        size_bytes: int = 0,
    ) -> T:
        """Return `work()`, run by this thread or the leader, and committed.

        `size_bytes` is roughly how much the work writes. If a job raises anything but a
        ChatstoreError, the group is rolled back and each thread runs its own job alone.
        If the commit fails, every thread of the group raises that error, because a
        retry could write twice.
        """
        job = _Job(work, deadline or Deadline(self._timeout_seconds), size_bytes)
        if not self._join(job):
            self._wait(job)
        if job.leads:
            self._lead(job)
        assert job.settle is not None
        result: T = job.settle()
        return result

    def _join(self, job: _Job) -> bool:
        with self._lock:
            self._waiting.append(job)
            job.leads = not self._is_led
            self._is_led = True
        return job.leads

    def _wait(self, job: _Job) -> None:
        if job.woken.wait(job.deadline.remaining_seconds()):
            return
        with self._lock:
            is_left_over = job in self._waiting and not job.leads
            if is_left_over:
                self._waiting.remove(job)
        if is_left_over:
            raise DatabaseUnavailable("Too many writers are waiting for the database.")
        job.woken.wait()  # the leader is running it

    def _lead(self, own: _Job) -> None:
        jobs: list[_Job] = []
        outcomes: list[Callable[[], Any]] = []

        def work_of_all() -> None:
            jobs.extend(self._take(jobs))  # also those queued during the lock wait
            outcomes.clear()
            outcomes.extend([_outcome(job.work) for job in jobs])

        try:
            run_transaction(work_of_all, is_core=True, deadline=own.deadline)
        except Exception as error:
            # The error of a lone job is its own. A failed commit may have been saved,
            # so no job may run again. Otherwise `_release` has each job run alone.
            if len(jobs) < 2 or len(outcomes) == len(jobs):
                for job in jobs or [own]:
                    job.settle = partial(_fail, error if job is own else twin_of(error))
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.settle = outcome
        finally:
            self._release(jobs or [own])

    def _take(self, before: list[_Job]) -> list[_Job]:
        """Remove and return the next jobs in the queue that fit in with `before`."""
        taken: list[_Job] = []
        size_bytes = sum(job.size_bytes for job in before)
        with self._lock:
            while self._waiting:
                size_bytes += self._waiting[0].size_bytes
                if size_bytes > _MOST_BYTES and (before or taken):
                    break
                taken.append(self._waiting.pop(0))
        return taken

    def _release(self, jobs: list[_Job]) -> None:
        with self._lock:
            self._waiting = [job for job in self._waiting if job not in jobs]
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()
        for job in jobs:
            job.settle = job.settle or partial(
                run_transaction, job.work, is_core=True, deadline=job.deadline
            )
            job.woken.set()


def _outcome(work: Callable[[], T]) -> Callable[[], T]:
    """Run `work`; return a function that returns its result or raises its refusal."""
    try:
        result = work()
    except ChatstoreError as refusal:
        return partial(_fail, refusal)
    return lambda: result


def _fail(error: Exception) -> Any:
    raise error


def twin_of(error: Exception) -> Exception:
    """Return a copy of `error` whose cause is `error`.

    Raising an exception writes a traceback into it, so each thread needs its own.
    """
    twin = type(error).__new__(type(error), *error.args)
    twin.__dict__.update(vars(error))
    twin.args = error.args
    twin.__cause__ = error
    return twin


def init_group_commit(app: Flask, *, timeout_seconds: float) -> None:
    """Create the group in which `group_commit` runs the writes of this application."""
    app.extensions[_EXTENSION] = Group(timeout_seconds=timeout_seconds)


def group_commit(
    work: Callable[[], T],
    *,
    turn: Hashable = None,
    deadline: Deadline | None = None,
    size_bytes: int = 0,
) -> T:
    """Return `work()` as `run_core_write` does, perhaps run by another thread.

    The work must be short, must use neither the request nor ORM objects, and must have
    written nothing when it raises a ChatstoreError. `turn` and `deadline` are those of
    `run_transaction`, `size_bytes` of `Group.run`.
    """
    group: Group | None = current_app.extensions.get(_EXTENSION)
    if group is None or is_in_transaction():
        return run_transaction(work, is_core=True, turn=turn, deadline=deadline)
    deadline = deadline or new_deadline()
    return group.run(work, deadline=deadline, size_bytes=size_bytes)
