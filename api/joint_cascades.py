"""Cascades with partners: the door that answers theirs, and ours that asks them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from api.federation_http import Service, Told
from api.schema.enums import SourceState
from federation.joint.asking import COARSE, THIN, Asking, Patience, PlannedCascade, elsewhere, encode_event
from federation.joint.host import CascadeHost
from federation.joint.kept import KeptPlans
from federation.joint.wire import KIND
from federation.peer_bases import known_bases
from federation.store import FEDERATION_FILE
from graph.ids import is_iri
from ontology.errors import LimitError, TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from api.config import Federation
    from api.federation_http import Heard
    from api.simulating import Cascade, Document, SimulationJob
    from federation.joint.asking import JointImpact
    from federation.node import Node
    from graph.mesh import Mesh

PER_MINUTE: Final = 60_000
"""Messages of one partner: what a cascade may take is limited by its session; a begin, by the contract."""
_OF_TWINS: Final = ("FAIL", "DEGRADE", "CLOSE", "SURGE", "SET", "REMOVE")


def cascade_services(mesh: Mesh, *, is_shared: bool = False) -> Mapping[str, Service]:
    """The service for messages of kind `cascade`.

    is_shared: other processes answer at this port too. A partner's next message might reach one of them,
    which knows nothing of its session: it is told so at once (LimitError JOINT_MANY_WORKERS).
    """
    host = CascadeHost(mesh.snapshot)

    def answer(heard: Heard) -> Told:
        if is_shared:
            hint = "serve partners by one process: without --follow, or with one worker, on a port of its own"
            raise LimitError(
                "several processes answer here; a cascade needs one", code="JOINT_MANY_WORKERS", hint=hint
            )
        partner = heard.opened.claims.iss
        return Told(*host.answer(heard.node, partner, heard.grant, heard.body, heard.now_ns))

    return {KIND: Service(answer, PER_MINUTE)}


class JointCascades:
    """Runs a cascade with partners where any were added. `node` is opened only then."""

    def __init__(self, mesh: Mesh, settings: Federation, node: Callable[[], Node]) -> None:
        self._mesh, self._settings, self._node = mesh, settings, node
        self._plans = KeptPlans()

    def has_peers(self) -> bool:
        """Costs a look for one file where federation was never used."""
        return (self._mesh.folder / FEDERATION_FILE).exists() and bool(self._node().peers.list())

    def run(self, cascade: Cascade, job: SimulationJob) -> Document:
        """As `simulate`, over own twins and what partners show; with `sources`."""
        node = self._node()

        def check() -> None:
            if job.cancel.is_set():
                raise TwinmeshError("cancelled", code="CANCELLED")

        patience = Patience(self._settings.cascade_message_s, self._settings.cascade_s)
        asking = Asking(node, patience, job.report, check, plans=self._plans)
        return document_of(asking.simulate(self._planned(cascade, node)))

    def _planned(self, cascade: Cascade, node: Node) -> PlannedCascade:
        """Events for twins of partners are taken out of the own scenario and put to their owners."""
        others: dict[str, list[tuple[int, bytes]]] = {}
        places = _Places(cascade.snapshot.sites, cascade.snapshot.bases, node)
        events: list[dict[str, Any]] = cascade.document.get("events") or []
        for number, event in enumerate(events):
            stated = event.get("twin") if event.get("type") in _OF_TWINS else None
            found = places.of(stated) if isinstance(stated, str) else None
            if found is not None:
                others.setdefault(found[0], []).append((number, encode_event({**event, "twin": found[1]})))
        numbers = {number for events in others.values() for number, _ in events}
        scenario = elsewhere(cascade.scenario, numbers)
        return PlannedCascade(cascade.snapshot, scenario, others, cascade.against_baseline)


class _Places:
    """Which partner a text of a scenario means: an IRI below one of its bases, or `site:localId`."""

    def __init__(self, sites: Sequence[str], own_bases: Sequence[str], node: Node) -> None:
        self._sites, self._own_bases = frozenset(sites), tuple(own_bases)
        bases = known_bases(node.store)
        peers = [peer.fingerprint for peer in node.peers.list()]
        self._bases = {peer: list(bases.get(peer, {}).values()) for peer in peers}
        self._named = {site: peer for peer in peers for site in bases.get(peer, {})}

    def of(self, text: str) -> tuple[str, str] | None:
        """(fingerprint, text for it); None for a twin of ours."""
        if not is_iri(text):
            site, colon, _ = text.partition(":")
            if not colon or site in self._sites or site not in self._named:
                return None
            return self._named[site], text  # only its owner knows what the local id stands for
        if text.startswith(self._own_bases):
            return None
        fitting = [
            (len(b), owner) for owner, bases in self._bases.items() for b in bases if text.startswith(b)
        ]
        return (max(fitting)[1], text) if fitting else None


def document_of(joint: JointImpact) -> dict[str, Any]:
    """The document of INTERFACE section 4, and how each partner took part."""
    document = joint.impact.to_json()
    document["sources"] = [
        {"site": source.name, "status": _status(source.code, denied=source.is_denied), "code": source.code}
        for source in joint.sources
    ]
    return document


def _status(code: str, *, denied: bool) -> str:
    if not code:
        return SourceState.ANSWERED.value
    if code in (COARSE, THIN):
        return SourceState.PARTIAL.value
    return (SourceState.DENIED if denied else SourceState.TIMED_OUT).value
