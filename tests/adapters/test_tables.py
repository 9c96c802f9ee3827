"""Strict configuration tables: every problem at once, each with its place."""

from __future__ import annotations

import pytest

from adapters.tables import Table, read_toml
from ontology.errors import InputError, Place


def codes(error: InputError) -> list[str]:
    return [problem.code for problem in error.problems]


def test_known_keys_are_read_and_defaults_stand_in():
    table = Table({"host": "broker", "port": 1884, "rate": 3}, Place("a.toml"))
    assert table.text("host") == "broker"
    assert table.integer("port", 1883, minimum=1, maximum=65535) == 1884
    assert table.number("rate", 1.0) == 3.0
    assert table.boolean("tls", False) is False
    assert table.optional_text("user") is None
    table.finish()


def test_every_problem_is_reported_at_once_with_a_suggestion():
    table = Table({"hots": "x", "port": True, "rate": -1, "mode": "fsat"}, Place("a.toml", item="mqtt 1"))
    table.text("host")
    table.integer("port", 1, minimum=0, maximum=9)
    table.number("rate", 1.0, minimum=0)
    table.choice("mode", ("fast", "slow"), "fast")
    with pytest.raises(InputError) as caught:
        table.finish()
    assert codes(caught.value) == [
        "CONFIG_KEY_MISSING",
        "CONFIG_WRONG_TYPE",
        "CONFIG_RANGE",
        "CONFIG_RANGE",
        "CONFIG_UNKNOWN_KEY",
    ]
    unknown = caught.value.problems[-1]
    assert unknown.hint == "did you mean host?"
    assert unknown.place == Place("a.toml", item="mqtt 1")
    assert caught.value.problems[3].hint == "did you mean fast?"


def test_a_file_that_is_no_toml_is_named_with_its_line(tmp_path):
    path = tmp_path / "broken.toml"
    path.write_text("a = 1\nb = = 2\n")
    with pytest.raises(InputError, match=r"CONFIG_SYNTAX: broken\.toml.*line 2"):
        read_toml(path)
    with pytest.raises(InputError, match="CONFIG_UNREADABLE"):
        read_toml(tmp_path / "absent.toml")
