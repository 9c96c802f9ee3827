"""Rows of a join as a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable


def nest(rows: Iterable[Any]) -> list[dict[str, Any]]:
    """(floor, room, machine, point, name of the point) rows as the tree of the nested question."""
    floors: dict[str, dict[str, dict[str, list[dict[str, str]]]]] = {}
    for floor, room, machine, point, name in rows:
        machines = floors.setdefault(floor, {}).setdefault(room, {})
        machines.setdefault(machine, []).append({"id": point, "name": name})
    return [
        {
            "id": floor,
            "rooms": [
                {
                    "id": room,
                    "machines": [{"id": machine, "points": points} for machine, points in machines.items()],
                }
                for room, machines in rooms.items()
            ],
        }
        for floor, rooms in floors.items()
    ]
