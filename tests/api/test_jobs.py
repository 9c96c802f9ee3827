"""Jobs: progress, cancel, bounded queue, results that are kept for a while."""

from __future__ import annotations

import threading
from collections.abc import Generator

import pytest

from api.jobs import Job, Jobs, JobState
from api.policy import LOCAL, Principal, Role
from ontology.errors import InputError, LimitError, NotFoundError

ONE, OTHER = Principal("one", Role.ANALYST, token="1"), Principal("other", Role.ANALYST, token="2")
WAIT_S = 20.0


@pytest.fixture
def jobs() -> Generator[Jobs[int]]:
    made: Jobs[int] = Jobs(threads=1, queue_max=3, kept_max=4)
    yield made
    made.close()


def blocking(release: threading.Event) -> tuple[threading.Event, object]:
    started = threading.Event()

    def work(job: Job[int]) -> int:
        started.set()
        while not release.wait(0.01):
            if job.cancel.is_set():
                raise InputError("stopped", code="CANCELLED")
        return 1

    return started, work


def test_a_job_ends_with_its_result(jobs: Jobs[int]) -> None:
    seen: list[tuple[JobState, float]] = []
    gate = threading.Event()

    def work(job: Job[int]) -> int:
        gate.wait(WAIT_S)
        for part in range(5):
            job.report(part / 5)
        return 42

    job = jobs.submit(LOCAL, work)
    leave = job.listen(lambda: seen.append((job.state, job.progress)))
    gate.set()
    assert job.wait(WAIT_S)
    assert (job.state, job.result, job.progress, job.problem) == (JobState.DONE, 42, 1.0, None)
    assert seen[-1] == (JobState.DONE, 1.0)
    assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
    leave()


def test_failures_keep_their_code_and_unknown_ones_are_masked(
    jobs: Jobs[int], caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_: Job[int]) -> int:
        raise InputError("no such twin", code="TWIN_UNKNOWN")

    def break_down(_: Job[int]) -> int:
        raise ZeroDivisionError("secret")

    known, unknown = jobs.submit(LOCAL, refuse), jobs.submit(LOCAL, break_down)
    assert known.wait(WAIT_S)
    assert unknown.wait(WAIT_S)
    assert (known.state, known.problem.code) == (JobState.FAILED, "TWIN_UNKNOWN")
    assert (unknown.state, unknown.problem.code) == (JobState.FAILED, "INTERNAL")
    assert "secret" not in unknown.problem.message
    assert "secret" in caplog.text


def test_cancel_while_running_and_while_waiting(jobs: Jobs[int]) -> None:
    release = threading.Event()
    started, work = blocking(release)
    running, waiting = jobs.submit(LOCAL, work), jobs.submit(LOCAL, work)
    assert started.wait(WAIT_S)
    jobs.cancel(waiting.id, LOCAL)
    jobs.cancel(running.id, LOCAL)
    assert running.wait(WAIT_S)
    assert waiting.wait(WAIT_S)
    assert (running.state, waiting.state) == (JobState.CANCELLED, JobState.CANCELLED)
    assert running.problem is None


def test_the_queue_is_bounded(jobs: Jobs[int]) -> None:
    release = threading.Event()
    _, work = blocking(release)
    taken = [jobs.submit(LOCAL, work) for _ in range(3)]
    with pytest.raises(LimitError) as caught:
        jobs.submit(LOCAL, work)
    assert caught.value.code == "JOB_QUEUE_FULL"
    release.set()
    assert all(job.wait(WAIT_S) for job in taken)
    assert jobs.submit(LOCAL, work).wait(WAIT_S)


def test_old_results_are_forgotten(jobs: Jobs[int]) -> None:
    done = []
    for number in range(6):
        job = jobs.submit(LOCAL, lambda _, n=number: n)
        assert job.wait(WAIT_S)
        done.append(job)
    with pytest.raises(NotFoundError):
        jobs.get(done[0].id, LOCAL)
    assert jobs.get(done[-1].id, LOCAL).result == 5
    assert sum(jobs.counts().values()) == 4


def test_jobs_are_their_owners(jobs: Jobs[int]) -> None:
    job = jobs.submit(ONE, lambda _: 1)
    assert jobs.get(job.id, ONE) is jobs.get(job.id, LOCAL) is job
    for ask in (jobs.get, jobs.cancel):
        with pytest.raises(NotFoundError) as caught:
            ask(job.id, OTHER)
        assert caught.value.code == "JOB_UNKNOWN"
