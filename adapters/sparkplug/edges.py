"""What the host knows about edges: who is alive, what their aliases mean, whether anything was missed.

Source: Eclipse Sparkplug 3.0, sections 5 and 6.4: messages are numbered 0 to 255, bdSeq pairs a death
with its birth.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from graph.values import ValueType

if TYPE_CHECKING:
    from ontology.errors import Problem

SEQUENCES = 256


@dataclass(slots=True)
class Known:
    """A metric of a birth and its point. row -1: of a type that has no place in a series.

    factor, shift: from the unit of the edge to that of the point. problem: why that cannot be, nothing is
    recorded then.
    """

    name: str
    point: str
    datatype: int
    value_type: ValueType | None
    row: int = -1
    unit: str | None = None
    iri: str = ""  # of its point; "": a binding names one that is not there
    factor: float = 1.0
    shift: float = 0.0
    problem: Problem | None = None
    word: int | None = None  # the last value, as in Readings


@dataclass(slots=True)
class Place:
    """A node or a device: what it bore."""

    id: str
    alive: bool = False
    metrics: dict[str, Known] = field(default_factory=dict[str, Known])

    def known(self) -> list[Known]:
        return [metric for metric in self.metrics.values() if metric.row >= 0]


@dataclass(slots=True)
class Edge:
    """An edge node with its devices. Aliases are unique within it."""

    group: str
    node: str
    place: Place
    devices: dict[str, Place] = field(default_factory=dict[str, Place])
    aliases: dict[int, Known] = field(default_factory=dict[int, Known])
    sequence: int | None = None  # of the last message
    birth_sequence: int | None = None  # bdSeq of the birth
    asked_ns: int = 0  # when it was last asked for its birth
    waits: bool = False  # was asked, has not answered

    def follows(self, sequence: int | None) -> bool:
        """Note the number of a message; False where one before it was missed."""
        before, self.sequence = self.sequence, sequence
        return sequence is not None and before is not None and sequence == (before + 1) % SEQUENCES

    def places(self) -> list[Place]:
        return [self.place, *self.devices.values()]
