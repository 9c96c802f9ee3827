"""Many strings in one array: whatever places are asked for, in whatever order, their texts come back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graph.strings import pack_texts

texts = st.lists(st.text(st.characters(codec="utf-8"), max_size=12), min_size=1, max_size=60)


@given(texts, st.data())
@settings(deadline=None)
def test_texts_come_back_for_any_places(given_texts, data):
    place = st.integers(0, len(given_texts) - 1)
    places = data.draw(st.lists(place, max_size=80))
    strings = pack_texts(given_texts)
    asked = np.array(places, np.int32)
    assert strings.texts_at(asked) == [given_texts[each] for each in places]


@pytest.mark.parametrize("letter", ["x", "ü"])
@pytest.mark.parametrize("places", [range(100, 900), range(899, 99, -1), range(0, 1000, 7), [5, 5, 6], []])
def test_ranges_gaps_and_repeats(letter, places):
    known = [letter * (number % 9) + str(number) for number in range(1000)]
    found = pack_texts(known).slice(0, 1000).texts_at(np.array(places, np.int64))
    assert found == [known[place] for place in places]
