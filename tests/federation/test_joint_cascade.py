"""The union of the sites' own results is byte for byte what one machine gives for the uncut world."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

import pytest

from federation.joint.coordinator import Limits, RunReport
from federation.joint.exchange import ALL_WELL, Scheme
from federation.joint.messages import Letter, Waved, decode, encode
from federation.joint.site import LocalSite
from tests.federation.joint_worlds import Joint, random_joint
from tests.simulation.cascade_properties import KERNEL, REFERENCE, equal, nowhere_above, run
from tests.simulation.cascade_worlds import fresh_seed, long_budget_s

SHORT_WORLDS = 40
LONG_WORLDS = 2000
DEFECTS = {
    "falling values merge by the last one": Scheme(fall=lambda _, last: last),
    "rising values merge by the last one": Scheme(rise=lambda _, last: last),
    "loops do not restart from nothing": Scheme(restart=ALL_WELL),
}


def is_equal(joint: Joint) -> tuple[bool, RunReport]:
    found, report = joint.solve()
    return report.exact and equal(found, run(joint.case, KERNEL)), report


def test_sites_together_equal_one_machine() -> None:
    """The kernel and the reference, on worlds of which many have loops and circles through several sites."""
    seed, seen = fresh_seed("joint = one machine"), Counter[str]()
    for index in range(SHORT_WORLDS):
        joint = random_joint(seed, index, twins_max=20)
        same, report = is_equal(joint)
        assert same, f"seed {seed}, world {index}"
        assert equal(joint.united(), run(joint.case, REFERENCE)), f"seed {seed}, world {index}"
        seen["loop through sites"] += any(site.plan.loops for site in joint.sites)
        seen["more than one turn"] += report.turns > 1
        seen["damage"] += len(joint.united().damage) > 0
        seen["many rounds"] += max(phase.rounds for phase in report.phases) > 3
    assert all(seen[name] >= 3 for name in ("loop through sites", "more than one turn", "damage")), seen
    assert seen["many rounds"] >= 3, seen


def test_rounds_in_step_give_the_same() -> None:
    """All letters of a round at once: the fewest rounds, and the answer of any other order."""
    seed = fresh_seed("by rounds")
    for index in range(SHORT_WORLDS // 4):
        found, report = random_joint(seed, index, twins_max=20, by_rounds=True).solve()
        other, mixed = random_joint(seed, index, twins_max=20).solve()
        assert report.exact and equal(found, other), f"seed {seed}, world {index}"
        assert report.turns == mixed.turns


@pytest.mark.long
@pytest.mark.timeout(7200)
def test_sites_together_equal_one_machine_on_many_worlds() -> None:
    seed, end_s = fresh_seed("joint = one machine"), time.monotonic() + long_budget_s()
    count, most = 0, Counter[str]()
    while count < LONG_WORLDS or time.monotonic() < end_s:
        joint = random_joint(seed, count, twins_max=30 if count < LONG_WORLDS else 60)
        same, report = is_equal(joint)
        assert same, f"seed {seed}, world {count}"
        most["turns"] = max(most["turns"], report.turns)
        for phase in report.phases:
            most[phase.stage.value] = max(most[phase.stage.value], phase.rounds)
        most["bytes"] = max(most["bytes"], sum(phase.bytes for phase in report.phases))
        most["loops"] += any(site.plan.loops for site in joint.sites)
        count += 1
        if count % 200 == 0:
            print(f"joint = one machine: {count} worlds, {dict(most)}", flush=True)


@pytest.mark.parametrize("defect", DEFECTS)
def test_planted_defect_is_caught(defect: str) -> None:
    """It ends in a wrong answer that says it is exact, on a world on which the scheme as it is is right."""
    seed = fresh_seed(defect)
    caught = next((index for index in range(1000) if is_wrong(seed, index, DEFECTS[defect])), None)
    assert caught is not None, f"seed {seed}"
    assert is_equal(random_joint(seed, caught, twins_max=20))[0], f"seed {seed}, world {caught}"


class Gullible(LocalSite):
    """Takes letters of phases that are over as if they were of this one."""

    def take(self, letters: Iterable[bytes]) -> dict[str, bytes]:
        read = [decode(letter) for letter in letters]
        now = max(letter.phase for letter in read)
        return super().take(
            encode(Letter(now if isinstance(letter.body, Waved) else letter.phase, letter.body))
            for letter in read
        )


@pytest.mark.long
def test_letters_of_phases_that_are_over_would_do_harm() -> None:
    seed = fresh_seed("late letters")
    caught = next((index for index in range(1000) if is_wrong(seed, index, Scheme(), Gullible)), None)
    assert caught is not None, f"seed {seed}"
    assert is_equal(random_joint(seed, caught, twins_max=20))[0], f"seed {seed}, world {caught}"


def is_wrong(seed: int, index: int, scheme: Scheme, site_type: type[LocalSite] = LocalSite) -> bool:
    """Some defects go round for ever: such worlds end at the limits and are not counted as caught."""
    limits = Limits(rounds_max=60, turns_max=10)
    joint = random_joint(seed, index, twins_max=20, scheme=scheme, limits=limits, site_type=site_type)
    found, report = joint.solve()
    return report.exact and not equal(found, run(joint.case, KERNEL))


def test_past_the_cap_bounds_hold_the_answer_and_nothing_claims_to_be_exact() -> None:
    seed, bounded = fresh_seed("bounds past the cap"), 0
    for index in range(SHORT_WORLDS):
        joint = random_joint(
            seed, index, twins_max=20, limits=Limits(rounds_max=2 + index % 3, turns_max=1 + index % 3)
        )
        high, report = joint.solve()
        truth, low = run(joint.case, KERNEL), joint.united(low=True)
        if report.exact:
            assert equal(high, truth), f"seed {seed}, world {index}"
            continue
        bounded += 1
        assert nowhere_above(low.service, truth.service), f"seed {seed}, world {index}"
        assert nowhere_above(truth.service, high.service), f"seed {seed}, world {index}"
    assert bounded >= 5
