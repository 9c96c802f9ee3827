"""INTERFACE section 1: what is an IRI, and how local ids become IRIs and come back."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.ids import (
    default_base,
    end_key,
    ends_of_derived,
    is_iri,
    is_site_name,
    is_valid_iri,
    local_id_of,
    local_iri,
    relationship_iri,
)

BASE = default_base("campus")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("https://example.org/x", True),
        ("urn:uuid:1", True),
        ("dtmi:com:example;1", True),
        ("tag:a@b,2020:x", True),
        ("AHU-3", False),
        ("campus:AHU-3", False),
        ("brick:AHU", False),
        ("", False),
        ("a urn:x", False),
    ],
)
def test_what_counts_as_an_iri(text, expected):
    assert is_iri(text) is expected


@given(st.text(min_size=1))
def test_a_local_id_comes_back_from_its_iri(local_id):
    try:
        local_id.encode()
    except UnicodeEncodeError:
        return  # a lone surrogate is no text that a file can hold
    iri = local_iri(BASE, local_id)
    assert local_id_of(iri, BASE) == local_id
    assert is_valid_iri(iri)
    path = urlsplit(iri).path
    assert path.count("/") == 2, "one path segment"
    assert unquote(path.rpartition("/")[2]) == local_id


@pytest.mark.parametrize(
    "iri", ["https://other.org/x", BASE + "ifc/file/1a2b", BASE + "a/b", BASE + "%ff", BASE + "a b"]
)
def test_an_iri_that_no_local_id_makes_stands_for_itself(iri):
    assert local_id_of(iri, BASE) == iri


@pytest.mark.parametrize("iri", ["https://a/b c", 'https://a/"', "https://a/<", "urn:x:\n", "plain"])
def test_an_iri_that_rdf_cannot_carry_is_not_valid(iri):
    assert not is_valid_iri(iri)


@pytest.mark.parametrize("name", ["", "..", "a/b", "a:b", ".hidden", "x" * 65])
def test_a_site_name_that_is_no_safe_folder_is_refused(name):
    assert not is_site_name(name)


@pytest.mark.parametrize("name", ["campus", "a.b-c_1", "7", "x" * 64])
def test_plain_names_name_sites(name):
    assert is_site_name(name)


def test_relationship_ids_follow_from_the_key():
    iri = relationship_iri(BASE, "s", "r", "t", "g")
    assert iri == relationship_iri(BASE, "s", "r", "t", "g")
    others = {
        relationship_iri(BASE, *key)
        for key in [("s", "r", "t", ""), ("s", "r", "tg", ""), ("sr", "", "t", "g")]
    }
    assert iri not in others
    assert len(others) == 3
    assert ends_of_derived(iri) == (end_key(b"s"), end_key(b"t"))
    assert ends_of_derived("https://example.org/rel/mine") is None
