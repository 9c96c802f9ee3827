"""Twins and relationships -> CSV that import reads: one document of two tables, or a folder of two files."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from adapters.csv.config import EXTERNAL_PREFIX, KIND_SEPARATOR
from graph.ids import local_id_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from pathlib import Path

    from adapters.selection import Selection
    from graph.values import JSONValue, RelationshipRecord, TwinRecord, Value
    from ontology.schema import Schema


def csv_document(selections: Sequence[Selection]) -> str:
    """One document: the table of twins, a blank line, the table of relationships."""
    return "\r\n".join(text for text in csv_tables(selections).values() if text)


def write_csv_folder(selections: Sequence[Selection], folder: Path) -> tuple[Path, ...]:
    """Writes `twins.csv` and `relationships.csv` into a folder; makes it where it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    paths: list[Path] = []
    for name, text in csv_tables(selections).items():
        path = folder / f"{name}.csv"
        path.write_text(text, "utf-8", newline="")
        paths.append(path)
    return tuple(paths)


def csv_tables(selections: Sequence[Selection]) -> dict[str, str]:
    """The tables `twins` and `relationships` as CSV texts. Ids are local where only one site goes out."""
    alone = len(selections) == 1
    twins = [row for selection in selections for row in _twin_rows(selection, alone)]
    relationships = [row for selection in selections for row in _relationship_rows(selection, alone)]
    return {
        "twins": _text(("id", "kind", "name"), ("localId",), twins),
        "relationships": _text(("source", "relation", "target"), ("group", "id"), relationships),
    }


def cell_of(value: JSONValue) -> str:
    """A value as a cell from which import reads the same value."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))


def title_of(name: str, value: Value) -> str:
    """The header of the column where an attribute stands: its name and, in brackets, the unit."""
    return f"{name} [{value.unit}]" if value.unit else name


def _twin_rows(selection: Selection, alone: bool) -> Iterable[dict[str, str]]:
    snapshot = selection.snapshot
    for row in selection.rows.tolist():
        record, local_id = snapshot.record(row), snapshot.local_id(row)
        yield {
            "id": selection.reference(record.id) if alone else record.id,
            "kind": KIND_SEPARATOR.join(_kind_names(record, snapshot.schema)),
            "name": record.name or "",
            "localId": "" if local_id == local_id_of(record.id, selection.base) else local_id,
            **{f"{EXTERNAL_PREFIX}{other.system}": other.id for other in record.external_ids},
            **_attribute_cells(record.attributes),
        }


def _kind_names(record: TwinRecord, schema: Schema) -> list[str]:
    return [kind.name if (kind := schema.kind_by_iri(iri)) else iri for iri in record.kinds]


def _relationship_rows(selection: Selection, alone: bool) -> Iterable[dict[str, str]]:
    reference: Callable[[str], str] = selection.reference if alone else str
    snapshot = selection.snapshot
    rows: list[dict[str, str]] = []
    for edge in selection.edges.tolist():
        record = snapshot.relationship(edge)
        source, relation, target = _as_stated(record)
        row = {
            "source": reference(source),
            "relation": snapshot.schema.compact(relation),
            "target": reference(target),
            "group": record.group,
            "id": reference(record.id) if record.id else "",
            **_attribute_cells(record.attributes),
        }
        rows.append(row)
    return sorted(rows, key=lambda row: (row["source"], row["relation"], row["target"], row["group"]))


def _as_stated(record: RelationshipRecord) -> tuple[str, str, str]:
    if record.stated is None:
        return record.source, record.relation, record.target
    return record.target, record.stated, record.source


def _attribute_cells(attributes: Mapping[str, Value]) -> dict[str, str]:
    return {title_of(name, value): cell_of(value.value) for name, value in attributes.items()}


def _text(always: tuple[str, ...], if_used: tuple[str, ...], rows: list[dict[str, str]]) -> str:
    """A table; columns of `if_used` and attribute columns appear where some row fills them."""
    used = {title for row in rows for title, cell in row.items() if cell}
    others = sorted(used.difference(always, if_used))
    header = [*always, *(title for title in if_used if title in used), *others]
    if not rows:
        return ""
    stream = io.StringIO(newline="")
    writer = csv.DictWriter(stream, header, restval="", extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return stream.getvalue()
