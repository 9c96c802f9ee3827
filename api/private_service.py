"""The service for private figures: see `federation.privacy.door`."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from api.federation_http import Service, Told
from federation.contract import Purpose
from federation.privacy.door import answer_private

if TYPE_CHECKING:
    from api.config import Federation
    from api.federation_http import Heard
    from graph.mesh import Mesh
    from ontology.units import Units


def private_service(mesh: Mesh, units: Units, settings: Federation) -> Service:
    """Answers out of the budgets of a data folder."""
    return Service(partial(_answer, mesh, units), settings.private_per_minute)


def _answer(mesh: Mesh, units: Units, heard: Heard) -> Told:
    contract = heard.grant.require(Purpose.PRIVATE, heard.now_ns)
    heard.node.rates.take(f"{contract.partner} contract", contract.per_minute)
    body, disclosure = answer_private(
        mesh.folder, mesh.snapshot(), units, heard.grant, heard.body, heard.now_ns
    )
    return Told(body, disclosure)
