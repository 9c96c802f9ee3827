"""Places by id: as Python sorts the texts, in one site and over several."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.id_order import bounds_of, order_by_id, sort_groups
from graph.jit import read_only
from graph.mesh import Mesh
from graph.strings import pack_texts
from graph.values import Change, TwinRecord
from ontology.schema import load_schema

if TYPE_CHECKING:
    import numpy.typing as npt

    from graph.snapshot import Snapshot

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["", "a", "a\0", "a\0\0", "aaaaaaaaa", "aaaaaaaab", "é", "\U0001f600"]
)


@settings(deadline=None)
@given(st.lists(st.lists(TEXTS.map(lambda text: "same-begin-" + text), max_size=40), max_size=5))
def test_groups_are_sorted_as_python_sorts_texts(groups: list[list[str]]) -> None:
    texts = [text for group in groups for text in group]
    strings = pack_texts(texts)
    owner = np.repeat(np.arange(len(groups)), [len(group) for group in groups]).astype(np.int32)
    order = np.arange(len(texts))
    start, length = strings.offsets[:-1].copy(), np.diff(strings.offsets)
    sort_groups(read_only(strings.data), start, length, bounds_of(owner, len(groups)), order)
    owners = owner.tolist()
    assert order.tolist() == sorted(range(len(texts)), key=lambda place: (owners[place], texts[place]))


def test_twins_of_several_sites(tmp_path: Path) -> None:
    schema = load_schema()
    kind = schema.kinds[schema.twin_kind].iri
    with Mesh.open(tmp_path / "data", schema) as mesh:
        for site, count in (("b", 30), ("a", 40)):
            names = [f"https://twinmesh.invalid/{site}/{(7 * n) % count}-é" for n in range(count)]
            records = tuple(TwinRecord(name, (kind,)) for name in names)
            mesh.create_site(site).apply(Change(put_twins=records))
        snapshot = mesh.snapshot()
        rows = np.random.default_rng(3).integers(0, snapshot.size, 200).astype(np.int32)
        owner = np.sort(np.random.default_rng(4).integers(0, 9, 200)).astype(np.int32)
        check_order(snapshot, rows, owner)
        ranking = snapshot.twins.ids.ranking()
        check_order(snapshot, rows, owner)  # rows of any order, though the ids are ranked now
        ascending = rows[np.lexsort((ranking.rank[rows], owner))]
        check_order(snapshot, ascending, owner)
        check_order(snapshot, np.sort(rows), np.arange(200, dtype=np.int32) // 30)


def check_order(snapshot: Snapshot, rows: npt.NDArray[np.int32], owner: npt.NDArray[np.int32]) -> None:
    """In each group by id, equal ones as they stand."""
    order = order_by_id(snapshot, rows, bounds_of(owner, 9))
    ids, owners = snapshot.ids(rows), owner.tolist()
    assert order.tolist() == sorted(range(len(rows)), key=lambda place: (owners[place], ids[place]))
