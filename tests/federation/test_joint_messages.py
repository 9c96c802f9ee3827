"""What travels: tokens, ranks, who reaches whom and levels of boundary twins; to their readers alone."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest

from federation.joint.coordinator import Coordinator
from federation.joint.cutting import cut_inputs, cut_world
from federation.joint.mailboxes import Mailboxes
from federation.joint.messages import (
    Letter,
    Phase,
    Ranked,
    Reached,
    Stage,
    Wave,
    Waved,
    decode,
    encode,
)
from federation.joint.site import LocalSite
from ontology.errors import InputError
from simulation.world import FULL, UNRANKED, RunInputs
from tests.federation.joint_worlds import joint_of, random_joint, random_owners
from tests.simulation.cascade_properties import KERNEL, run
from tests.simulation.cascade_worlds import fresh_seed, random_case


@dataclass
class Tapped(Mailboxes):
    """Mailboxes that keep a copy of all that travels."""

    letters: list[tuple[str, bytes]] = field(default_factory=list[tuple[str, bytes]])

    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self.letters = []

    def send(self, receiver: str, letter: bytes, depth: int) -> None:
        self.letters.append((receiver, letter))
        super().send(receiver, letter, depth)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for key, item in value.items() for leaf in [*leaves(key), *leaves(item)]]
    return [leaf for item in value for leaf in leaves(item)] if isinstance(value, list) else [value]


def test_letters_hold_nothing_but_what_the_scheme_says() -> None:
    seed, seen = fresh_seed("what travels"), 0
    for index in range(20):
        random = Random(f"{seed} {index}")
        case = random_case(seed, index, twins_max=18)
        secret = np.array([random.getrandbits(63) | 1 << 62 for _ in range(case.world.twins)], np.uint64)
        world = replace(case.world, twin_key=secret)
        owners, sites = random_owners(random, world.twins)
        tokens = [random.randbytes(16) for _ in range(world.twins)]
        cuts = cut_world(world, owners, [f"site-{n}" for n in range(sites)], tokens.__getitem__)
        post, locals_ = Tapped(random), [LocalSite(cut.part) for cut in cuts]
        coordinator = Coordinator(locals_, post)
        coordinator.plan()
        for site, cut in zip(locals_, cuts, strict=True):
            site.start(cut_inputs(case.inputs, cut), case.horizon_us, case.grid)
        coordinator.run()
        boundary = {token for cut in cuts for token in cut.part.exports}
        read = {cut.part.name: set(cut.part.imports) for cut in cuts}
        for receiver, letter in post.letters:
            check_letter(letter, boundary, read[receiver], case.horizon_us, world.twins)
            assert not any(int(key).to_bytes(8, "big") in letter for key in secret)
        seen += len(post.letters)
    assert seen > 100


def check_letter(letter: bytes, boundary: set[bytes], read: set[bytes], horizon_us: int, twins: int) -> None:
    """By the bytes alone, without the product's own types."""
    content = msgspec.msgpack.decode(letter)
    assert set(content) == {"phase", "body"}
    kind = content["body"].pop("type")
    fields = {"reach": {"any", "founded"}, "rank": {"loops", "ranks"}, "wave": {"service", "mains"}}[kind]
    assert set(content["body"]) <= fields
    for facts in content["body"].values():
        assert set(facts) <= read  # only about what the receiver reads
    for name, facts in content["body"].items():
        for leaf in leaves(list(facts.values())):
            if kind == "reach" or name == "loops":
                assert leaf in boundary
            elif kind == "rank":
                assert 0 <= leaf < twins
        for times, levels in facts.values() if kind == "wave" else ():
            assert len(times) == len(levels) and times == sorted(set(times))
            assert all(0 <= time < horizon_us for time in times)
            assert all(0 <= level <= FULL for level in levels)


def test_only_what_changed_travels() -> None:
    """Where all stays well without events, no level travels at all, also of loops through several sites."""
    seed, quiet, through = fresh_seed("only changes"), 0, 0
    for index in range(150):
        case = random_case(seed, index)
        case = replace(case, inputs=RunInputs.calm(case.world))
        random = Random(f"{seed} {index}")
        joint = joint_of(case, *random_owners(random, case.world.twins), random)
        plans = [site.plan.plan for site in joint.sites]
        if any((plan.need > plan.group_weight).any() for plan in plans):
            continue  # a need that is never met is no calm
        found, report = joint.solve()
        assert len(found.service.time_us) == len(run(case, KERNEL).service.time_us) == 0
        assert [(phase.letters, phase.rounds) for phase in report.phases] == [(0, 0)]
        quiet += 1
        through += any(site.plan.loops for site in joint.sites)
    assert quiet >= 10 and through >= 3, (quiet, through)


def token_of(number: int) -> bytes:
    return number.to_bytes(16, "big")


@pytest.mark.parametrize(
    "letter",
    [
        b"",
        b"\xc1",
        encode(Letter(9, Reached()))[:-1],
        msgspec.msgpack.encode({"phase": 9, "body": {"type": "reach"}, "name": "AHU-3"}),
        msgspec.msgpack.encode({"phase": 9, "body": {"type": "reach", "any": {b"x": ["AHU-3"]}}}),
        encode(Letter(9, Reached(any={b"never agreed upon": []}))),
        encode(Letter(9, Ranked())),
        encode(Letter(9, Waved())),
        encode(Letter(9, Ranked(ranks={b"x": -1}))),
        encode(Letter(9, Ranked(ranks={b"x": UNRANKED}))),
    ],
)
def test_garbage_is_refused(letter: bytes) -> None:
    joint = random_joint(1, 1)
    site = joint.sites[0]
    site.open(Phase(9, Stage.REACH))
    with pytest.raises(InputError) as caught:
        site.take([letter])
    assert caught.value.code == "JOINT_MESSAGE_INVALID"


@pytest.mark.parametrize(
    "wave",
    [Wave([0], []), Wave([5, 5], [0, 1]), Wave([-1], [0]), Wave([100], [0]), Wave([0], [FULL + 1])],
)
def test_levels_that_are_no_waveform_are_refused(wave: Wave) -> None:
    with pytest.raises(InputError) as caught:
        decode(encode(Letter(3, Waved(service={b"x": wave})))).body.service[b"x"].pieces(100)  # pyright: ignore
    assert caught.value.code == "JOINT_MESSAGE_INVALID"


def test_phases_out_of_order_are_refused() -> None:
    case = random_case(3, 3)
    owners = [twin % 2 for twin in range(case.world.twins)]
    cuts = cut_world(case.world, owners, ["north", "south"], token_of)
    site = LocalSite(cuts[0].part)
    with pytest.raises(InputError, match="JOINT_ORDER"):
        site.start(cut_inputs(case.inputs, cuts[0]), case.horizon_us, case.grid)
    with pytest.raises(InputError, match="JOINT_ORDER"):
        site.open(Phase(1, Stage.FALL))
    planned = joint_of(case, owners, 2, Random(3)).sites[0]
    planned.open(Phase(10, Stage.REACH))
    with pytest.raises(InputError, match="JOINT_ORDER"):
        planned.open(Phase(10, Stage.RANK))
    with pytest.raises(InputError, match="JOINT_ORDER"):
        planned.take([encode(Letter(11, Reached()))])
    assert planned.take([encode(Letter(9, Waved()))]) == {}  # late: dropped
    assert UNRANKED not in planned.plan.plan.need
