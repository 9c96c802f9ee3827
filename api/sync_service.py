"""The service that lets peers replicate, and the thread that keeps replicas of peers up to date."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from threading import Event, Thread
from typing import TYPE_CHECKING, Final

from api.federation_http import Service, Told
from federation.contract import Purpose
from federation.replica import REPLICAS, replicas_of
from federation.sync import Place, Synced, SyncLimits, sync_all
from federation.sync_source import answer_hash, answer_page, open_source
from federation.sync_wire import read_asked
from ontology.errors import TwinmeshError

if TYPE_CHECKING:
    from collections.abc import Callable

    from api.config import Federation
    from api.federation_http import Heard
    from federation.node import Node
    from graph.mesh import Mesh

_LOG = logging.getLogger("twinmesh.sync")
BACKOFF_MAX: Final = 32  # times the interval
JOIN_S: Final = 10.0
MARKS: Final = b"twinmesh marks of journals 1\0"


def sync_service(mesh: Mesh, settings: Federation) -> Service:
    """Pages of what a contract shares."""
    return Service(partial(_answer, mesh), settings.sync_per_minute)


def _answer(mesh: Mesh, heard: Heard) -> Told:
    asked = read_asked(heard.body)
    contract = heard.grant.require(Purpose.SYNC, heard.now_ns)
    heard.node.rates.take(f"{contract.partner} contract", contract.per_minute)
    key = heard.node.key.secret_for(MARKS)
    source = open_source(mesh, heard.grant, asked.site, heard.now_ns, key)
    if asked.only_hash:
        return Told(answer_hash(source))
    return Told(*answer_page(source, asked))


def limits_of(settings: Federation) -> SyncLimits:
    return SyncLimits(pages_max=settings.sync_pages_max, twins_max=settings.replica_twins_max)


def place_of(mesh: Mesh) -> Place:
    """Where the replicas of a data folder are, and the bases that are its own."""
    return Place(mesh.folder, tuple(mesh.twin(site).base for site in mesh.sites))


def sync_known(node: Node, mesh: Mesh, limits: SyncLimits) -> list[Synced]:
    """Bring all replicas that were begun up to date, once."""
    known = [(peer, replicas_of(mesh.folder, peer.name)) for peer in node.peers.list()]
    clients = [(node.http_peer(peer), sites) for peer, sites in known if sites]
    return asyncio.run(sync_all(clients, place_of(mesh), limits)) if clients else []


class SyncThread:
    """Keeps replicas up to date while a server runs; an interval of 0 means: not at all.

    Waits longer from failure to failure. Begins nothing: `twinmesh peers sync` does that.
    """

    def __init__(self, mesh: Mesh, settings: Federation, node: Callable[[], Node]) -> None:
        self._mesh = mesh
        self._settings = settings
        self._node = node
        self._stop = Event()
        self._thread: Thread | None = None

    def start(self) -> None:
        if self._settings.sync_interval_s > 0 and not self._mesh.read_only:
            self._thread = Thread(target=self._run, name="sync", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Ends with the page that is under way, and not before its peer's deadline."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(JOIN_S)

    def _run(self) -> None:
        failures = 0
        while not self._stop.wait(self._settings.sync_interval_s * min(2**failures, BACKOFF_MAX)):
            failures = 0 if self._once() else min(failures + 1, 10)

    def _once(self) -> bool:
        if not (self._mesh.folder / REPLICAS).is_dir():
            return True  # nobody is asked, and no file of the federation is made
        try:
            results = sync_known(self._node(), self._mesh, limits_of(self._settings))
        except TwinmeshError as error:
            _LOG.warning("replicas: %s: %s", error.code, error.message)
            return False
        for each in results:
            if each.code is not None:
                _LOG.warning("replica of %s of %s: %s: %s", each.site, each.peer, each.code, each.message)
        return all(each.code is None for each in results)
