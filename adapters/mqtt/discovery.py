"""Home Assistant's MQTT discovery messages -> candidates for bindings. Pure: what a broker keeps, as text.

Reads what `mosquitto_sub -v -t 'homeassistant/#' -W 5` prints: a topic, a blank, a payload, line by line.
Payloads may use the short names of Home Assistant's MQTT documentation, and `~` for a common beginning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from adapters.proposing import Candidate
from ontology.errors import InputError, LimitError, Place, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

MESSAGES_MAX: Final = 100_000
COMPONENTS: Final = frozenset({"sensor", "binary_sensor", "number", "switch", "select", "text"})
_SHORT: Final = {
    "stat_t": "state_topic",
    "unit_of_meas": "unit_of_measurement",
    "val_tpl": "value_template",
    "uniq_id": "unique_id",
    "dev": "device",
}
_TOPIC: Final = re.compile(r"[^/]+/(?P<component>[^/]+)/(?:[^/]+/)?(?P<object>[^/]+)/config")
_TEMPLATE: Final = re.compile(
    r"\{\{\s*value_json(?P<path>(?:\.\w+|\['[^']+'\]|\[\"[^\"]+\"\])+)\s*(?:\|\s*(?:float|int)(?:\(0?\))?\s*)?\}\}"
)
_STEP: Final = re.compile(r"\.(\w+)|\['([^']+)'\]|\[\"([^\"]+)\"\]")
_UNITS: Final = {"°C": "Cel", "°F": "[degF]", "ppm": "[ppm]", "m³/h": "m3/h", "m³": "m3", "W/m²": "W/m2"}
_read = msgspec.json.Decoder().decode


def discovered(lines: Iterable[str], path: str) -> tuple[Candidate, ...]:
    """What the configuration messages among some lines offer. Another message is none, an empty one removes.

    A template that is no plain path into JSON has no binding: its topic is told, and matches nothing.
    Raises InputError DISCOVERY_SYNTAX with every line that cannot be read; LimitError DISCOVERY_TOO_MANY.
    """
    problems: list[Problem] = []
    found: dict[str, Candidate] = {}
    for number, line in enumerate(lines, 1):
        if number > MESSAGES_MAX:
            raise LimitError(f"more than {MESSAGES_MAX:,} messages", code="DISCOVERY_TOO_MANY")
        topic, _, payload = line.rstrip("\n").partition(" ")
        match = _TOPIC.fullmatch(topic)
        if match is None or match["component"] not in COMPONENTS:
            continue
        found.pop(topic, None)
        if payload.strip():
            try:
                candidate = _candidate(match["component"], match["object"], _document(payload))
            except ValueError as error:
                problems.append(Problem("DISCOVERY_SYNTAX", f"{topic}: {error}", Place(path, number)))
                continue
            if candidate is not None:
                found[topic] = candidate
    if problems:
        raise InputError.of(problems)
    return tuple(found.values())


def _document(payload: str) -> dict[str, Any]:
    """A payload with long names and without `~`. ValueError."""
    try:
        document = _read(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("no object")
    given = cast("dict[str, Any]", document)
    return {_SHORT.get(key, key): value for key, value in given.items()}


def _candidate(component: str, name: str, document: dict[str, Any]) -> Candidate | None:
    """None where it has no state: a button, a scene. ValueError."""
    topic = document.get("state_topic")
    if topic is None:
        return None
    if not isinstance(topic, str):
        raise ValueError("state_topic is no text")
    base = str(document.get("~", ""))
    topic = (
        base + topic[1:] if topic.startswith("~") else topic.removesuffix("~") + base * topic.endswith("~")
    )
    unit = document.get("unit_of_measurement")
    template = document.get("value_template")
    field = ("payload", "text") if template is None else ("pointer", _pointer(str(template)))
    return Candidate(
        address=topic,
        names=() if field[1] is None else tuple(dict.fromkeys(_names(name, document))),
        value_type="number" if unit is not None or component == "number" else None,
        unit=None if unit is None else _UNITS.get(str(unit), str(unit)),
        fields=() if field[1] is None else ((field[0], field[1]),),
    )


def _names(name: str, document: dict[str, Any]) -> Iterator[str]:
    """By what it may be known, the most telling first."""
    if isinstance(document.get("unique_id"), str):
        yield document["unique_id"]
    yield name
    device = document.get("device")
    own = document.get("name")
    if isinstance(device, dict) and isinstance(own, str):
        known = cast("dict[str, Any]", device).get("name")
        if isinstance(known, str):
            yield f"{known} {own}"
    if isinstance(own, str):
        yield own


def _pointer(template: str) -> str | None:
    """The JSON pointer of `{{ value_json.a['b'] }}`; None for any other template."""
    match = _TEMPLATE.fullmatch(template.strip())
    if match is None:
        return None
    steps = ["".join(step) for step in _STEP.findall(match["path"])]
    return "".join("/" + step.replace("~", "~0").replace("/", "~1") for step in steps)
