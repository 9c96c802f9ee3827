"""Long work off the event loop: a bounded queue, a few threads, progress, cancel, results kept for a while.

A job never raises into the pool: what went wrong is kept in it. An error that is none of ours ends the job as
FAILED with the code INTERNAL; the log has the rest.
"""

from __future__ import annotations

import logging
import secrets
import threading
from concurrent.futures import Future, ThreadPoolExecutor, wait
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, TypeVar

from api.policy import Role
from ontology.errors import LimitError, NotFoundError, Problem, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.policy import Principal

T = TypeVar("T")
_CLOSE_S = 5.0
_LOG = logging.getLogger("twinmesh.jobs")


class JobState(StrEnum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"

    @property
    def is_final(self) -> bool:
        return self in (JobState.DONE, JobState.FAILED, JobState.CANCELLED)


class Job(Generic[T]):
    """One piece of work. Read from any thread; the pool alone moves it on."""

    def __init__(self, owner: Principal) -> None:
        self.id = secrets.token_hex(12)
        self.owner = owner
        self.state = JobState.QUEUED
        self.progress = 0.0
        self.result: T | None = None
        self.problem: Problem | None = None
        self.cancel = threading.Event()
        self._lock = threading.Lock()
        self._final = threading.Event()
        self._listeners: tuple[Callable[[], None], ...] = ()

    def wait(self, timeout_s: float) -> bool:
        """Whether the job has ended within the time."""
        return self._final.wait(timeout_s)

    def listen(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify`, from any thread, whenever the job moves on; gives the function that ends this."""
        with self._lock:
            self._listeners = (*self._listeners, notify)
        return lambda: self._leave(notify)

    def report(self, progress: float) -> None:
        """From the work: how much is done, 0 to 1. Whole percents wake listeners, smaller steps do not."""
        before, self.progress = self.progress, min(max(progress, self.progress), 1.0)
        if int(before * 100) != int(self.progress * 100):
            self._notify()

    def start(self) -> None:
        self.state = JobState.RUNNING
        self._notify()

    def finish(self, state: JobState, result: T | None = None, problem: Problem | None = None) -> None:
        self.result, self.problem = result, problem
        self.progress = 1.0 if state is JobState.DONE else self.progress
        self.state = state
        self._final.set()
        self._notify()

    def _leave(self, notify: Callable[[], None]) -> None:
        with self._lock:
            self._listeners = tuple(other for other in self._listeners if other is not notify)

    def _notify(self) -> None:
        for notify in self._listeners:
            try:
                notify()
            except RuntimeError:
                self._leave(notify)  # the event loop it belonged to is gone


class Jobs(Generic[T]):
    """All jobs of one server."""

    def __init__(self, *, threads: int, queue_max: int, kept_max: int) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="job")
        self._queue_max = queue_max
        self._kept_max = kept_max
        self._jobs: dict[str, Job[T]] = {}
        self._running: set[Future[None]] = set()
        self._lock = threading.Lock()

    def submit(self, owner: Principal, work: Callable[[Job[T]], T]) -> Job[T]:
        """Queue work; it gets its job for progress and cancel. LimitError JOB_QUEUE_FULL."""
        job: Job[T] = Job(owner)
        with self._lock:
            waiting = sum(not other.state.is_final for other in self._jobs.values())
            if waiting >= self._queue_max:
                raise LimitError(
                    f"{waiting} jobs are under way", code="JOB_QUEUE_FULL", hint="try again later"
                )
            self._forget_old()
            self._jobs[job.id] = job
            future = self._pool.submit(_run, job, work)
            self._running.add(future)
        future.add_done_callback(lambda done: self._ended(job, done))
        return job

    def get(self, job_id: str, asking: Principal) -> Job[T]:
        """NotFoundError JOB_UNKNOWN, also for another principal's job."""
        job = self._jobs.get(job_id)
        if job is None or not _may_see(asking, job.owner):
            raise NotFoundError(f"no job {job_id!r}", code="JOB_UNKNOWN", hint="results are kept for a while")
        return job

    def cancel(self, job_id: str, asking: Principal) -> Job[T]:
        """Ask a job to end; one that has ended stays as it is."""
        job = self.get(job_id, asking)
        job.cancel.set()
        return job

    def counts(self) -> dict[JobState, int]:
        states = [job.state for job in list(self._jobs.values())]
        return {state: states.count(state) for state in JobState}

    def close(self) -> None:
        """Cancel everything; work that does not listen is left behind after a moment."""
        for job in list(self._jobs.values()):
            job.cancel.set()
        self._pool.shutdown(wait=False, cancel_futures=True)
        wait(set(self._running), timeout=_CLOSE_S)

    def _ended(self, job: Job[T], done: Future[None]) -> None:
        self._running.discard(done)
        error = None if done.cancelled() else done.exception()
        if error is not None:
            _LOG.error("job %s failed", job.id, exc_info=error)
            job.finish(JobState.FAILED, problem=Problem("INTERNAL", "an internal error; the log has it"))
        elif not job.state.is_final:
            job.finish(JobState.CANCELLED)

    def _forget_old(self) -> None:
        over = len(self._jobs) + 1 - self._kept_max
        for job_id in [key for key, job in self._jobs.items() if job.state.is_final][: max(over, 0)]:
            del self._jobs[job_id]


def _run(job: Job[T], work: Callable[[Job[T]], T]) -> None:
    if job.cancel.is_set():
        job.finish(JobState.CANCELLED)
        return
    job.start()
    try:
        result = work(job)
    except TwinmeshError as error:
        # Work that was asked to stop may say so by any error of its own.
        stopped = job.cancel.is_set()
        job.finish(
            JobState.CANCELLED if stopped else JobState.FAILED, problem=None if stopped else error.problem
        )
        return
    job.finish(JobState.CANCELLED if job.cancel.is_set() else JobState.DONE, result)


def _may_see(asking: Principal, owner: Principal) -> bool:
    """Own jobs; administrators see all."""
    is_admin = asking.role is Role.ADMIN and asking.sees_all
    return is_admin or (asking.name, asking.token) == (owner.name, owner.token)
