"""The enums of the schema. Members have the values that the layers below use."""

from __future__ import annotations

from enum import Enum

import strawberry

from graph import plan
from graph.history import Aggregate
from graph.values import ItemStatus as ItemStatusValue
from graph.values import Quality as QualityValue
from graph.values import Way


@strawberry.enum(description="Which relationships of a twin to follow.")
class Direction(Enum):
    OUT = Way.OUT
    IN = Way.IN
    BOTH = Way.BOTH


@strawberry.enum
class SortDirection(Enum):
    ASC = "ASC"
    DESC = "DESC"


@strawberry.enum(description="Where twins without the value stand, whatever the direction.")
class Nulls(Enum):
    FIRST = plan.Nulls.FIRST
    LAST = plan.Nulls.LAST


@strawberry.enum(description="Quantiles are nearest-rank: always a value that was there.")
class AggregateOp(Enum):
    COUNT = Aggregate.COUNT
    MIN = Aggregate.MIN
    MAX = Aggregate.MAX
    MEAN = Aggregate.MEAN
    SUM = Aggregate.SUM
    P05 = Aggregate.P05
    P50 = Aggregate.P50
    P95 = Aggregate.P95


@strawberry.enum(description="OPC UA severity of a reading.")
class Quality(Enum):
    GOOD = QualityValue.GOOD
    UNCERTAIN = QualityValue.UNCERTAIN
    BAD = QualityValue.BAD


@strawberry.enum(description="What stands in a bucket without readings.")
class Fill(Enum):
    NONE = "NONE"  # no sample
    NULL = "NULL"  # a sample without a value
    PREVIOUS = "PREVIOUS"  # the value before
    LINEAR = "LINEAR"  # between the values before and after


@strawberry.enum
class ItemStatus(Enum):
    CREATED = ItemStatusValue.CREATED
    UPDATED = ItemStatusValue.UPDATED
    UNCHANGED = ItemStatusValue.UNCHANGED
    REMOVED = ItemStatusValue.REMOVED
    REFUSED = "REFUSED"


@strawberry.enum
class JobStatus(Enum):
    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"


@strawberry.enum
class Completeness(Enum):
    FULL = "FULL"
    PARTIAL = "PARTIAL"


@strawberry.enum(description="See INTERFACE section 4.")
class EventType(Enum):
    FAIL = "FAIL"
    DEGRADE = "DEGRADE"
    CLOSE = "CLOSE"
    DELAY = "DELAY"
    SURGE = "SURGE"
    SET = "SET"
    REMOVE = "REMOVE"
    ADD = "ADD"


@strawberry.enum(description="How far a command has come.")
class CommandStatus(Enum):
    ACCEPTED = "ACCEPTED"
    SENT = "SENT"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    CONFIRMED = "CONFIRMED"
    FAILED = "FAILED"
    EXPIRED = "EXPIRED"
    REFUSED = "REFUSED"


@strawberry.enum(description="SHELVED before all else; CLEARED is still open until it is acknowledged.")
class AlarmStatus(Enum):
    RAISED = "RAISED"
    ACKNOWLEDGED = "ACKNOWLEDGED"
    SHELVED = "SHELVED"
    CLEARED = "CLEARED"


@strawberry.enum(description="What became of a site's part of an answer.")
class SourceState(Enum):
    ANSWERED = "ANSWERED"
    PARTIAL = "PARTIAL"
    DENIED = "DENIED"
    TIMED_OUT = "TIMED_OUT"
