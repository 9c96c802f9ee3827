"""Objects of a list as lines: the same objects, whatever their texts hold."""

from __future__ import annotations

import json
from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from api.lines import lines_of

TEXTS = st.text(st.sampled_from('ab,{}[]"\\\n\u00e9'), max_size=8)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.dictionaries(TEXTS, VALUES, max_size=4), max_size=6))
def test_every_object_is_a_line(objects: list[dict[str, Any]]) -> None:
    lines = lines_of(orjson.dumps(objects)[1:-1])
    assert [json.loads(line) for line in lines.splitlines()] == objects
    assert lines == b"".join(orjson.dumps(each) + b"\n" for each in objects)


def test_what_is_cut_off_ends_too() -> None:
    assert lines_of(b'{"a": "b') == b'{"a": "b\n'
