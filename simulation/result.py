"""What a cascade's answer looks like: frozen values and the document of INTERFACE section 4."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class FirstHit:
    """Hours until the level first fell, given that it did: mean and nearest-rank quantiles."""

    mean: float
    p05: float
    p50: float
    p95: float


@dataclass(frozen=True, slots=True)
class Delta:
    """This scenario less the same world without its events, under the same draws."""

    probability: float
    expected_down_hours: float
    expected_cost: float


@dataclass(frozen=True, slots=True)
class TwinImpact:
    """What happens to one twin. `why` runs from the root of the trouble to the twin itself."""

    id: str
    local_id: str
    name: str | None
    kind: str
    site: str
    probability: float
    first_hit_hours: FirstHit  # where the estimate never hits it: from the pass with unknown directions
    expected_down_hours: float
    min_level: float
    expected_cost: float
    uncertain: bool
    probability_high: float | None  # with relationships of unknown direction; only where that is higher
    why: tuple[str, ...]  # local ids
    delta: Delta | None = None
    partner: str = ""  # the server that told it; empty: this one
    is_priced: bool = True  # False: its server does not tell the cost

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": self.id,
            "localId": self.local_id,
            "name": self.name,
            "kind": self.kind,
            "site": self.site,
            "probability": self.probability,
            "firstHitHours": asdict(self.first_hit_hours),
            "expectedDownHours": self.expected_down_hours,
            "minLevel": self.min_level,
            "expectedCost": self.expected_cost if self.is_priced else None,
            "uncertain": self.uncertain,
            "why": list(self.why),
        }
        if self.probability_high is not None:
            found["probabilityHigh"] = self.probability_high
        if self.delta is not None:
            found["deltaProbability"] = self.delta.probability
            found["deltaExpectedDownHours"] = self.delta.expected_down_hours
            found["deltaExpectedCost"] = self.delta.expected_cost
        return found


@dataclass(frozen=True, slots=True)
class Summary:
    """Costs are of a whole run, over all twins; p05 and p95 are nearest-rank quantiles over the runs."""

    twins_hit: int
    expected_cost: float
    cost_p05: float
    cost_p95: float
    delta_twins_hit: int | None = None
    delta_expected_cost: float | None = None

    def to_json(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "twinsHit": self.twins_hit,
            "expectedCost": self.expected_cost,
            "costP05": self.cost_p05,
            "costP95": self.cost_p95,
        }
        if self.delta_twins_hit is not None:
            found["deltaTwinsHit"] = self.delta_twins_hit
            found["deltaExpectedCost"] = self.delta_expected_cost
        return found


@dataclass(frozen=True, slots=True)
class Impact:
    """The answer to a scenario, with all that it takes to get the same bytes again."""

    scenario: str
    seed: int
    runs: int
    runs_computed: int
    horizon_hours: float
    engine: str
    revisions: Mapping[str, int]
    ontology: str  # version of the schema
    completeness: str
    summary: Summary
    impacts: tuple[TwinImpact, ...]  # by expected cost and probability, falling, then by id

    def to_json(self) -> dict[str, Any]:
        """The document of INTERFACE section 4."""
        return {
            "scenario": self.scenario,
            "seed": self.seed,
            "runs": self.runs,
            "runsComputed": self.runs_computed,
            "horizonHours": self.horizon_hours,
            "engine": self.engine,
            "revisions": {site: str(revision) for site, revision in self.revisions.items()},
            "ontology": self.ontology,
            "completeness": self.completeness,
            "summary": self.summary.to_json(),
            "impacts": [impact.to_json() for impact in self.impacts],
        }

    def to_json_bytes(self) -> bytes:
        """The document as UTF-8, equal for equal inputs."""
        return orjson.dumps(self.to_json(), option=orjson.OPT_INDENT_2)
