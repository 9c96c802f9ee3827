"""Conditions over points, as rules of alarms and interlocks state them: `value > 30 and point("FAN-1") == 1`.

A small part of Python's grammar, read by Python's own parser and executed here, column by column: comparisons
(chained too), `and or not`, `+ - * /`, `abs min max`, numbers, True and False, texts to compare with, the
names that the rule gives, and `point("ID")`. Nothing else is let in: no attribute, no index, no call, no
power.
"""

from __future__ import annotations

import ast
import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import numpy as np

from ontology.errors import InputError, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    import numpy.typing as npt

CHARS_MAX: Final = 1_000
NODES_MAX: Final = 300
DEPTH_MAX: Final = 30

Array: TypeAlias = "npt.NDArray[Any]"
_ORDERS: Final[dict[type[ast.cmpop], Callable[[Any, Any], Any]]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
}
_EQUALS: Final = (ast.Eq, ast.NotEq)
_SUMS: Final[dict[type[ast.operator], Callable[[Any, Any], Any]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: np.divide,
}
_FUNCTIONS: Final[dict[str, Callable[..., Any]]] = {"abs": np.abs, "min": np.minimum, "max": np.maximum}
_HINT: Final = 'such as: value > 30 and point("FAN-1") == 1'


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """Where a condition holds: holds bool[n]. sure bool[n]: False where an input or a result was no value."""

    holds: npt.NDArray[np.bool_]
    sure: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Expression:
    """A condition that was read. points: the ids in `point(...)`, as written; names: the names it uses."""

    text: str
    points: tuple[str, ...]
    names: frozenset[str]
    _body: ast.expr

    @classmethod
    def parse(cls, text: str, names: Iterable[str] = ("value",), place: Place | None = None) -> Expression:
        """Read a condition that may use these names. InputError EXPRESSION_INVALID."""
        try:
            if len(text) > CHARS_MAX:
                raise _refused(f"has more than {CHARS_MAX:,} characters")
            body = ast.parse(text.strip(), mode="eval").body
            checker = _Checker(frozenset(names))
            checker.condition(body)
        except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError) as error:
            reason = error.msg if isinstance(error, SyntaxError) else str(error)
            raise _refused(f"cannot be read: {reason}", place) from error
        except InputError as error:
            raise _refused(f"{text!r} {error.message}", place) from error
        return cls(text, tuple(dict.fromkeys(checker.points)), frozenset(checker.used), body)

    def evaluate(self, names: Mapping[str, Array], points: Mapping[str, Array], count: int) -> Truth:
        """Where it holds, for `count` rows. Every column is as long: numbers float64 (NaN: none), or objects.

        points: by the ids as written; all of `self.points`. Every input counts, also behind an `or` that is
        decided already: what cannot be known blocks.
        """
        with np.errstate(all="ignore"):
            run = _Run(names, points, count)
            holds = run.truth(self._body)
            return Truth(holds & run.sure, run.sure)


class _Checker:
    """Lets in what is listed and nothing else."""

    def __init__(self, names: frozenset[str]) -> None:
        self.points: list[str] = []
        self.used: set[str] = set()
        self._names = names
        self._nodes = 0

    def condition(self, node: ast.expr, depth: int = 0) -> None:
        self._count(depth)
        match node:
            case ast.BoolOp(values=values):
                for value in values:
                    self.condition(value, depth + 1)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                self.condition(operand, depth + 1)
            case ast.Compare():
                self._comparison(node, depth)
            case ast.Constant(value=bool()):
                pass
            case _:
                raise _refused("is no condition: compare something, such as `value > 30`")

    def _comparison(self, node: ast.Compare, depth: int) -> None:
        for op in node.ops:
            if not isinstance(op, (*_ORDERS, *_EQUALS)):
                raise _refused("compares by something else than < <= > >= == !=")
        equals = all(isinstance(op, _EQUALS) for op in node.ops)
        for part in (node.left, *node.comparators):
            if not (equals and isinstance(part, ast.Constant) and isinstance(part.value, str)):
                self._value(part, depth + 1)

    def _value(self, node: ast.expr, depth: int) -> None:
        self._count(depth)
        match node:
            case ast.Constant(value=bool() | int() | float()):
                if not np.isfinite(float(node.value)):  # pyright: ignore[reportArgumentType]
                    raise _refused("has a number that is too large")
            case ast.Name(id=name) if name in self._names:
                self.used.add(name)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SUMS:
                self._value(left, depth + 1)
                self._value(right, depth + 1)
            case ast.UnaryOp(op=ast.USub() | ast.UAdd(), operand=operand):
                self._value(operand, depth + 1)
            case ast.Call(func=ast.Name(id="point"), args=[ast.Constant(value=str(text))], keywords=[]):
                self.points.append(text)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]) if name in _FUNCTIONS:
                if len(args) != (1 if name == "abs" else 2):
                    raise _refused(f"gives {name} {len(args)} arguments")
                for argument in args:
                    self._value(argument, depth + 1)
            case _:
                known = ", ".join(sorted(self._names))
                raise _refused(f"holds {ast.unparse(node)!r}, which it may not (names here: {known})")

    def _count(self, depth: int) -> None:
        self._nodes += 1
        if self._nodes > NODES_MAX or depth > DEPTH_MAX:
            raise _refused("is too long or nested too deep")


