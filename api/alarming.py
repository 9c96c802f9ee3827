"""Alarms as principals see and handle them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from adapters.alarm_desk import ALARM_RECORDS
from api.log_pages import page_in_sight, sees
from api.policy import Action
from ontology.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from adapters.alarm_desk import AlarmDesk, AlarmRecord
    from api.policy import Principal
    from graph.stores.state_log import StateLog
    from graph.view import View


class Alarms:
    """The alarm desks of all sites; what is out of a principal's sight does not exist."""

    def __init__(self, desks: Mapping[str, AlarmDesk] | None = None) -> None:
        self._desks = dict(desks or {})

    @property
    def logs(self) -> dict[str, StateLog]:
        """By site."""
        return {site: desk.log for site, desk in self._desks.items()}

    def acknowledge(self, asking: Principal, view: View, alarm_id: str, comment: str | None) -> AlarmRecord:
        """AccessError FORBIDDEN; see `AlarmDesk.acknowledge`."""
        asking.require(Action.ALARM)
        return self._desk(view, alarm_id).acknowledge(alarm_id, asking.name, comment)

    def shelve(
        self, asking: Principal, view: View, alarm_id: str, until_ns: int, comment: str | None
    ) -> AlarmRecord:
        """AccessError FORBIDDEN; see `AlarmDesk.shelve`."""
        asking.require(Action.ALARM)
        return self._desk(view, alarm_id).shelve(alarm_id, asking.name, until_ns, comment)

    def page(
        self, view: View, *, point: str | None, open_only: bool, limit: int, before: Mapping[str, int]
    ) -> tuple[list[tuple[int, AlarmRecord]], bool]:
        """The newest alarms in sight, see `page_in_sight`."""
        decode = ALARM_RECORDS.decode
        return page_in_sight(
            view, self.logs, decode, point=point, open_only=open_only, limit=limit, before=before
        )

    def changes(self, view: View, after: Mapping[str, int]) -> tuple[list[AlarmRecord], dict[str, int]]:
        """What alarms in sight came to since, by site and number, and the numbers to go on from."""
        found: list[AlarmRecord] = []
        reached = dict(after)
        for site, log in self.logs.items():
            for entry in log.entries(after.get(site, 0)):
                reached[site] = entry.number
                record = ALARM_RECORDS.decode(entry.content)
                if sees(view, record):
                    found.append(record)
        return found, reached

    def heads(self) -> dict[str, int]:
        return {site: log.head for site, log in self.logs.items()}

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call `listener` whenever an alarm changes, from the thread that wrote it; returns the end."""
        logs = list(self.logs.values())
        for log in logs:
            log.listeners.append(listener)

        def leave() -> None:
            for log in logs:
                log.listeners.remove(listener)

        return leave

    def lines(self) -> Iterator[str]:
        """Open alarms by status, in Prometheus' text format."""
        yield "# TYPE twinmesh_alarms_open gauge"
        for site, desk in self._desks.items():
            for state, number in desk.counts().items():
                yield f'twinmesh_alarms_open{{site="{site}",status="{state.lower()}"}} {number}'
        yield "# TYPE twinmesh_alarm_readings_conflated_total counter"
        for site, desk in self._desks.items():
            yield f'twinmesh_alarm_readings_conflated_total{{site="{site}"}} {desk.conflated}'

    def _desk(self, view: View, alarm_id: str) -> AlarmDesk:
        for desk in self._desks.values():
            record = desk.get(alarm_id)
            if record is not None and sees(view, record):
                return desk
        raise NotFoundError(f"no alarm {alarm_id!r}", code="ALARM_UNKNOWN")
