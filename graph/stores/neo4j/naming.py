"""Names in Neo4j: labels, relationship types and properties. Labels and types come from the schema alone.

A label or a type cannot be a parameter of Cypher, so it is written into the statement, quoted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy.typing as npt

    from ontology.schema import Schema

ENTITY: Final = "Entity"
GONE: Final = "_Gone"
# Properties that every twin may have; an attribute of such a name, or with `_` before it, is stored aside.
RESERVED: Final = frozenset({"id", "name"})
ASIDE: Final = "_a_"


def quoted(name: str) -> str:
    """A name as Cypher writes it. Cypher reads `\\uXXXX` before anything else, even inside quotes."""
    return "`" + name.replace("\\", "\\u005C").replace("`", "``") + "`"


def labels_of(schema: Schema, kinds: Iterable[str]) -> tuple[str, ...]:
    """The labels of a twin with these kinds (IRIs): each kind and all above it, by prefixed name in order."""
    found = [kind.index for kind in map(schema.kind_by_iri, kinds) if kind is not None]
    above = np.flatnonzero(schema.ancestors[found].any(axis=0)).tolist() if found else []
    return tuple(sorted(schema.kinds[index].name for index in above))


def label_text(labels: Iterable[str]) -> str:
    """`:A:B`, or nothing."""
    return "".join(f":{quoted(label)}" for label in labels)


def types_text(schema: Schema, relations: npt.NDArray[np.bool_] | None) -> str:
    """`:A|B` of some relations of the schema; nothing where any will do."""
    if relations is None:
        return ""
    stored = [schema.relations[index] for index in np.flatnonzero(relations).tolist()]
    names = sorted(quoted(relation.name) for relation in stored if relation.inverse_of is None)
    return ":" + "|".join(names)


def property_of(attribute: str) -> str:
    """The property that holds an attribute."""
    return ASIDE + attribute if attribute in RESERVED or attribute.startswith("_") else attribute


def attribute_of(name: str) -> str | None:
    """The attribute that a property holds; None where it holds something else."""
    if name.startswith(ASIDE):
        return name.removeprefix(ASIDE)
    return None if name in RESERVED or name.startswith("_") else name
