"""Nodes of a cascade: the twins of a snapshot by row, then those that a scenario adds."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from graph.ids import is_iri, local_id_of, local_iri
from ontology.errors import InputError, NotFoundError, Place, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import numpy.typing as npt

    from graph.snapshot import Snapshot
    from ontology.schema import Kind, Relation
    from simulation.distributions import Duration
    from simulation.events import AddTwin


@dataclass(frozen=True, slots=True)
class AddedTwin:
    """A twin that only the scenario knows."""

    iri: str
    local_id: str
    name: str | None
    site: int  # index in the snapshot's sites
    kinds: tuple[int, ...]
    attributes: Mapping[str, float | Duration]


@dataclass(frozen=True, slots=True, eq=False)
class Nodes:
    """Node i is row i of the snapshot for i < snapshot.size, else `added[i - snapshot.size]`.

    foreign: rows that stand for twins of other servers, and the medium that each gives as a source. What they
    need is known there, so nothing here depends on what this snapshot says of it.
    """

    snapshot: Snapshot
    added: tuple[AddedTwin, ...] = ()
    foreign: Mapping[int, str] = field(default_factory=dict[int, str])

    def __len__(self) -> int:
        return self.snapshot.size + len(self.added)

    def of_added(self, node: int) -> AddedTwin | None:
        return None if node < self.snapshot.size else self.added[node - self.snapshot.size]

    def id(self, node: int) -> str:
        added = self.of_added(node)
        return added.iri if added else self.snapshot.id(node)

    def local_id(self, node: int) -> str:
        added = self.of_added(node)
        return added.local_id if added else self.snapshot.local_id(node)

    def name(self, node: int) -> str | None:
        added = self.of_added(node)
        return added.name if added else self.snapshot.name(node)

    def site(self, node: int) -> str:
        added = self.of_added(node)
        return self.snapshot.sites[added.site if added else int(self.snapshot.site[node])]

    def kinds(self, node: int) -> tuple[int, ...]:
        added = self.of_added(node)
        return added.kinds if added else self.snapshot.kinds(node)

    def kind_name(self, node: int) -> str:
        """Prefixed name of the leading kind."""
        kinds = self.kinds(node)
        return self.snapshot.schema.kinds[kinds[0] if kinds else self.snapshot.schema.twin_kind].name

    def find(self, text: str, place: Place) -> int:
        """The node that an IRI, `site:localId` or a local id means; errors of `Snapshot.find`, at `place`."""
        iris = self._iris(text)
        for number, twin in enumerate(self.added):
            if twin.iri in iris:
                return self.snapshot.size + number
        try:
            return self.snapshot.find(text)
        except (NotFoundError, InputError) as error:
            raise at(error, place) from error

    def with_twin(self, event: AddTwin, place: Place) -> Nodes:
        """These and one more. InputError for an id that is taken or fits several sites; KIND_UNKNOWN."""
        iris = self._iris(event.id)
        if len(iris) != 1:
            hint = "write site:localId or the full IRI"
            raise InputError(
                f"{event.id!r} could lie in several sites", code="AMBIGUOUS_ID", place=place, hint=hint
            )
        iri = iris[0]
        if self.snapshot.row(iri) >= 0 or any(twin.iri == iri for twin in self.added):
            hint = "use SET to change it, or another id"
            raise InputError(f"{event.id!r} exists already", code="SCENARIO_INVALID", place=place, hint=hint)
        site = self._site_of(iri)
        base = self.snapshot.bases[site] if self.snapshot.bases else ""
        kinds = tuple(self._kind(name, place).index for name in event.kinds)
        twin = AddedTwin(iri, local_id_of(iri, base), event.name, site, kinds, event.attributes)
        return replace(self, added=(*self.added, twin))

    def relation(self, name: str, place: Place) -> Relation:
        """The relation of that name, perhaps an inverse; RELATION_UNKNOWN with `place`."""
        try:
            return self.snapshot.schema.relation(name)
        except NotFoundError as error:
            raise at(error, place) from error

    def media(self, nodes: npt.NDArray[np.int32]) -> list[str]:
        """What each node gives as a source, by its kinds: the leading one, else the next that has one."""
        rows = nodes[nodes < self.snapshot.size]
        kind_sets, inverse = np.unique(self.snapshot.twins.kind_set.take(rows), return_inverse=True)
        by_set = [self._medium(code) for code in kind_sets.tolist()]
        of_rows = iter([by_set[place] for place in inverse.reshape(-1).tolist()])
        added = (self.of_added(node) for node in nodes.tolist())
        found = [next(of_rows) if twin is None else self._first_medium(twin.kinds) for twin in added]
        return [self.foreign.get(node, medium) for node, medium in zip(nodes.tolist(), found, strict=True)]

    def _medium(self, kind_set: int) -> str:
        iris = self.snapshot.pools.kind_sets.value(kind_set) or ()
        kinds = (self.snapshot.schema.kind_by_iri(iri) for iri in iris)
        return self._first_medium(kind.index for kind in kinds if kind is not None)

    def _first_medium(self, kinds: Iterable[int]) -> str:
        known = self.snapshot.schema.kinds
        return next((medium for kind in kinds if (medium := known[kind].medium)), "")

    def _kind(self, name: str, place: Place) -> Kind:
        try:
            return self.snapshot.schema.kind(name)
        except NotFoundError as error:
            raise at(error, place) from error

    def _iris(self, text: str) -> list[str]:
        """The IRIs that a text could stand for."""
        if is_iri(text):
            return [text]
        prefix, colon, rest = text.partition(":")
        heads = self.snapshot.heads
        inside = [head for head in heads if colon and head.name == prefix]
        return [local_iri(head.base, rest if inside else text) for head in inside or heads]

    def _site_of(self, iri: str) -> int:
        """The site with the longest base that the IRI starts with; the first one where none fits."""
        fitting = [(len(base), -i) for i, base in enumerate(self.snapshot.bases) if iri.startswith(base)]
        return -max(fitting)[1] if fitting else 0


def at(error: TwinmeshError, place: Place) -> TwinmeshError:
    """The same error, told where in the scenario it arose."""
    return type(error)(error.message, code=error.code, place=place, hint=error.hint)
