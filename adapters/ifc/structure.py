# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""What holds what: the spatial tree, containment, assemblies, systems, which points are mounted on what.

IfcRelAggregates, IfcRelVoidsElement    -> tm:partOf
IfcRelNests (ports aside)               -> tm:partOf
IfcRelContainedInSpatialStructure       -> tm:locatedIn
IfcRelAssignsToGroup                    -> tm:memberOf
IfcRelFlowControlElements               -> tm:pointOf for points, tm:controls for the rest
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.ifc.config import CONTROLS, LOCATED_IN, MEMBER_OF, PART_OF, POINT_OF
from adapters.ifc.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import ifcopenshell

    from adapters.ifc.decode import Item
    from adapters.ifc.fields import Fields


@dataclass(frozen=True, slots=True)
class Link:
    """One relationship between items, in canonical direction."""

    source: Item
    relation: str
    target: Item


# (class of the relationship, attribute of the parent, attribute of the children, relation child -> parent)
_TREE = (
    ("IfcRelAggregates", "RelatingObject", "RelatedObjects", PART_OF),
    ("IfcRelNests", "RelatingObject", "RelatedObjects", PART_OF),
    ("IfcRelVoidsElement", "RelatingBuildingElement", "RelatedOpeningElement", PART_OF),
    ("IfcRelContainedInSpatialStructure", "RelatingStructure", "RelatedElements", LOCATED_IN),
    ("IfcRelAssignsToGroup", "RelatingGroup", "RelatedObjects", MEMBER_OF),
)


class Structure:
    """Relationships of one file that say what belongs where."""

    def __init__(self, model: ifcopenshell.file, fields: Fields, items: Mapping[int, Item]) -> None:
        """items: by instance number."""
        self._model = model
        self._fields = fields
        self._items = items

    def links(self, is_point: Callable[[Item], bool]) -> list[Link]:
        """All of them, each once, in the order of the file by kind of relationship."""
        found = [link for row in _TREE for link in self._related(*row)]
        found += self._controls(is_point)
        return list(dict.fromkeys(found))

    def _related(self, ifc: str, parent: str, children: str, relation: str) -> Iterator[Link]:
        for one in self._model.by_type(ifc):
            target = self._item(self._fields.ref(one, parent))
            for child in self._fields.refs(one, children) if target else ():
                source = self._item(child)
                if source and target:
                    yield Link(source, relation, target)

    def _controls(self, is_point: Callable[[Item], bool]) -> Iterator[Link]:
        """Sensors are points of what they are mounted on; actuators and controllers control it."""
        for one in self._model.by_type("IfcRelFlowControlElements"):
            target = self._item(self._fields.ref(one, "RelatingFlowElement"))
            for child in self._fields.refs(one, "RelatedControlElements") if target else ():
                source = self._item(child)
                if source and target:
                    yield Link(source, POINT_OF if is_point(source) else CONTROLS, target)

    def _item(self, entity: ifcopenshell.entity_instance | None) -> Item | None:
        """The item of an end; ports, the project and what stands there by mistake are none."""
        return None if entity is None else self._items.get(entity.id())


def contained_twice(links: Iterable[Link]) -> Iterator[Notice]:
    """Elements contained in two places: a schema rule of IFC (at most one) that a location relies on."""
    places: dict[Item, list[Item]] = defaultdict(list)
    for link in links:
        if link.relation == LOCATED_IN:
            places[link.source].append(link.target)
    for item, targets in places.items():
        if len(targets) > 1:
            names = " and ".join(f"{target.local_id} (#{target.step})" for target in targets)
            message = f"#{item.step} {item.ifc} is contained in {names}"
            hint = "contain it once; IfcRelReferencedInSpatialStructure is for the others"
            yield Notice("IFC_CONTAINED_TWICE", message, item.step, item.local_id, hint)


def contained_parts(links: Sequence[Link], fields: Fields) -> Iterator[Notice]:
    """Parts of an element that are also contained themselves (rule SPS005 of the IFC validation service)."""
    located = {link.source for link in links if link.relation == LOCATED_IN}
    parts = (link for link in links if link.relation == PART_OF and link.source in located)
    twice = Counter(link.source.ifc for link in parts if fields.is_a(link.target.ifc, "IfcElement"))
    for ifc, count in sorted(twice.items()):
        message = f"{count} {ifc} are part of an element and contained in a place as well: both are kept"
        yield Notice("IFC_CONTAINED_PART", message, None, ifc, "a part is where the whole is")


def part_cycles(links: Iterable[Link]) -> Iterator[Notice]:
    """Items that are part of themselves over others: one notice for each circle."""
    wholes: dict[Item, list[Item]] = defaultdict(list)
    for link in links:
        if link.relation == PART_OF:
            wholes[link.source].append(link.target)
    done: set[Item] = set()
    for start in list(wholes):
        cycle = _cycle(start, wholes, done)
        if cycle:
            path = " in ".join(f"{item.local_id} (#{item.step})" for item in cycle)
            hint = "a whole cannot be part of its part: remove one of these relationships"
            yield Notice("IFC_PART_CYCLE", f"parts go round: {path}", cycle[0].step, cycle[0].local_id, hint)


def _cycle(start: Item, wholes: Mapping[Item, list[Item]], done: set[Item]) -> list[Item]:
    """A circle that can be reached from `start`, closed by its first item; marks as done what it has seen."""
    path: list[Item] = []
    on_path: set[Item] = set()
    todo: list[tuple[Item, bool]] = [(start, False)]
    while todo:
        item, leave = todo.pop()
        if leave:
            on_path.discard(path.pop())
        elif item in on_path:
            return [*path[path.index(item) :], item]
        elif item not in done:
            done.add(item)
            path.append(item)
            on_path.add(item)
            todo.append((item, True))
            todo += [(whole, False) for whole in wholes.get(item, ())]
    return []
