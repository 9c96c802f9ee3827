"""Pages of what the logs of several sites hold, as a principal sees it; what is out of sight is not there."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from graph.stores.state_log import StateLog
    from graph.view import View

PAGE_MAX: Final = 1_000
SCANNED_MAX: Final = 20_000  # subjects that are looked at for one page where a principal may see few


class AboutPoint(Protocol):
    """A record that is about a point."""

    @property
    def id(self) -> str: ...
    @property
    def point(self) -> str: ...
    @property
    def began_ns(self) -> int: ...


T = TypeVar("T")
R = TypeVar("R", bound=AboutPoint)


def page_in_sight(
    view: View,
    logs: Mapping[str, StateLog],
    decode: Callable[[bytes], R],
    *,
    point: str | None,
    open_only: bool,
    limit: int,
    before: Mapping[str, int],
) -> tuple[list[tuple[int, R]], bool]:
    """The newest records in sight, each with its number in its site, and whether there are more.

    before: by site, the number that the page goes on from.
    """
    label = None if point is None else view.snapshot.id(view.find(point))
    found: list[tuple[int, R]] = []
    for site, log in logs.items():
        seen = records_in_sight(
            log, decode, partial(sees, view), before.get(site), label, open_only=open_only
        )
        found += [each for each, _ in zip(seen, range(limit + 1), strict=False)]
    found.sort(key=lambda each: (-each[1].began_ns, each[1].id))
    return found[:limit], len(found) > limit


def sees(view: View, record: AboutPoint) -> bool:
    """Of a point that is gone only who sees everything may know."""
    row = view.snapshot.row(record.point)
    return not view.is_narrowed if row < 0 else view.visible is None or bool(view.visible[row])


def records_in_sight(
    log: StateLog,
    decode: Callable[[bytes], T],
    is_seen: Callable[[T], bool],
    before: int | None,
    label: str | None,
    *,
    open_only: bool = False,
) -> Iterator[tuple[int, T]]:
    """The records of a log that are in sight, newest first, each with its number."""
    for _ in range(SCANNED_MAX // PAGE_MAX):
        page = log.page(before, label=label, open_only=open_only, limit=PAGE_MAX)
        for number, entry in page:
            record = decode(entry.content)
            if is_seen(record):
                yield number, record
        if len(page) < PAGE_MAX:
            return
        before = page[-1][0]
