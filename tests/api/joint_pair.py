"""Servers that are peers with contracts for cascades, and what one folder with all sites says."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from api.policy import Role
from tests.api.peer_pair import Site

WAIT_S = 120.0
CAMPUS_TO_PLANT = """\
partner = "plant"
sites = ["campus"]
kinds = ["brick:AHU"]
attributes = ["name", "localId"]
release = "rows"
purposes = ["cascade"]
events = ["FAIL"]
expires = 2100-01-01
[limits]
per_minute = 600
scenarios_per_day = 50
rows_per_answer = 1000
"""
PLANT_TO_CAMPUS = """\
partner = "campus"
sites = ["plant"]
kinds = ["tm:Process"]
attributes = ["name", "localId", "valuePerHour", "repairCost"]
release = "rows"
purposes = ["cascade"]
events = ["FAIL"]
expires = 2100-01-01
[limits]
per_minute = 600
scenarios_per_day = 50
rows_per_answer = 1000
"""
START = "mutation Run($input: CascadeInput!) { simulateCascade(input: $input) { id } }"
ASK = """
query Ask($id: ID!) { simulation(id: $id) {
  id status error errorCode completeness sources { site status code }
  summary { twinsHit expectedCost runsComputed }
  impacts(first: 1000) { nodes { id localId name kind site probability probabilityHigh
    firstHitHours { mean p05 p50 p95 } expectedDownHours minLevel expectedCost uncertain why } } } }
"""


def agree(site: Site, folder: Path, text: str) -> None:
    """Put a contract in force."""
    file = folder / f"contract-{site.running.mesh.sites[0]}.toml"
    file.write_text(text)
    code, told = site.run("contract", str(file))
    assert code == 0, told


def cascade(site: Site, document: dict[str, Any]) -> dict[str, Any]:
    """The finished simulation of a server, by GraphQL."""
    token = site.running.tokens.create("test", Role.ADMIN)
    job = site.running.data(START, {"input": document}, token)["simulateCascade"]["id"]
    until = time.monotonic() + WAIT_S
    while True:
        answer = site.running.data(ASK, {"id": job}, token)["simulation"]
        if answer["status"] in ("DONE", "FAILED", "CANCELLED") or time.monotonic() > until:
            return answer
        time.sleep(0.02)
