"""Need groups: which dependences belong together, and what the whole group states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ontology.errors import InputError, Place
from simulation.attributes import OF_EDGE, OF_GROUP, CascadeAttribute
from simulation.columns import read_durations, read_numbers
from simulation.distributions import Duration, Durations

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import numpy.typing as npt

    from simulation.distributions import Float64s
    from simulation.events import AddRelation
    from simulation.network import Network
    from simulation.nodes import Nodes
    from simulation.world import Bools, Int32s, Int64s

    Same = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], Bools]


@dataclass(frozen=True, slots=True, eq=False)
class Groups:
    """g need groups over m dependences. NaN and absent durations: nothing stated."""

    of: Int32s  # [m] the group of each dependence
    dependent: Int32s  # [g] node
    label: Int32s  # [g] index in the network's labels
    need: Float64s  # [g]
    refill: Float64s  # [g]
    threshold: Float64s  # [g]
    damage: Float64s  # [g] probability
    buffer: Durations  # [g]
    tolerance: Durations  # [g]
    weight: Float64s  # [m] of dependences
    delay: Durations  # [m] of dependences
    short: Bools  # [g] states a need that all its weights together do not meet

    def __len__(self) -> int:
        return len(self.dependent)


def build_groups(nodes: Nodes, network: Network, added: Sequence[AddRelation]) -> Groups:
    """Gather dependences into groups: one for each dependent node and label.

    InputError GROUP_DISAGREES where rows of one group disagree, ATTRIBUTE_INVALID, DISTRIBUTION_INVALID for
    values that cannot be read, DELAY_ON_FOUNDED for a delay where nothing may be delayed.
    """
    keys = network.dependent.astype(np.int64) << 32 | network.label
    distinct, of = np.unique(keys, return_inverse=True)
    gather = _Gather(nodes, network, added, of.reshape(-1).astype(np.int32), len(distinct))
    weight = np.nan_to_num(gather.numbers(OF_EDGE["weight"]), nan=1.0)
    delay = gather.durations(OF_EDGE["delayHours"])
    gather.refuse_delays(delay)
    need = gather.agreed_numbers(OF_GROUP["need"])
    total = np.bincount(gather.of, weights=weight, minlength=len(distinct))
    return Groups(
        of=gather.of,
        dependent=(distinct >> 32).astype(np.int32),
        label=(distinct & 0xFFFFFFFF).astype(np.int32),
        need=need,
        refill=gather.agreed_numbers(OF_GROUP["refillRate"]),
        threshold=gather.agreed_numbers(OF_GROUP["threshold"]),
        damage=gather.agreed_numbers(OF_GROUP["damageProbability"]),
        buffer=gather.agreed_durations(OF_GROUP["bufferHours"]),
        tolerance=gather.agreed_durations(OF_GROUP["toleranceHours"]),
        weight=weight,
        delay=delay,
        short=need > total,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Gather:
    """Attributes of dependences, from the snapshot's columns and from what the scenario adds (at the end)."""

    nodes: Nodes
    network: Network
    added: Sequence[AddRelation]
    of: Int32s
    groups: int

    def numbers(self, attribute: CascadeAttribute) -> Float64s:
        """float64[m], NaN where absent."""
        column = self.nodes.snapshot.edge_attribute(attribute.name)
        here = read_numbers(column, self._rows, attribute, self.nodes.snapshot.edge_id)
        more = [float(str(event.attributes.get(attribute.name, "nan"))) for event in self.added]
        return np.append(here, more)

    def durations(self, attribute: CascadeAttribute) -> Durations:
        """Durations[m]."""
        column = self.nodes.snapshot.edge_attribute(attribute.name)
        here = read_durations(column, self._rows, attribute, self.nodes.snapshot.edge_id)
        stated = [event.attributes.get(attribute.name) for event in self.added]
        return here.joined(Durations.of([one if isinstance(one, Duration) else None for one in stated]))

    def agreed_numbers(self, attribute: CascadeAttribute) -> Float64s:
        """float64[g]: what the rows of each group state, all alike; NaN where none does."""
        values = self.numbers(attribute)
        stated = np.flatnonzero(~np.isnan(values))
        first = self._agreed(attribute, stated, lambda a, b: values[a] == values[b])
        return np.where(first >= 0, values[first], np.nan)

    def agreed_durations(self, attribute: CascadeAttribute) -> Durations:
        """Durations[g], as `agreed_numbers`."""
        values = self.durations(attribute)
        stated = np.flatnonzero(values.present)
        first = self._agreed(attribute, stated, lambda a, b: values.take(a).same(values.take(b)))
        agreed = Durations.fixed(np.full(self.groups, np.nan))
        for group in np.flatnonzero(first >= 0).tolist():
            agreed.put(group, values.one(int(first[group])))
        return agreed

    def refuse_delays(self, delay: Durations) -> None:
        founded = np.array([label.founded for label in self.network.labels], np.bool_)
        late = ~delay.zero & founded[self.network.label]
        if late.any():
            edge = int(np.flatnonzero(late)[0])
            message = "relations that carry power, water or air have no delay"
            hint = "use bufferHours for what the dependent twin holds, or supplies for goods"
            place = Place(item=f"{self._name(edge)} delayHours")
            raise InputError(message, code="DELAY_ON_FOUNDED", place=place, hint=hint)

    @property
    def _rows(self) -> Int32s:
        return self.network.edge[: len(self.network) - len(self.added)]

    def _agreed(self, attribute: CascadeAttribute, stated: Int64s, same: Same) -> Int64s:
        """int64[g]: the first dependence of each group that states it, else -1; all others say the same."""
        first = np.full(self.groups, -1, np.int64)
        first[self.of[stated][::-1]] = stated[::-1]
        differ = stated[~same(stated, first[self.of[stated]])]
        if len(differ):
            self._refuse(attribute, int(first[self.of[differ[0]]]), int(differ[0]))
        return first

    def _refuse(self, attribute: CascadeAttribute, one: int, other: int) -> None:
        dependent = self.nodes.id(int(self.network.dependent[one]))
        label = self.network.labels[int(self.network.label[one])].text
        rows = f"{self._name(one)} and {self._name(other)}"
        raise InputError(
            f"rows of one need group state different {attribute.name}: {rows}",
            code="GROUP_DISAGREES",
            place=Place(item=f"{dependent} group {label!r}"),
            hint="state it once, or the same in every row; different needs are different groups",
        )

    def _name(self, dependence: int) -> str:
        edge = int(self.network.edge[dependence])
        if edge >= 0:
            return self.nodes.snapshot.edge_id(edge)
        event = self.added[-1 - edge]
        return f"{event.source} {event.relation} {event.target}"
