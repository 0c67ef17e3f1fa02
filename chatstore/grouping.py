"""Commits at once what several threads of a process write, on SQLite.

There a commit waits for the disk, and every other writer for it. Whoever has its turn
does the work of all who wait by then, in one transaction, and tells them what came of
it when it is on disk. Must not know what the work is.
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, TypeVar

from flask import Flask, current_app

from chatstore.db import in_core_transaction, is_in_transaction
from chatstore.errors import ChatstoreError, DatabaseUnavailable

P = ParamSpec("P")
T = TypeVar("T")

_EXTENSION = "chatstore-group"


class _Job:
    """The work of one thread; `settle` gives what came of it, or does it after all."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.woken = threading.Event()
        self.leads = False
        self.settle: Callable[[], Any] | None = None


class Group:
    """The threads that want to write; one of them leads and does the work of all."""

    def __init__(self, *, timeout_seconds: float) -> None:
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._waiting: list[_Job] = []
        self._is_led = False

    def run(self, work: Callable[[], T]) -> T:
        """Return `work()`, done by this thread or another one, and committed.

        If work of a group fails, nothing of the group is done, and each of its threads
        does its own alone: nobody's failure is somebody else's.
        """
        job = _Job(work)
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
        if job.woken.wait(self._timeout_seconds):
            return
        with self._lock:
            is_left_over = job in self._waiting and not job.leads
            if is_left_over:
                self._waiting.remove(job)
        if is_left_over:
            raise DatabaseUnavailable("Too many writers are waiting for the database.")
        job.woken.wait()  # it is being done

    def _lead(self, own: _Job) -> None:
        jobs: list[_Job] = []
        outcomes: list[Callable[[], Any]] = []

        def work_of_all() -> None:
            jobs.extend(self._take())  # who came while the lock was waited for, too
            outcomes.clear()
            outcomes.extend([_outcome(job.work) for job in jobs])

        try:
            in_core_transaction(work_of_all)
        except Exception as error:
            # One who is alone need not try again; and what failed while it was
            # committed must not be done twice.
            if len(jobs) < 2 or len(outcomes) == len(jobs):
                for job in jobs or [own]:
                    job.settle = partial(_fail, error)
        else:
            for job, outcome in zip(jobs, outcomes, strict=True):
                job.settle = outcome
        finally:
            self._let_go(jobs or [own])

    def _take(self) -> list[_Job]:
        with self._lock:
            taken, self._waiting = self._waiting, []
        return taken

    def _let_go(self, jobs: list[_Job]) -> None:
        with self._lock:
            self._waiting = [job for job in self._waiting if job not in jobs]
            self._is_led = bool(self._waiting)
            if self._waiting:
                self._waiting[0].leads = True
                self._waiting[0].woken.set()
        for job in jobs:
            job.settle = job.settle or partial(in_core_transaction, job.work)
            job.woken.set()


def _outcome(work: Callable[[], T]) -> Callable[[], T]:
    """Return what gives the result of the work, or raises its refusal."""
    try:
        result = work()
    except ChatstoreError as refusal:
        return partial(_fail, refusal)
    return lambda: result


def _fail(error: Exception) -> Any:
    raise error


def init_grouping(app: Flask, *, timeout_seconds: float) -> None:
    """Have `together` group the writers of this application."""
    app.extensions[_EXTENSION] = Group(timeout_seconds=timeout_seconds)


def together(work: Callable[P, T], /, *arguments: P.args, **keywords: P.kwargs) -> T:
    """Return `work(...)` as `in_core_transaction` does, perhaps by another thread.

    For work that is short, asks nothing of the request or of objects of a session, and
    has written nothing when it raises a ChatstoreError.
    """
    group: Group | None = current_app.extensions.get(_EXTENSION)
    if group is None or is_in_transaction():
        return in_core_transaction(work, *arguments, **keywords)
    return group.run(partial(work, *arguments, **keywords))
