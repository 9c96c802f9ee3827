"""Bindings files: strict, every problem with its place; patterns; what an address carries."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters.binding import Pattern, load_bindings, parse_bindings
from adapters.routing import Router
from graph.values import Change, TwinRecord, ValueType
from ontology.errors import InputError
from ontology.units import load_units

UNITS = load_units()


@pytest.fixture
def twin(campus_twin):
    return campus_twin


def bindings(*tables):
    return parse_bindings({"binding": list(tables)}, "bindings.toml", UNITS)


def problems(*tables):
    with pytest.raises(InputError) as caught:
        bindings(*tables)
    return [(problem.code, problem.hint) for problem in caught.value.problems]


@given(
    st.from_regex(r"[A-Za-z0-9 .\-]{1,8}", fullmatch=True),
    st.from_regex(r"[A-Za-z0-9.]{1,8}", fullmatch=True),
)
def test_a_pattern_gives_back_what_was_filled_in(one, two):
    topic = Pattern.of("a.b/{one}/x-{two}")
    assert topic.match(topic.fill({"one": one, "two": two})) == {"one": one, "two": two}


def test_a_placeholder_stays_within_its_level_and_nothing_else_is_a_pattern():
    topic = Pattern.of("campus/{ahu}/supply.temp")
    assert topic.match("campus/AHU-1/supply.temp") == {"ahu": "AHU-1"}
    assert topic.match("campus/a/b/supply.temp") is None
    assert topic.match("campus/AHU-1/supplyXtemp") is None
    assert topic.match("campus//supply.temp") is None


def test_the_subscription_filter_has_a_plus_for_each_level_with_a_placeholder():
    (binding,) = bindings({"topic": "a/{x}/b-{y}/c", "point": "{x}-{y}"})
    assert binding.topic_filter == "a/+/+/c"


def test_pointers_follow_rfc_6901():
    (binding,) = bindings({"topic": "t", "point": "p", "pointer": "/a~1b/~0/0/"})
    assert binding.pointer == ("a/b", "~", "0", "")
    assert bindings({"topic": "t", "point": "p"})[0].pointer == ()


def test_every_problem_of_a_file_is_reported_with_a_hint(tmp_path):
    assert problems({"topic": "t", "point": "p", "qoss": 1}) == [("CONFIG_UNKNOWN_KEY", "did you mean qos?")]
    assert problems({"topic": "t", "point": "p", "unit": "degC"}) == [("UNIT_UNKNOWN", "did you mean Cel?")]
    assert problems({"topic": "a/+", "point": "p"})[0][0] == "BINDING_TOPIC"
    assert problems({"topic": "a/{x}/{x}", "point": "{x}"})[0][0] == "BINDING_TOPIC"
    assert problems({"topic": "a/{x", "point": "p"})[0][0] == "BINDING_TOPIC"
    assert problems({"topic": "a/{x}", "point": "{y}"})[0][0] == "BINDING_POINT"
    assert problems({"topic": "t", "point": "p", "pointer": "value"})[0][0] == "BINDING_POINTER"
    assert problems({"topic": "t", "point": "p", "scale": 0})[0][0] == "CONFIG_RANGE"
    assert problems({"topic": "t", "point": "p", "minimum": 2, "maximum": 1})[0][0] == "CONFIG_RANGE"
    assert (
        problems({"topic": "t", "point": "p", "payload": "text", "pointer": "/a"})[0][0] == "BINDING_POINTER"
    )
    assert [code for code, _ in problems({"topic": "a/+"}, {"point": "p", "qos": 3})] == [
        "CONFIG_KEY_MISSING",
        "BINDING_TOPIC",
        "BINDING_POINT",
        "CONFIG_KEY_MISSING",
        "BINDING_TOPIC",
        "CONFIG_RANGE",
    ]
    path = tmp_path / "empty.toml"
    path.write_text("")
    with pytest.raises(InputError, match="CONFIG_RANGE"):
        load_bindings(path, UNITS)


def test_an_address_leads_to_its_point_with_the_units_of_both(twin):
    table = bindings(
        {"topic": "c/{x}/power", "point": "{x}-PWR", "unit": "W", "scale": 2},
        {"topic": "c/{x}/temp", "point": "{x}-SAT", "unit": "[degF]", "offset": 1},
    )
    router = Router(table, twin.snapshot(), UNITS)
    (power,) = router.routes("c/CH-1/power")
    assert twin.snapshot().local_id(power.row) == "CH-1-PWR"
    assert (power.scale, power.offset) == pytest.approx((0.002, 0.0))
    (temperature,) = router.routes("c/AHU-1/temp")
    assert 212 * temperature.scale + temperature.offset == pytest.approx(100.0 + 5 / 9)
    assert router.routes("c/AHU-9/temp") == ()
    assert router.routes("elsewhere") == ()


def test_one_message_may_carry_several_points(twin):
    table = bindings(
        {"topic": "c/{x}", "point": "{x}-SAT", "pointer": "/t"},
        {"topic": "c/AHU-1", "point": "FREE", "pointer": "/f"},
    )
    rows = {route.row for route in Router(table, twin.snapshot(), UNITS).routes("c/AHU-1")}
    assert rows == {twin.snapshot().find("AHU-1-SAT"), twin.snapshot().find("FREE")}


def test_what_can_never_be_bound_is_known_at_once(twin):
    table = bindings(
        {"topic": "c/{x}", "point": "{x}-HUM"},
        {"topic": "d", "point": "AHU-1"},  # a twin, but no point
        {"topic": "e", "point": "CH-1-RUN"},
    )
    router = Router(table, twin.snapshot(), UNITS)
    assert [(p.code, p.place.item) for p in router.problems] == [
        ("BINDING_POINT_UNKNOWN", "binding 1, topic 'c/{x}'"),
        ("BINDING_POINT_UNKNOWN", "binding 2, topic 'd'"),
    ]
    assert [health.expected for health in router.health(0)] == [0, 0, 1]


def test_units_and_types_that_do_not_fit_are_problems_of_the_binding(twin):
    table = bindings(
        {"topic": "a", "point": "AHU-1-SAT", "unit": "kW"},
        {"topic": "b", "point": "CH-1-RUN", "type": "number"},
    )
    router = Router(table, twin.snapshot(), UNITS)
    assert router.routes("a") == router.routes("b") == ()
    assert [problem.code for problem in router.problems] == ["UNIT_MISMATCH", "BINDING_TYPE"]
    assert [health.problem.code for health in router.health(0)] == ["UNIT_MISMATCH", "BINDING_TYPE"]


def test_routes_follow_the_graph(twin):
    router = Router(bindings({"topic": "c/{x}", "point": "{x}-SAT"}), twin.snapshot(), UNITS)
    assert router.routes("c/AHU-3") == ()
    kind = twin.schema.kind("tm:Point").iri
    twin.apply(
        Change(
            put_twins=(TwinRecord(twin.base + "AHU-3-SAT", (kind,)),), remove_twins=(twin.base + "AHU-1-SAT",)
        )
    )
    router.refresh(twin.snapshot())
    assert [route.value_type for route in router.routes("c/AHU-3")] == [ValueType.NUMBER]
    assert router.routes("c/AHU-1") == ()


def test_forged_addresses_do_not_fill_the_memory(twin):
    router = Router(bindings({"topic": "c/{x}", "point": "{x}-SAT"}), twin.snapshot(), UNITS, routes_max=100)
    for number in range(5_000):
        router.routes(f"c/x{number}")
    assert router.route_count == 100
    assert len(router.problems) <= 1_000
    assert router.routes("c/AHU-1")


def test_health_names_what_never_came_and_what_stopped_coming(twin):
    table = bindings({"name": "air", "topic": "c/{x}", "point": "{x}-SAT", "stale_after_s": 10})
    router = Router(table, twin.snapshot(), UNITS)
    (route,) = router.routes("c/AHU-1")
    router.saw(route, 5_000_000_000)
    (fresh,) = router.health(6_000_000_000)
    assert (fresh.name, fresh.expected, fresh.seen, fresh.recorded) == ("air", 2, 1, 1)
    assert (fresh.never_seen, fresh.stale) == (("AHU-2-SAT",), ())
    (old,) = router.health(16_000_000_000)
    assert (old.stale, old.stale_count) == (("AHU-1-SAT",), 1)
