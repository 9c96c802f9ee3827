"""All that a server does with others, made in one place: its door, queries over peers, joint cascades."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from api.federation_http import FederationDoor
from api.federation_queries import Queries
from api.joint_cascades import JointCascades, cascade_services
from api.private_service import private_service
from api.sync_service import SyncThread, sync_service
from federation.privacy.door import PRIVATE_KIND
from federation.sync_wire import SYNC_KIND

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from api.config import Settings
    from graph.mesh import Mesh
    from ontology.units import Units


@dataclass(frozen=True, slots=True, eq=False)
class Federating:
    """door: what peers ask us. queries, joint, syncing: what we ask them."""

    door: FederationDoor
    queries: Queries
    joint: JointCascades
    syncing: SyncThread

    @classmethod
    def over(cls, mesh: Mesh, units: Units, settings: Settings, *, is_shared: bool = False) -> Federating:
        """is_shared: other processes answer at the same port."""
        chosen = settings.federation
        queries = Queries.over(mesh, units, settings)
        services = {
            **queries.services(),
            **cascade_services(mesh, is_shared=is_shared),
            PRIVATE_KIND: private_service(mesh, units, chosen),
            SYNC_KIND: sync_service(mesh, chosen),
        }
        door = FederationDoor(mesh, chosen, services)
        joint, syncing = JointCascades(mesh, chosen, door.node), SyncThread(mesh, chosen, door.node)
        return cls(door, queries, joint, syncing)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """While the server runs: what peers show is asked for now and then, replicas are kept up to date."""
        self.syncing.start()
        async with self.queries.running(self.door):
            yield

    def close(self) -> None:
        self.syncing.close()
        self.queries.close()
        self.door.close()