class _Run:
    """One evaluation over columns; `sure` turns False where anything that was met is no value."""

    def __init__(self, names: Mapping[str, Array], points: Mapping[str, Array], count: int) -> None:
        self._names = names
        self._points = points
        self._count = count
        self.sure = np.ones(count, np.bool_)

    def truth(self, node: ast.expr) -> npt.NDArray[np.bool_]:
        match node:
            case ast.BoolOp(op=op, values=values):
                parts = [self.truth(value) for value in values]
                combine = np.logical_and if isinstance(op, ast.And) else np.logical_or
                return combine.reduce(parts)
            case ast.UnaryOp(operand=operand):
                return ~self.truth(operand)
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                ends = [left, *comparators]
                pairs = zip(ends, ops, comparators, strict=False)
                return np.logical_and.reduce([self._compared(*pair) for pair in pairs])
            case ast.Constant(value=value):
                return np.full(self._count, bool(value))
            case _:
                raise _refused("is no condition")

    def _compared(self, left: ast.expr, op: ast.cmpop, right: ast.expr) -> npt.NDArray[np.bool_]:
        if not isinstance(op, _EQUALS):
            return _ORDERS[type(op)](self._number(left), self._number(right))
        one, other = self._any(left), self._any(right)
        if one.dtype != object and other.dtype != object:
            one, other = self._finite(one), self._finite(other)
        same = np.broadcast_to(np.asarray(one == other, np.bool_), self._count)
        return same if isinstance(op, ast.Eq) else ~same

    def _any(self, node: ast.expr) -> Array:
        """The column of an input as it is, or a computed number."""
        match node:
            case ast.Constant(value=str(text)):
                column = np.empty(self._count, object)
                column[:] = text
                return column
            case ast.Name(id=name):
                return self._known(self._names[name])
            case ast.Call(func=ast.Name(id="point"), args=[ast.Constant(value=str(text))]):
                return self._known(self._points[text])
            case _:
                return self._number(node)

    def _known(self, column: Array) -> Array:
        if column.dtype == object:
            self.sure &= np.array([value is not None for value in column], np.bool_)
        else:
            self.sure &= ~np.isnan(column)
        return column

    def _number(self, node: ast.expr) -> Array:
        match node:
            case ast.Constant(value=value):
                return np.full(self._count, float(value))  # pyright: ignore[reportArgumentType]
            case ast.BinOp(left=left, op=op, right=right):
                return self._finite(_SUMS[type(op)](self._number(left), self._number(right)))
            case ast.UnaryOp(op=op, operand=operand):
                number = self._number(operand)
                return -number if isinstance(op, ast.USub) else number
            case ast.Call(func=ast.Name(id=name), args=args) if name in _FUNCTIONS:
                return self._finite(_FUNCTIONS[name](*(self._number(argument) for argument in args)))
            case _:
                return self._finite(self._any(node))

    def _finite(self, column: Array) -> Array:
        if column.dtype == object:  # texts are no numbers
            self.sure &= np.array([isinstance(value, int | float) for value in column], np.bool_)
            return np.array(
                [value if isinstance(value, int | float) else 0.0 for value in column], np.float64
            )
        self.sure &= np.isfinite(column)
        return column


def _refused(message: str, place: Place | None = None) -> InputError:
    return InputError(message, code="EXPRESSION_INVALID", place=place, hint=_HINT)
