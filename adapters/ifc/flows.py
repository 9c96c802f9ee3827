# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false
"""Port connections as flows. The order inside IfcRelConnectsPorts says nothing: only FlowDirection does.

SOURCE to SINK is brick:feeds from the SOURCE's element to the SINK's. Every other pair is tm:connectedTo of
unknown direction: a warning where the file does not say, and one of another code where it contradicts
itself.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from adapters.ifc.config import CONNECTED_TO, FEEDS, PASS_THROUGH, SILENT_TYPES
from adapters.ifc.fields import NAME, text_of
from adapters.ifc.notices import Notice

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import ifcopenshell

    from adapters.ifc.decode import Item
    from adapters.ifc.fields import Fields
    from adapters.ifc.structure import Link

ELECTRICITY = "electricity"


@dataclass(frozen=True, slots=True)
class Port:
    """An end of a connection, and the element it belongs to."""

    step: int
    name: str
    owner: Item
    direction: str | None  # SOURCE, SINK, SOURCEANDSINK, NOTDEFINED
    system: str | None  # item of IfcDistributionSystemEnum
    type: str | None  # DUCT, PIPE, CABLE, ...


@dataclass(frozen=True, slots=True)
class Flow:
    """One connected pair of elements."""

    source: Item
    target: Item
    relation: str  # brick:feeds or tm:connectedTo
    medium: str | None
    system: str | None  # the medium as the file spells it
    via: Item | None  # the element that realises the connection
    step: int

    @property
    def directed(self) -> bool:
        return self.relation == FEEDS


class Flows:
    """Ports and their connections in one file."""

    def __init__(
        self, model: ifcopenshell.file, fields: Fields, items: Mapping[int, Item], media: Mapping[str, str]
    ) -> None:
        """items: by instance number. media: item of IfcDistributionSystemEnum -> medium of the vocabulary."""
        self._model = model
        self._fields = fields
        self._items = items
        self._media = media
        self._notices: list[Notice] = []
        self._ports = {port.step: port for port in self._read_ports()}

    def read(self, memberships: Iterable[Link]) -> tuple[list[Flow], list[Notice]]:
        """All flows in the order of the file, and what is odd about them.

        memberships: which element belongs to which system; tells the medium where the ports do not.
        """
        systems: dict[Item, list[Item]] = defaultdict(list)
        for link in memberships:
            systems[link.source].append(link.target)
        flows: list[Flow] = []
        connected: set[int] = set()
        for connection in self._model.by_type("IfcRelConnectsPorts"):
            flows += self._connection(connection, systems, connected)
        return flows, [*self._notices, *self._dangling(connected), *_one_way(flows, self._fields)]

    # --- ports ---

    def _read_ports(self) -> Iterator[Port]:
        for nest in self._model.by_type("IfcRelNests"):
            owner = self._fields.ref(nest, "RelatingObject")
            for child in self._fields.refs(nest, "RelatedObjects"):
                if owner is not None and child.is_a("IfcPort"):
                    yield from self._port(child, owner)
        for pair in self._model.by_type("IfcRelConnectsPortToElement"):
            port, owner = self._fields.ref(pair, "RelatingPort"), self._fields.ref(pair, "RelatedElement")
            if port is not None and owner is not None:
                yield from self._port(port, owner)

    def _port(
        self, port: ifcopenshell.entity_instance, owner: ifcopenshell.entity_instance
    ) -> Iterator[Port]:
        item = self._items.get(owner.id())
        if item is None:
            return
        system = self._fields.text(port, "SystemType")
        yield Port(
            step=port.id(),
            name=text_of(port[NAME]) or f"#{port.id()}",
            owner=item,
            direction=self._fields.text(port, "FlowDirection"),
            system=None if system in SILENT_TYPES else system,
            type=self._fields.text(port, "PredefinedType"),
        )

    # --- connections ---

    def _connection(
        self,
        connection: ifcopenshell.entity_instance,
        systems: Mapping[Item, Sequence[Item]],
        connected: set[int],
    ) -> Iterator[Flow]:
        ends = self._ends(connection)
        if ends is None:
            return
        one, other = ends
        connected.update((one.step, other.step))
        if one.owner is other.owner:
            self._say(
                connection, "IFC_PORT_SELF", one, f"connects {one.owner.local_id} with itself: left out"
            )
            return
        directed = {one.direction, other.direction} == {"SOURCE", "SINK"}
        if directed and one.direction == "SINK":
            one, other = other, one
        if not directed:
            self._say_direction(connection, one, other)
        system = self._system(connection, one, other, systems)
        yield Flow(
            source=one.owner,
            target=other.owner,
            relation=FEEDS if directed else CONNECTED_TO,
            medium=self._medium(system, one, other),
            system=system,
            via=self._via(connection),
            step=connection.id(),
        )

    def _ends(self, connection: ifcopenshell.entity_instance) -> tuple[Port, Port] | None:
        ends = [self._fields.ref(connection, name) for name in ("RelatingPort", "RelatedPort")]
        found = [self._ports.get(end.id()) if end is not None else None for end in ends]
        if found[0] is not None and found[1] is not None:
            return found[0], found[1]
        known = found[0] or found[1]
        message = f"connection #{connection.id()} has an end that is no port of an element: left out"
        item = known.owner.local_id if known else None
        self._notices.append(Notice("IFC_PORT_UNOWNED", message, connection.id(), item))
        return None

    def _say(self, connection: ifcopenshell.entity_instance, code: str, port: Port, what: str) -> None:
        message = f"connection #{connection.id()} {what}"
        self._notices.append(Notice(code, message, connection.id(), port.owner.local_id))

    def _say_direction(self, connection: ifcopenshell.entity_instance, one: Port, other: Port) -> None:
        pair = f"{one.owner.local_id} and {other.owner.local_id}"
        if one.direction == other.direction and one.direction in ("SOURCE", "SINK"):
            what = f"joins two ports that are both {one.direction} ({pair}): direction unknown"
            self._say(connection, "IFC_FLOW_CONFLICT", one, what)
            return
        stated = " and ".join(port.direction or "nothing" for port in (one, other))
        self._say(connection, "IFC_FLOW_UNKNOWN", one, f"of {pair} states {stated}: direction unknown")

    def _system(
        self,
        connection: ifcopenshell.entity_instance,
        one: Port,
        other: Port,
        systems: Mapping[Item, Sequence[Item]],
    ) -> str | None:
        """What flows, as the file spells it: by the ports, else by the one system both elements are in."""
        if one.system and other.system and one.system != other.system:
            what = f"joins a port of {one.system} with one of {other.system}: taken as {one.system}"
            self._say(connection, "IFC_MEDIUM_CONFLICT", one, what)
        if one.system or other.system:
            return one.system or other.system
        shared = set(systems.get(one.owner, ())) & set(systems.get(other.owner, ()))
        types = {system.type for system in shared if system.type}
        return types.pop() if len(types) == 1 else None

    def _medium(self, system: str | None, one: Port, other: Port) -> str | None:
        """The vocabulary's medium; for a system it does not list, the file's own word. Ducts carry air."""
        if system is not None:
            return self._media.get(system, system.lower())
        return "air" if one.type == other.type == "DUCT" else None

    def _via(self, connection: ifcopenshell.entity_instance) -> Item | None:
        realizing = self._fields.ref(connection, "RealizingElement")
        return None if realizing is None else self._items.get(realizing.id())

    def _dangling(self, connected: set[int]) -> Iterator[Notice]:
        """Elements with ports that nothing joins: flow that should come in or go out there does not."""
        open_ports: dict[Item, list[Port]] = defaultdict(list)
        joined = {port.owner for port in self._ports.values() if port.step in connected}
        for port in self._ports.values():
            if port.step not in connected:
                open_ports[port.owner].append(port)
        for item, ports in open_ports.items():
            names = ", ".join(f"{port.name} ({port.direction or 'no direction'})" for port in ports)
            how = "is not connected at" if item in joined else "is connected to nothing: its ports are"
            yield Notice(
                "IFC_PORT_DANGLING", f"{item.ifc} {item.local_id} {how} {names}", item.step, item.local_id
            )


def _one_way(flows: Iterable[Flow], fields: Fields) -> Iterator[Notice]:
    """Elements that only pass a medium on, yet only give it or only take it: a port is turned round.

    Electricity is left out: a board is a flow controller too, and its supply is often not drawn. So is an
    element with a connection of unknown direction, which may be the missing way in or out.
    """
    flows = list(flows)
    open_ended = {
        (item, flow.medium) for flow in flows if not flow.directed for item in (flow.source, flow.target)
    }
    gives: dict[tuple[Item, str | None], list[Item]] = defaultdict(list)
    takes: dict[tuple[Item, str | None], list[Item]] = defaultdict(list)
    for flow in flows:
        if flow.directed and flow.medium != ELECTRICITY:
            gives[flow.source, flow.medium].append(flow.target)
            takes[flow.target, flow.medium].append(flow.source)
    for verb, there, back in (("gives", gives, takes), ("takes", takes, gives)):
        for (item, medium), others in there.items():
            lonely = len(others) > 1 and (item, medium) not in back and (item, medium) not in open_ended
            if lonely and PASS_THROUGH.intersection(fields.classes(item.ifc)):
                yield _reversed(item, medium, verb, others)


def _reversed(item: Item, medium: str | None, verb: str, others: Iterable[Item]) -> Notice:
    names = ", ".join(other.local_id for other in others)
    what, way = medium or "its medium", "to" if verb == "gives" else "from"
    missing = "takes none in" if verb == "gives" else "passes none on"
    message = (
        f"{item.ifc} {item.local_id} {verb} {what} {way} {names} and {missing}: a port seems turned round"
    )
    return Notice("IFC_FLOW_REVERSED", message, item.step, item.local_id, "check FlowDirection of its ports")
