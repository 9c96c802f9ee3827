"""A twin that takes no readings, for tests of what waits then."""

from __future__ import annotations

from ontology.errors import StoreError


class Refusing:
    """A twin whose store is full for a while."""

    def __init__(self, twin):
        self._twin = twin
        self.full = True

    def __getattr__(self, name):
        return getattr(self._twin, name)

    def record(self, readings):
        if self.full:
            raise StoreError("disk full", code="STORE_FULL")
        return self._twin.record(readings)
