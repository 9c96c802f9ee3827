"""What an execution read of a view: so that what somebody else holds of the same can be asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from graph.columns import Rows
    from graph.plan import Grouping, Predicate
    from graph.series import SeriesQuery
    from graph.values import Way

TrailKey: TypeAlias = "tuple[Way, bytes]"
"""A way, and bool[relations of the schema] as bytes."""


@dataclass(eq=False)
class Reads:
    """Reads of one execution over a snapshot of `size` rows. Not shared between threads.

    lookups: ids and local ids that were looked for. matches: (kind, predicate). searches: (text, kind).
    grouped: aggregates; the twins that they match are not among `matches`.
    walked: by trail, bool[size], twins whose relationships were read. met: bool[size], twins at the other end
    of those. deep: trails that are followed for many steps, and
    how many (None: to the end). unread: what would have had to be read elsewhere, and
    cannot be asked for.
    """

    size: int
    lookups: dict[str, None] = field(default_factory=dict[str, None])
    matches: list[tuple[str | None, Predicate | None]] = field(
        default_factory=list["tuple[str | None, Predicate | None]"]
    )
    searches: list[tuple[str, str | None]] = field(default_factory=list["tuple[str, str | None]"])
    walked: dict[TrailKey, npt.NDArray[np.bool_]] = field(
        default_factory=dict["TrailKey", "npt.NDArray[np.bool_]"]
    )
    met: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, np.bool_))
    deep: dict[TrailKey, int | None] = field(default_factory=dict["TrailKey", "int | None"])
    grouped: list[Grouping] = field(default_factory=list["Grouping"])
    series: dict[tuple[str, SeriesQuery], None] = field(default_factory=dict["tuple[str, SeriesQuery]", None])
    unread: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        self.met = np.zeros(self.size, np.bool_)

    def looked_up(self, text: str) -> None:
        self.lookups[text] = None

    def matched(self, kind: str | None, where: Predicate | None) -> None:
        if (kind, where) not in self.matches:
            self.matches.append((kind, where))

    def searched(self, text: str, kind: str | None) -> None:
        self.searches.append((text, kind))

    def walks(self, keys: Iterable[TrailKey], depth_max: int | None) -> None:
        for key in keys:
            known = self.deep.get(key, 0)
            is_open = depth_max is None or known is None
            self.deep[key] = None if is_open else max(known or 0, depth_max or 0)

    def hopped(self, rows: Rows, key: TrailKey, others: Rows) -> None:
        walked = self.walked.get(key)
        if walked is None:
            walked = self.walked[key] = np.zeros(self.size, np.bool_)
        walked[rows] = True
        self.met[others] = True
