"""Random worlds cut at random into sites, and the joint answer beside that of one machine."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random

from federation.joint.coordinator import Coordinator, Limits, Post, RunReport
from federation.joint.cutting import Cut, cut_inputs, cut_world, unite
from federation.joint.exchange import Scheme
from federation.joint.mailboxes import Mailboxes, Rounds
from federation.joint.site import LocalSite
from simulation.world import Solution
from tests.simulation.cascade_worlds import Case, random_case

SITES_MAX = 8


@dataclass(frozen=True)
class Joint:
    """A case, its cut, and the sites with their plans made."""

    case: Case
    cuts: list[Cut]
    sites: list[LocalSite]
    coordinator: Coordinator
    post: Post

    def solve(self) -> tuple[Solution, RunReport]:
        for site, cut in zip(self.sites, self.cuts, strict=True):
            site.start(cut_inputs(self.case.inputs, cut), self.case.horizon_us, self.case.grid)
        report = self.coordinator.run()
        return self.united(), report

    def united(self, *, low: bool = False) -> Solution:
        return unite(self.case.world.twins, self.cuts, [site.outcome for site in self.sites], low=low)


def random_owners(random: Random, twins: int) -> tuple[list[int], int]:
    """Sites of twins: all at random, or runs of neighbouring rows, so that circles cross often and seldom."""
    sites = random.randint(2, min(SITES_MAX, twins))
    if random.random() < 0.5:
        return [random.randrange(sites) for _ in range(twins)], sites
    ends = sorted(random.sample(range(1, twins), sites - 1))
    return [sum(end <= twin for end in ends) for twin in range(twins)], sites


def joint_of(
    case: Case,
    owners: Sequence[int],
    sites: int,
    random: Random,
    *,
    scheme: Scheme | None = None,
    limits: Limits | None = None,
    by_rounds: bool = False,
    site_type: type[LocalSite] = LocalSite,
) -> Joint:
    tokens = [random.randbytes(16) for _ in range(case.world.twins)]
    names = [f"site-{number}" for number in range(sites)]
    cuts = cut_world(case.world, owners, names, tokens.__getitem__)
    locals_ = [site_type(cut.part, scheme) for cut in cuts]
    post = Rounds() if by_rounds else Mailboxes(random, repeat=random.choice([0.0, 0.2]))
    Coordinator(locals_, post).plan()
    coordinator = Coordinator(locals_, post, limits, first_phase=3)
    return Joint(case, cuts, locals_, coordinator, post)


def random_joint(
    seed: int,
    index: int,
    *,
    twins_max: int = 30,
    scheme: Scheme | None = None,
    limits: Limits | None = None,
    by_rounds: bool = False,
    site_type: type[LocalSite] = LocalSite,
) -> Joint:
    random = Random(f"{seed} {index}")
    case = random_case(seed, index, twins_max=twins_max)
    owners, sites = random_owners(random, case.world.twins)
    return joint_of(
        case, owners, sites, random, scheme=scheme, limits=limits, by_rounds=by_rounds, site_type=site_type
    )
