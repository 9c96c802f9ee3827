"""Payloads of commits: everything comes back, and what cannot be read says so."""

from __future__ import annotations

import msgspec
import pytest

from graph.codec import COLUMNS_FORMAT, decode, encode, request_bytes
from graph.values import (
    Change,
    ExternalId,
    KindRecord,
    RelationshipKey,
    RelationshipRecord,
    TwinRecord,
    Value,
)
from ontology.errors import ChangeError, StoreError

TWIN = TwinRecord(
    "urn:x:a",
    ("urn:k:1", "urn:k:2"),
    "Name",
    "local",
    {"n": Value(1.5, "kW", "f"), "j": Value([1, {"a": None}]), "gone": Value(None)},
    (ExternalId("ifc", "1"),),
    "f",
)
LINK = RelationshipRecord(
    "urn:x:a", "urn:r", "urn:x:b", "g", "urn:x:e", {"w": Value(2)}, "f", "urn:r:inverse"
)
FULL = Change(
    put_twins=(TWIN,),
    merge_twins=(TwinRecord("urn:x:b"),),
    put_relationships=(LINK, RelationshipRecord("urn:x:b", "urn:r", "urn:x:a")),
    remove_twins=("urn:x:c",),
    remove_relationships=("urn:x:d", RelationshipKey("urn:x:a", "urn:r", "urn:x:b", "g")),
    put_kinds=(KindRecord("urn:k:1", "ex:One", ("urn:k:0",), "One", True, True, "urn:k:2", "urn:k:3"),),
    withdraw_twins={"f": ("urn:x:z",)},
    statements={"f": ("<a> <b> <c> .", "")},
)


@pytest.mark.parametrize("change", [Change(), FULL], ids=["empty", "full"])
def test_a_change_comes_back(change):
    assert decode(encode(change, ("urn:x:t",))) == (change, ("urn:x:t",))


def test_equal_changes_have_equal_bytes():
    assert encode(FULL) == encode(FULL)
    assert request_bytes(FULL) == request_bytes(FULL)
    assert request_bytes(Change()) != request_bytes(Change(expected_revision=0))


def test_a_newer_payload_is_refused():
    with pytest.raises(StoreError) as caught:
        decode(msgspec.msgpack.encode((COLUMNS_FORMAT + 1, [], [])))
    assert caught.value.code == "STORE_VERSION"


@pytest.mark.parametrize("cut", range(0, 200, 7))
def test_a_payload_cut_short_is_corrupt(cut):
    with pytest.raises(StoreError) as caught:
        decode(encode(FULL)[:cut])
    assert caught.value.code == "JOURNAL_CORRUPT"


@pytest.mark.parametrize("value", ["\ud800", object(), 2**70], ids=["surrogate", "object", "huge"])
def test_what_cannot_be_written_down_is_a_violation(value):
    with pytest.raises(ChangeError) as caught:
        encode(Change(put_twins=(TwinRecord("urn:x:a", attributes={"a": Value(value)}),)))
    assert caught.value.code == "VALUE_TYPE"
