"""The own vocabularies: small, aligned, and complete."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import pytest
from pyoxigraph import NamedNode, RdfFormat, parse

from ontology.schema import load_schema
from ontology.vocabulary import DATA, compact, expand, read_vocabulary, rows

TM = "https://twinmesh.dev/ns#"
SKOS = "http://www.w3.org/2004/02/skos/core#"


@pytest.fixture(scope="module")
def stated() -> dict[str, set[tuple[str, str]]]:
    """tm term -> its (predicate, object) pairs."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for triple in parse(path=DATA / "tm.ttl", format=RdfFormat.TURTLE):
        assert isinstance(triple.subject, NamedNode)
        if triple.subject.value.startswith(TM):
            found[triple.subject.value].add((triple.predicate.value, getattr(triple.object, "value", "")))
    return found


def test_the_upper_vocabulary_is_thin(stated: dict[str, set[tuple[str, str]]]) -> None:
    assert 20 <= len(stated) <= 40


def test_every_term_is_aligned_to_a_standard_one(stated: dict[str, set[tuple[str, str]]]) -> None:
    for term, facts in stated.items():
        matches = [
            o for p, o in facts if p in {SKOS + "exactMatch", SKOS + "closeMatch", SKOS + "broadMatch"}
        ]
        assert matches, term
        assert not any(o.startswith(TM) for o in matches), term


def test_aligned_brick_and_rec_terms_exist(stated: dict[str, set[tuple[str, str]]]) -> None:
    schema = load_schema()
    for facts in stated.values():
        for _, other in facts:
            if other.startswith(("https://brickschema.org/schema/Brick#", "https://w3id.org/rec#")):
                assert schema.kind_by_iri(other) or schema.relation_by_iri(other), other


def test_vocabularies_stand_in_the_order_of_look_up() -> None:
    order = list(dict.fromkeys(kind.name.partition(":")[0] for kind in read_vocabulary().kinds))
    assert order == ["tm", "brick", "rec", "supply"]


def test_media_are_stated_for_known_kinds_only() -> None:
    vocabulary = read_vocabulary()
    known = {kind.iri for kind in vocabulary.kinds}
    assert {iri for iri, _ in vocabulary.media_by_kind} <= known


def test_no_kind_inherits_two_media_at_once() -> None:
    """Where the most specific statements disagree, the table must say which one holds, or '-' for none."""
    schema, stated = load_schema(), dict(read_vocabulary().media_by_kind)
    for kind in schema.kinds:
        above = [k for k in schema.kinds if schema.is_a(kind.index, k.index) and k.iri in stated]
        counts = [k for k in above if not any(schema.is_a(o.index, k.index) for o in above if o is not k)]
        assert len({stated[k.iri] for k in counts}) < 2, kind.name


def test_every_statement_of_the_tables_finds_its_terms() -> None:
    vocabulary = read_vocabulary()
    kinds = {kind.iri for kind in vocabulary.kinds}
    relations = {relation.iri for relation in vocabulary.relations}
    for relation in vocabulary.relations:
        assert {*relation.domain, *relation.range} <= kinds, relation.name
        assert set(relation.parents) <= relations, relation.name
        assert relation.inverse_of is None or relation.inverse_of in relations


def test_attributes_have_one_name_each_and_known_units() -> None:
    attributes = read_vocabulary().attributes
    assert len({attribute.name for attribute in attributes}) == len(attributes)
    assert len({attribute.iri for attribute in attributes}) == len(attributes)


def test_compact_and_expand_are_inverse() -> None:
    assert compact(expand("brick:AHU")) == "brick:AHU"
    assert compact("urn:uuid:1") == "urn:uuid:1"


def test_rows_skip_notes_and_column_names() -> None:
    assert list(rows("# note\n# more\na\tb\n1\t\n2\t3\n")) == [["1", ""], ["2", "3"]]


def test_no_table_holds_prose() -> None:
    """Names, hierarchy and numbers: no cell of a table made from others' work is a sentence."""
    for name in ("kinds.tsv", "relations.tsv", "units.tsv"):
        for cells in rows((Path(DATA) / name).read_text(encoding="utf-8")):
            assert not any(cell.endswith(".") or ". " in cell for cell in cells), cells
