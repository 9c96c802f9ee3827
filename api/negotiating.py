"""Which of the types that can be sent an Accept header wants (RFC 9110, 12.5.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_RANGES_MAX: Final = 100


def accepted(accept: str | None, offers: Mapping[str, str]) -> str | None:
    """The value of the media type that is wanted most; of equal ones the one offered first. None: of none.

    offers: by media type, in order of preference. The most specific range tells how much a type is wanted.
    """
    ranges = dict(_ranges(accept or "*/*"))
    best, most = None, 0.0
    for media, value in offers.items():
        weight = _weight(ranges, media)
        if weight > most:
            best, most = value, weight
    return best


def _weight(ranges: Mapping[str, float], media: str) -> float:
    group = f"{media.partition('/')[0]}/*"
    return next((ranges[each] for each in (media, group, "*/*") if each in ranges), 0.0)


def _ranges(accept: str) -> Iterable[tuple[str, float]]:
    for part in accept.split(",")[:_RANGES_MAX]:
        name, *parameters = (item.strip().lower() for item in part.split(";"))
        stated = next((item[2:] for item in parameters if item.startswith("q=")), "1")
        try:
            weight = float(stated)
        except ValueError:
            continue
        if 0.0 <= weight <= 1.0:  # also not NaN
            yield name, weight
