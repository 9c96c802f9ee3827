"""Private figures over three real servers: what is asked, paid, combined, suppressed and refused."""

from __future__ import annotations

from collections.abc import Generator
from pathlib import Path

import pytest

from graph.values import Change, TwinRecord, Value
from ontology.schema import Schema
from ontology.units import Units
from tests.api.peer_pair import Site
from tests.api.private_fleet import PUMP, SIZES, account, agree, ask, fleet, states, values, write


@pytest.fixture(scope="module")
def sites(
    tmp_path_factory: pytest.TempPathFactory, ontology: Schema, units: Units
) -> Generator[dict[str, Site]]:
    with fleet(tmp_path_factory.mktemp("fleet"), ontology, units) as opened:
        yield opened


@pytest.fixture
def agreed(sites: dict[str, Site]) -> dict[str, Site]:
    """Both customers agree; budgets that earlier tests spent are forgotten."""
    for name in ("north", "south"):
        (sites[name].folder / "privacy.sqlite").unlink(missing_ok=True)
        agree(sites[name])
    return sites


def near(value: float | None, wanted: float, tolerance: float) -> bool:
    """Noise at epsilon 10 strays so far with a chance below 1e-9."""
    return value is not None and abs(value - wanted) <= tolerance


def test_a_count_over_two_partners(agreed: dict[str, Site]) -> None:
    code, told = ask(agreed["maker"], "--op", "COUNT")
    assert code == 0
    assert states(told) == {"north": ("answered", None), "south": ("answered", None)}
    assert near(values(told)["all"], SIZES["north"] + SIZES["south"], 10)
    assert told["completeness"] == "FULL"
    assert account(told, "north") == {
        "paid_micro": 10_000_000,
        "left_micro": 90_000_000,
        "budget_micro": 100_000_000,
        "renews": account(told, "north")["renews"],
    }


def test_sums_and_means_are_in_one_unit(agreed: dict[str, Site]) -> None:
    """Half of the pumps state their 10 kW in W."""
    _, told = ask(agreed["maker"], "--op", "SUM", "--of", "ratedPower")
    assert told["unit"] == "kW"
    assert near(values(told)["all"], 10.0 * 100, 600)
    assert all(each["lower"] == 0.0 and each["upper"] == 100.0 for each in told["peers"])
    _, told = ask(agreed["maker"], "--op", "MEAN", "--of", "ratedPower")
    assert near(values(told)["all"], 10.0, 12)
    assert 0 < told["groups"][0]["error95"] < 12
    _, told = ask(agreed["maker"], "--op", "P50", "--of", "ratedPower")
    assert values(told) == {"all": None}, "medians of several sites are no median"
    own = [each["groups"][0]["value"] for each in told["peers"]]
    assert all(0 <= value <= 100 for value in own)


def test_groups_by_attribute_kind_and_site(agreed: dict[str, Site]) -> None:
    _, told = ask(agreed["maker"], "--by", "hall", "--group", "A", "--group", "B")
    assert near(values(told)["A"], 50, 10)
    assert near(values(told)["B"], 50, 10)
    _, told = ask(agreed["maker"], "--by", "site")
    assert set(values(told)) == {"north", "south"}
    assert near(values(told)["south"], SIZES["south"], 8)
    _, told = ask(agreed["maker"], "--by", "kind")
    assert near(values(told)["brick:Pump"], 100, 10)
    code, told = ask(agreed["maker"], "--by", "hall")
    assert code == 1, "values are never looked up"
    assert states(told)["north"] == ("denied", "PRIVACY_GROUPS")


def test_small_groups_are_suppressed(agreed: dict[str, Site]) -> None:
    """Two chillers: a noisy count of 5 or more has a chance below 1e-12. Nobody is said to have none."""
    code, told = ask(agreed["maker"], kind="brick:Chiller")
    assert code == 0
    assert states(told) == {"north": ("suppressed", None), "south": ("suppressed", None)}
    assert values(told) == {"all": None}
    assert told["completeness"] == "PARTIAL"
    shown = [group for each in told["peers"] for group in each["groups"]]
    assert shown == [{"group": "all", "suppressed": True, "value": None, "error95": None, "count": None}] * 2
    _, none = ask(agreed["maker"], "--by", "hall", "--group", "Z")
    assert [group["suppressed"] for each in none["peers"] for group in each["groups"]] == [True, True]


