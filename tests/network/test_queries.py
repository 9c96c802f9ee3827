"""Queries over three hosts while the network between them is cut, cut one way, loses packets, and heals."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from tests.network.conftest import DEADLINE_S
from tests.network.hosts import Host

QUERY = "{ twins(first: 100) { nodes { localId site } } }"
OF = {"campus": {"AHU-1", "CH-1"}, "plant": {"LINE-1", "PRESS-1"}, "supplier": {"DRIVE-1"}}
EVERYTHING = set().union(*OF.values())
PATIENT_S = 60


def ask(host: Host) -> dict[str, Any]:
    """An answer must come within one and a half deadlines: the client waits no longer."""
    return host.graphql(QUERY, timeout_s=1.5 * DEADLINE_S)


def told(answer: dict[str, Any]) -> set[str]:
    """Whose twins are there, stubs of others left out."""
    assert "errors" not in answer, answer
    return {node["localId"] for node in answer["data"]["twins"]["nodes"]} & EVERYTHING


def states(answer: dict[str, Any]) -> dict[str, str]:
    sources = answer.get("extensions", {}).get("sources", [])
    return {source["site"]: source["status"] for source in sources}


def until(host: Host, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Ask until an answer is as it should be; each within its time."""
    end = time.monotonic() + PATIENT_S
    while True:
        answer = ask(host)
        if holds(answer):
            return answer
        assert time.monotonic() < end, answer
        time.sleep(0.1)


def is_full(answer: dict[str, Any]) -> bool:
    return set(states(answer).values()) == {"ANSWERED"} and len(states(answer)) == 3


def dark(answer: dict[str, Any]) -> set[str]:
    return {name for name, state in states(answer).items() if state == "TIMED_OUT"}


def lacks(*sites: str) -> Callable[[dict[str, Any]], bool]:
    return lambda answer: (
        {name for name, state in states(answer).items() if state == "TIMED_OUT"} == set(sites)
    )


def test_a_cut_thins_no_answer_silently(three: list[Host]) -> None:
    campus, plant, supplier = three
    for host in three:
        answer = until(host, is_full)
        assert answer["extensions"]["completeness"] == "FULL"
        assert told(answer) == EVERYTHING
    # Plant is cut off from everybody.
    plant.refuse(campus, supplier, out=True)
    for host in (campus, supplier):
        answer = until(host, lacks("plant"))
        assert answer["extensions"]["completeness"] == "PARTIAL"
        assert told(answer) == EVERYTHING - OF["plant"]
    answer = until(plant, lacks("campus", "supplier"))
    assert told(answer) == OF["plant"]
    plant.heal()
    for host in three:
        answer = until(host, is_full)
        assert (answer["extensions"]["completeness"], told(answer)) == ("FULL", EVERYTHING)
        nodes = answer["data"]["twins"]["nodes"]
        assert len({(node["site"], node["localId"]) for node in nodes}) == len(nodes), "nothing is doubled"


def test_a_cut_one_way_and_lost_packets(three: list[Host]) -> None:
    campus, plant, supplier = three
    for host in three:
        until(host, is_full)
    # What campus says comes to nobody; what is said to it would.
    for host in (plant, supplier):
        host.refuse(campus)
    answer = until(campus, lacks("plant", "supplier"))
    assert told(answer) == OF["campus"]
    answer = until(plant, lacks("campus"))
    assert told(answer) == EVERYTHING - OF["campus"]
    for host in three:
        others = [other for other in three if other is not host]
        host.refuse(*others, percent=30)
    for _ in range(5):
        answer = ask(campus)
        missing = dark(answer)
        assert (answer["extensions"]["completeness"] == "FULL") == (not missing)
        assert told(answer) == EVERYTHING - set().union(*(OF[name] for name in missing), set())
    for host in three:
        host.heal()
    for host in three:
        assert told(until(host, is_full)) == EVERYTHING
