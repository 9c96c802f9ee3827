"""Conditions: what is let in, what it means, and that nothing else gets near Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graph.expressions import Expression
from ontology.errors import InputError

NUMBERS = st.one_of(st.integers(-5, 5).map(float), st.sampled_from([0.5, math.nan]))


@st.composite
def conditions(draw, depth=3):
    """A condition as text, over a, b and point("P")."""
    if depth and draw(st.booleans()):
        operator = draw(st.sampled_from(["and", "or"]))
        left, right = draw(conditions(depth - 1)), draw(conditions(depth - 1))
        return f"({'not ' * draw(st.integers(0, 1))}({left}) {operator} ({right}))"
    order = draw(st.sampled_from(["<", "<=", ">", ">=", "==", "!="]))
    return f"{draw(values(depth))} {order} {draw(values(depth))}"


@st.composite
def values(draw, depth=2):
    if depth and draw(st.booleans()):
        form = draw(st.sampled_from(["({} + {})", "({} - {})", "({} * {})", "min({}, {})", "max({}, {})"]))
        return form.format(draw(values(depth - 1)), draw(values(depth - 1)))
    return draw(st.sampled_from(["a", "b", 'point("P")', "1", "2.5", "-a", "abs(b)"]))


@given(conditions(), st.lists(st.tuples(NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=5))
def test_it_means_what_python_means(text, rows):
    """Row by row Python's own evaluation; where an input is missing, nothing is sure."""
    expression = Expression.parse(text, ("a", "b"))
    columns = np.array(rows, np.float64).T
    names = {"a": columns[0], "b": columns[1]}
    truth = expression.evaluate(names, {"P": columns[2]}, len(rows))
    for place, (a, b, p) in enumerate(rows):
        given_names = {*expression.names, *expression.points}
        used = [value for name, value in (("a", a), ("b", b), ("P", p)) if name in given_names]
        sure = not any(math.isnan(value) for value in used)
        assert truth.sure[place] == sure
        scope = {"a": a, "b": b, "point": lambda _, p=p: p, "abs": abs, "min": min, "max": max}
        wanted = sure and eval(text, {"__builtins__": {}}, scope)
        assert truth.holds[place] == wanted


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "value.x > 1",
        "value[0] > 1",
        "value ** 9 > 1",
        "value",
        "lambda: 1",
        "value > (1 if value else 2)",
        "other > 1",
        "1e999 > value",
        "value > 'x'",
        "f'{value}' == 'a'",
        "[v for v in value]",
        "value > 1 > (yield)",
        "abs(value, 1) > 1",
        "min(value) > 1",
        "point(value) > 1",
        "value in (1, 2)",
        "(x := value) > 1",
        "9" * 999 + " > value",
        "(" * 400 + "value" + ")" * 400 + " > 1",
        "not " * 100 + "value > 1",
        "value > 1" + " " * 1_000,
        "",
        "value > \0",
    ],
)
def test_nothing_else_is_let_in(text):
    with pytest.raises(InputError, match="EXPRESSION_INVALID"):
        Expression.parse(text)


def test_texts_are_compared_and_never_ordered_or_added():
    states = np.array(["RUN", "STOP", None], object)
    same = Expression.parse('point("S") == "RUN"').evaluate({}, {"S": states}, 3)
    assert (same.holds.tolist(), same.sure.tolist()) == ([True, False, False], [True, True, False])
    added = Expression.parse('point("S") + 1 > 0').evaluate({}, {"S": states}, 3)
    assert not added.sure.any()
    divided = Expression.parse("1 / value > 0").evaluate({"value": np.array([0.0, 2.0])}, {}, 2)
    assert (divided.holds.tolist(), divided.sure.tolist()) == ([False, True], [False, True])