def test_the_same_question_is_the_same_answer_for_nothing(agreed: dict[str, Site]) -> None:
    maker, north = agreed["maker"], agreed["north"]
    _, first = ask(maker, "--peer", "north")
    _, again = ask(maker, "--peer", "north")
    assert values(first) == values(again)
    assert (account(again, "north")["paid_micro"], account(again, "north")["left_micro"]) == (0, 90_000_000)
    conditions = [
        '[{"attribute": "hall", "operator": "eq", "operand": "A"}, '
        '{"attribute": "hall", "operator": "ne", "operand": "B"}]',
        '[{"operator": "ne", "attribute": "hall", "operand": "B"}, '
        '{"attribute": "hall", "operand": "A", "operator": "eq"}]',
    ]
    paid = [account(ask(maker, "--peer", "north", "--where", each)[1], "north") for each in conditions]
    assert [each["paid_micro"] for each in paid] == [10_000_000, 0], "in whatever order it is put"
    record = TwinRecord("https://twinmesh.invalid/north/NEW", (PUMP,), attributes={"hall": Value("A")})
    write(north, Change(put_twins=(record,)))
    _, later = ask(maker, "--peer", "north")
    assert account(later, "north")["paid_micro"] == 10_000_000, "another revision is another question"
    write(north, Change(remove_twins=(record.id,)))


def test_a_spent_budget_refuses_and_says_when_it_renews(agreed: dict[str, Site]) -> None:
    maker = agreed["maker"]
    agree(agreed["north"], epsilon=10.0)
    assert ask(maker, "--peer", "north")[0] == 0
    code, told = ask(maker, "--peer", "north", "--op", "SUM", "--of", "ratedPower")
    assert code == 1
    assert states(told)["north"] == ("denied", "PRIVACY_BUDGET_SPENT")
    assert account(told, "north")["left_micro"] == 0
    assert ask(maker, "--peer", "north")[0] == 0, "what was paid for is answered again"
    agree(agreed["north"], epsilon=20.0)
    assert ask(maker, "--peer", "north", "--op", "SUM", "--of", "ratedPower")[0] == 0, "a wider contract"


def test_one_refusal_whatever_is_not_shared(agreed: dict[str, Site]) -> None:
    """Whether there is such a thing is the same answer: attributes, kinds, groups, sites, conditions."""
    maker = agreed["maker"]
    secret = '[{"attribute": "%s", "operator": "eq", "operand": 1}]'
    words = (
        ("--op", "SUM", "--of", "secret"),
        ("--op", "SUM", "--of", "nothing"),
        ("--op", "COUNT", "--of", "secret"),
        ("--by", "secret", "--group", "1"),
        ("--by", "nothing", "--group", "1"),
        ("--by", "partOf:rec:Level", "--group", "https://twinmesh.invalid/north/P-1"),
        ("--where", secret % "secret"),
        ("--where", secret % "nothing"),
        ("--by", "site", "--group", "south"),
    )
    found = {each: states(ask(maker, "--peer", "north", *each)[1])["north"] for each in words}
    assert set(found.values()) == {("denied", "PRIVACY_NOT_SHARED")}, found
    for kind in ("brick:AHU", "brick:Equipment", "tm:Twin", "no:Such", "brick:Chilled_Water_Pump"):
        told = ask(maker, "--peer", "north", kind=kind)[1]
        is_shared = kind == "brick:Chilled_Water_Pump"  # below pumps, and there is none: not refused
        wanted = ("suppressed", None) if is_shared else ("denied", "PRIVACY_NOT_SHARED")
        assert states(told)["north"] == wanted, kind
    ledger = agreed["north"].folder / "privacy.sqlite"
    assert ledger.exists(), "the one question that was answered is paid for"


