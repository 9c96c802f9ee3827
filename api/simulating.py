"""Cascades as jobs: from the input of the API to a scenario, and its impact kept as a document."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from api.jobs import Job, Jobs
from api.policy import Action
from graph.union import union
from ontology.errors import AccessError
from simulation.scenario import parse_scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from api.config import JobLimits
    from api.policy import Principal
    from graph.mesh import Mesh
    from graph.snapshot import Snapshot
    from simulation.scenario import Scenario

Document: TypeAlias = "dict[str, Any]"


@dataclass(frozen=True, slots=True, eq=False)
class Cascade:
    """One simulation that was asked for."""

    scenario: Scenario
    snapshot: Snapshot
    against_baseline: bool
    document: Document
    is_whole: bool  # all sites of this server


@dataclass(frozen=True, slots=True, eq=False)
class CascadeResult:
    """The `simulate --json` document, and which sites it covers."""

    document: Document
    sites: tuple[str, ...]


SimulationJob: TypeAlias = "Job[CascadeResult]"
# Runs a cascade; the job takes progress and tells when to stop.
RunCascade: TypeAlias = "Callable[[Cascade, SimulationJob], Document]"

KeepCascade: TypeAlias = "Callable[[Cascade, SimulationJob, Document], None]"


class Simulations:
    """Starts, finds and cancels simulations."""

    def __init__(
        self, mesh: Mesh, limits: JobLimits, run: RunCascade, keep: KeepCascade | None = None
    ) -> None:
        """keep: writes down what `start` began before its job is done; None: nobody does."""
        self._mesh = mesh
        self._keep = keep
        self._limits = limits
        self._run = run
        self._jobs: Jobs[CascadeResult] = Jobs(
            threads=limits.threads, queue_max=limits.queue_max, kept_max=limits.kept_max
        )

    @property
    def jobs(self) -> Jobs[CascadeResult]:
        return self._jobs

    def start(
        self, asking: Principal, document: Document, sites: Sequence[str] | None, *, against_baseline: bool
    ) -> SimulationJob:
        """Start a cascade and wait a moment for it: small work comes back done.

        AccessError FORBIDDEN; InputError with every problem of the scenario; LimitError JOB_QUEUE_FULL.
        """
        job = self._submit(asking, document, sites, self._keep, against_baseline=against_baseline)
        job.wait(self._limits.answer_at_once_s)
        return job

    def submit(
        self, asking: Principal, document: Document, sites: Sequence[str] | None, *, against_baseline: bool
    ) -> SimulationJob:
        """As `start`, without waiting, and kept nowhere."""
        return self._submit(asking, document, sites, None, against_baseline=against_baseline)

    def _submit(
        self,
        asking: Principal,
        document: Document,
        sites: Sequence[str] | None,
        keep: KeepCascade | None,
        *,
        against_baseline: bool,
    ) -> SimulationJob:
        asking.require(Action.SIMULATE)
        if not asking.sees_all:
            # Costs and causes of twins out of scope would show through.
            raise AccessError("a cascade needs sight of the whole graph", code="SCOPE_TOO_NARROW")
        cascade = Cascade(
            parse_scenario(document), self._snapshot(sites), against_baseline, document, sites is None
        )
        covered = cascade.snapshot.sites

        def work(job: SimulationJob) -> CascadeResult:
            found = self._run(cascade, job)
            if keep is not None and not job.cancel.is_set():
                keep(cascade, job, found)
            return CascadeResult(found, covered)

        return self._jobs.submit(asking, work)

    def get(self, job_id: str, asking: Principal) -> SimulationJob:
        return self._jobs.get(job_id, asking)

    def cancel(self, job_id: str, asking: Principal) -> SimulationJob:
        asking.require(Action.SIMULATE)
        return self._jobs.cancel(job_id, asking)

    def close(self) -> None:
        self._jobs.close()

    def _snapshot(self, sites: Sequence[str] | None) -> Snapshot:
        if sites is None:
            return self._mesh.snapshot()
        parts = [self._mesh.twin(site).snapshot() for site in sorted(set(sites))]
        return parts[0] if len(parts) == 1 else union(parts) if parts else self._mesh.snapshot()
