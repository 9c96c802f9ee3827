"""Cascades that were finished, as principals may look back at them, and as routes tell others of them.

One log for the data folder, since a cascade covers several sites: `impacts.sqlite`, a hash chain. It keeps
who asked what, all that it takes to get the same bytes again, the figures of the whole, and the twins that
are hit hardest. A cascade is written down before its job is DONE, so who was answered finds it there, also
after a power loss. Processes that only read the folder write to it too, where they may.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec
import orjson

from api.log_pages import records_in_sight
from graph.stores.site_files import IMPACTS, IMPACTS_FILE
from graph.stores.state_log import NewState, StateLog

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from api.policy import Principal
    from api.simulating import Cascade, Document, SimulationJob

ALL_SITES: Final = "all"
"""Where others count by site: what one log for all sites is called."""
TOP_MAX: Final = 20
CAUSES_MAX: Final = 40


class CascadeRecord(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A finished cascade: what the log holds.

    base: of the first site that it covers. hits: twins that are hit, by site. impacts: those of them with the
    highest expected cost, as INTERFACE section 4 has them; partners' twins are counted in `summary` alone,
    since contracts show them to us and to nobody else.
    """

    id: str  # of the job
    author: str
    finished_ns: int
    base: str
    scenario: str
    scenario_hash: str
    seed: int
    runs: int
    runs_computed: int
    horizon_hours: float
    engine: str
    revisions: dict[str, str]
    ontology: str
    completeness: str
    summary: dict[str, Any]
    hits: dict[str, int]
    impacts: list[dict[str, Any]]
    sources: list[dict[str, Any]] = []

    @property
    def expected_cost(self) -> float:
        return float(self.summary["expectedCost"])

    @property
    def document(self) -> Document:
        """What the log keeps of the document of INTERFACE section 4."""
        return {
            "engine": self.engine,
            "runs": self.runs,
            "runsComputed": self.runs_computed,
            "revisions": self.revisions,
            "ontology": self.ontology,
            "summary": self.summary,
            "sources": self.sources,
        }


CASCADE_RECORDS: Final = msgspec.json.Decoder(CascadeRecord)


class Impacts:
    """The log of a data folder; with None nothing is kept. Safe from any thread."""

    def __init__(self, log: StateLog | None = None, *, kept_max: int = 10_000) -> None:
        self.log = log
        self._kept_max = max(1, kept_max)
        self._trimming = threading.Lock()

    @classmethod
    def open(cls, folder: Path, kept_max: int) -> Impacts:
        """StoreError IMPACTS_FAILED, IMPACTS_CORRUPT, STORE_VERSION."""
        return cls(StateLog.open(folder / IMPACTS_FILE, IMPACTS), kept_max=kept_max)

    def __enter__(self) -> Impacts:
        return self

    def __exit__(self, *_: object) -> None:
        if self.log is not None:
            self.log.close()

    def keep(self, cascade: Cascade, job: SimulationJob, document: Document) -> None:
        """Write a finished cascade down; durable on return. StoreError."""
        if self.log is None:
            return
        record = record_of(cascade, job, document)
        content = msgspec.json.encode(record)
        state = NewState(record.id, record.finished_ns, content, record.scenario, is_open=False)
        number = self.log.append([state])
        self._trim(self.log, number)

    def page(
        self, asking: Principal, scenario: str | None, limit: int, before: Mapping[str, int]
    ) -> tuple[list[tuple[int, CascadeRecord]], bool]:
        """The newest cascades in sight, each with its number, and whether there are more."""
        if self.log is None:
            return [], False
        seen = records_in_sight(
            self.log, CASCADE_RECORDS.decode, lambda each: sees(asking, each), before.get(ALL_SITES), scenario
        )
        found = [each for each, _ in zip(seen, range(limit + 1), strict=False)]
        return found[:limit], len(found) > limit

    def _trim(self, log: StateLog, number: int) -> None:
        """Now and then, so that a cascade costs one sync and not two."""
        with self._trimming:
            if number - max(log.oldest, 1) + 1 > self._kept_max * 1.1:
                log.trim(number - self._kept_max)


def sees(asking: Principal, record: CascadeRecord) -> bool:
    """Costs and causes are of all twins together: who does not see all of them must not see the cascade."""
    if asking.sees_all:
        return True
    is_whole = asking.sites is not None and asking.kinds is None and not asking.sees_nothing
    return is_whole and not record.sources and set(record.revisions) <= set(asking.sites or ())


def record_of(cascade: Cascade, job: SimulationJob, document: Document) -> CascadeRecord:
    snapshot, hit = cascade.snapshot, document["impacts"]
    rows = snapshot.rows([item["id"] for item in hit]).tolist()
    own = [item for item, row in zip(hit, rows, strict=True) if row >= 0 and item["site"] in snapshot.sites]
    return CascadeRecord(
        id=job.id,
        author=job.owner.name,
        finished_ns=time.time_ns(),
        base=snapshot.bases[0],
        scenario=document["scenario"],
        scenario_hash=scenario_hash(cascade.document),
        seed=document["seed"],
        runs=document["runs"],
        runs_computed=document["runsComputed"],
        horizon_hours=document["horizonHours"],
        engine=document["engine"],
        revisions=document["revisions"],
        ontology=document["ontology"],
        completeness=document["completeness"],
        summary=document["summary"],
        hits=dict(Counter(item["site"] for item in own if item["probability"] > 0)),
        impacts=[{**item, "why": _shortened(item["why"])} for item in own[:TOP_MAX]],
        sources=document.get("sources", []),
    )


def scenario_hash(document: Document) -> str:
    """SHA-256 of a scenario as it was asked for, without name and seed.

    Of its JSON with keys sorted, no white space, and whole numbers without a point.
    """
    asked = {name: _whole(value) for name, value in document.items() if name not in ("name", "seed")}
    return sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _whole(value: object) -> object:
    if isinstance(value, dict):
        return {name: _whole(each) for name, each in cast("dict[str, object]", value).items()}
    if isinstance(value, list):
        return [_whole(each) for each in cast("list[object]", value)]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _shortened(causes: list[str]) -> list[str]:
    """A long chain of causes by both its ends."""
    half = CAUSES_MAX // 2
    return causes if len(causes) <= CAUSES_MAX else [*causes[:half], "...", *causes[-half:]]