def test_a_contract_narrowed_or_expired_or_without_terms(agreed: dict[str, Site]) -> None:
    maker, north = agreed["maker"], agreed["north"]
    told = agree(north, kinds=["brick:Chiller"])
    assert told["narrower"] == [f"kinds: - {PUMP}"]
    _, denied = ask(maker)
    assert states(denied) == {"north": ("denied", "PRIVACY_NOT_SHARED"), "south": ("answered", None)}
    assert near(values(denied)["all"], SIZES["south"], 8)
    agree(north, expires="2020-01-01")
    assert states(ask(maker, "--peer", "north")[1])["north"] == ("denied", "CONTRACT_EXPIRED")
    north.run("remove", "maker")
    assert states(ask(maker, "--peer", "north")[1])["north"] == ("denied", "PEER_UNKNOWN")
    north.run("add", maker.url, "--fingerprint", maker.key)
    assert states(ask(maker, "--peer", "north")[1])["north"] == ("denied", "CONTRACT_NONE")


def test_the_rate_of_the_contract_holds(agreed: dict[str, Site]) -> None:
    agree(agreed["south"], per_minute=0)
    assert states(ask(agreed["maker"], "--peer", "south")[1])["south"] == ("denied", "RATE_LIMITED")


def test_the_ledger_tells_figures_and_no_sizes(agreed: dict[str, Site]) -> None:
    maker, north = agreed["maker"], agreed["north"]
    _, told = ask(maker, "--peer", "north", "--by", "kind", "--group", "brick:Pump", "--group", "brick:Fan")
    assert states(told)["north"] == ("denied", "PRIVACY_NOT_SHARED")
    ask(maker, "--peer", "north", "--by", "hall", "--group", "A", "--group", "Z")
    (*_, last) = north.node.ledger.entries(partner=maker.key)
    assert (last.purpose, last.kind, last.twins) == ("private", "private", ())
    shown, suppressed = (
        last.figures["COUNT twins of brick:Pump: A"],
        last.figures["COUNT twins of brick:Pump: Z"],
    )
    assert suppressed == 0
    assert 0 < shown < SIZES["north"] // 2, "the threshold, not the size"


def test_it_is_told_what_a_contract_widens(sites: dict[str, Site], tmp_path: Path) -> None:
    agree(sites["south"])
    file = sites["south"].folder / "contract.toml"
    text = file.read_text()
    wider = tmp_path / "wider.toml"
    wider.write_text(
        text.replace("epsilon = 100.0", "epsilon = 50.0\nwindow_days = 7").replace("100,", "90,")
    )
    code, told = sites["south"].run("contract", str(wider), "--dry-run")
    assert code == 0
    assert told["wider"] == [
        "privacy.window_days: 30 -> 7",
        "privacy.bounds: ratedPower 0 to 100 kW -> 0 to 90 kW",
    ]
    assert told["narrower"] == ["privacy.epsilon: 100 -> 50"]


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("epsilon = 100.0", "epsilon = 0", "CONTRACT_TYPE"),
        ("epsilon = 100.0", "epsilon = nan", "CONTRACT_TYPE"),
        ("epsilon = 100.0", "epsilon = 1.0\ndelta = 0.1", "CONTRACT_UNKNOWN_KEY"),
        ("epsilon = 100.0", "epsilon = 1.0\nwindow_days = 0", "CONTRACT_TYPE"),
        ("ratedPower", "ratedPowr", "CONTRACT_UNKNOWN_NAME"),
        ("from = 0", "from = 100", "CONTRACT_TYPE"),
        ('"kW"', '"kWat"', "CONTRACT_UNKNOWN_NAME"),
        ('purposes = ["private"]', 'purposes = ["query"]', "CONTRACT_MISSING"),
    ],
)
def test_mistakes_in_the_terms(sites: dict[str, Site], tmp_path: Path, old: str, new: str, code: str) -> None:
    agree(sites["south"])
    text = (sites["south"].folder / "contract.toml").read_text()
    assert old in text
    file = tmp_path / "contract.toml"
    file.write_text(text.replace(old, new, 1))
    exit_code, told = sites["south"].run("contract", str(file), "--dry-run")
    assert (exit_code, told["code"]) == (1, code)
