"""Group commit on SQLite: one transaction commits the writes of several threads.

On SQLite a commit waits for the disk, and all other writers wait for that commit. So
one thread, the leader, runs the work of all waiting threads in one transaction. Each
thread gets its result once the transaction is on disk. Must not know what the work is.
"""

import threading
from collections.abc import Callable, Hashable
from functools import partial
from typing import Any, TypeVar

from flask import Flask

from chatstore.app_state import add_to_app, find_in_app
from chatstore.clock import Deadline
from chatstore.db import is_in_transaction, new_deadline, run_transaction
from chatstore.errors import ChatstoreError, DatabaseUnavailable

T = TypeVar("T")

# A leader takes jobs up to this total, or one job of any size. The group holds the
# write lock, and all its threads wait, until everything is on disk.
_MAX_BYTES = 1024 * 1024


class _Job:
    """The work of one thread; `get_result` returns its result or raises its error."""

    def __init__(
        self, work: Callable[[], Any], deadline: Deadline, size_bytes: int
    ) -> None:
        self.work = work
        self.deadline = deadline
        self.size_bytes = size_bytes
        self.woken = threading.Event()
        self.is_leader = False
        self.get_result: Callable[[], Any] | None = None


class CommitGroup:
    """The threads that want to write; the leader runs the work of all of them."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._has_leader = False

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
        if not self._enqueue(job):
            self._wait(job)
        if job.is_leader:
            self._lead(job)
        assert job.get_result is not None
        result: T = job.get_result()
        return result

    def _enqueue(self, job: _Job) -> bool:
        with self._lock:
            self._waiting.append(job)
            job.is_leader = not self._has_leader
            self._has_leader = True
        return job.is_leader

    def _wait(self, job: _Job) -> None:
        if job.woken.wait(job.deadline.remaining_seconds()):
            return
        with self._lock:
            is_unclaimed = job in self._waiting and not job.is_leader
            if is_unclaimed:
                self._waiting.remove(job)
        if is_unclaimed:
            raise DatabaseUnavailable("Too many writers are waiting for the database.")
        job.woken.wait()  # the leader is running it

    def _lead(self, leader: _Job) -> None:
        jobs: list[_Job] = []
        outcomes: list[Callable[[], Any]] = []

        def run_all_jobs() -> None:
            jobs.extend(self._take_jobs(jobs))  # also those queued during the lock wait
            outcomes.clear()
            outcomes.extend([_run_job(job.work) for job in jobs])

        try:
            run_transaction(run_all_jobs, is_core=True, deadline=leader.deadline)
        except Exception as error:
            # The error of a lone job is its own. A failed commit may have been saved,
            # so no job may run again. Otherwise `_release` has each job run alone.
            if len(jobs) < 2 or len(outcomes) == len(jobs):
                for job in jobs or [leader]:
                    job.get_result = partial(
                        _raise, error if job is leader else copy_error(error)
                    )
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.get_result = outcome
        finally:
            self._release(jobs or [leader])

    def _take_jobs(self, taken_before: list[_Job]) -> list[_Job]:
        """Remove and return the next jobs in the queue that fit with these."""
        taken: list[_Job] = []
        size_bytes = sum(job.size_bytes for job in taken_before)
        with self._lock:
            while self._waiting:
                size_bytes += self._waiting[0].size_bytes
                if size_bytes > _MAX_BYTES and (taken_before or taken):
                    break
                taken.append(self._waiting.pop(0))
        return taken

    def _release(self, jobs: list[_Job]) -> None:
        with self._lock:
            self._waiting = [job for job in self._waiting if job not in jobs]
            self._has_leader = bool(self._waiting)
            if self._waiting:
                self._waiting[0].is_leader = True
                self._waiting[0].woken.set()
        for job in jobs:
            job.get_result = job.get_result or partial(
                run_transaction, job.work, is_core=True, deadline=job.deadline
            )
            job.woken.set()


def _run_job(work: Callable[[], T]) -> Callable[[], T]:
    """Run `work`; return a function that returns its result or raises its refusal."""
    try:
        result = work()
    except ChatstoreError as refusal:
        return partial(_raise, refusal)
    return lambda: result


def _raise(error: Exception) -> Any:
    raise error


def copy_error(error: Exception) -> Exception:
    """Return a copy of `error` whose cause is `error`.

    Raising an exception writes a traceback into it, so each thread needs its own.
    """
    copied = type(error).__new__(type(error), *error.args)
    copied.__dict__.update(vars(error))
    copied.args = error.args
    copied.__cause__ = error
    return copied


def init_group_commit(app: Flask, *, timeout_seconds: float) -> None:
    """Create the group in which `group_commit` runs the writes of this application."""
    add_to_app(app, CommitGroup(timeout_seconds=timeout_seconds))


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
    `run_transaction`, `size_bytes` of `CommitGroup.run`.
    """
    group = find_in_app(CommitGroup)
    if group is None or is_in_transaction():
        return run_transaction(work, is_core=True, turn=turn, deadline=deadline)
    deadline = deadline or new_deadline()
    return group.run(work, deadline=deadline, size_bytes=size_bytes)
