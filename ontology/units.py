"""Units by QUDT: look-up by UCUM code, conversion by multiplier and offset. Never by symbol, never guessed.

Source of the factors: QUDT units vocabulary 3.2.1; value in SI = (value + offset) * multiplier.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from ontology.errors import InputError, suggestion
from ontology.naming import PREFIXES
from ontology.ucum import UcumError, read_term
from ontology.vocabulary import DATA, rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

Dimension: TypeAlias = (
    "frozenset[tuple[str, float]]"  # (base, exponent); bases of QUDT's vector, or a currency
)
Factors: TypeAlias = "frozenset[tuple[str, int]]"  # (code, exponent)

UNIT_IRI = PREFIXES["unit"]
QUANTITY_IRI = "http://qudt.org/vocab/quantitykind/"
_RATIO = frozenset(("DimensionlessRatio",))
_RATE = frozenset(("Frequency",))
_PER_TIME: Dimension = frozenset((("T", -1.0),))
_MOST_DIGITS = 200  # powers of ten that a product may span
_FORM = "units are UCUM codes such as kW, m3/h, Cel, [degF], %"
_BASES = {
    "A": "amount",
    "E": "current",
    "L": "length",
    "I": "light",
    "M": "mass",
    "H": "temperature",
    "T": "time",
}


@dataclass(frozen=True, slots=True)
class Unit:
    """A unit. `quantities` tells apart what the dimension does not: ratios, angles, counts, rates."""

    code: str  # what `Units.unit` reads back: a UCUM code, or "unit:..." where there is none
    name: str | None  # QUDT local name, e.g. "KiloW"; None of a term that QUDT does not list
    dimension: Dimension
    multiplier: float
    offset: float
    quantities: frozenset[str]

    @property
    def iri(self) -> str | None:
        """QUDT IRI."""
        return None if self.name is None else UNIT_IRI + self.name


class Units:
    """All units, read-only after loading. Terms such as `m3/h` are built from their parts on demand."""

    def __init__(self, text: Mapping[str, str]) -> None:
        """`text`: contents of units.tsv, ifc_units.tsv, ifc_conversion_units.tsv, unit_hints.tsv by name."""
        table = list(rows(text["units.tsv"]))
        owners = _owners(table)
        self._by_name = _units_by_name(table, owners)
        self._by_code = {code: self._as(self._by_name[name], code) for code, name in owners.items()}
        self._by_code["1"] = self._as(self._by_name["UNITLESS"], "1")
        hints = list(rows(text["unit_hints.tsv"]))
        self._aliases = {spelling: code for spelling, code, valid in hints if valid}
        self._hints = {spelling: code for spelling, code, valid in hints if not valid}
        ifc = list(rows(text["ifc_units.tsv"]))
        self._ifc_units = {(prefix, name): unit for prefix, name, unit, _ in ifc if unit}
        self._ifc_units |= {("", name.upper()): unit for name, unit in rows(text["ifc_conversion_units.tsv"])}
        self._ifc_quantities = {name.upper(): quantity for _, name, _, quantity in ifc if quantity}

    def unit(self, code: str) -> Unit:
        """The unit of a UCUM code or term, of `unit:KiloW` or a QUDT IRI; InputError UNIT_UNKNOWN."""
        found = self.find(code)
        if found is None:
            raise InputError(f"unknown unit {code!r}", code="UNIT_UNKNOWN", hint=self._hint(code))
        return found

    def find(self, code: str) -> Unit | None:
        """As `unit`, or None."""
        return self._by_code.get(code) or self._qudt(code) or self._term(code)

    def same_dimension(self, one: str, other: str) -> bool:
        """Whether values in `one` can be given in `other`; UNIT_UNKNOWN."""
        return _convertible(self.unit(one), self.unit(other))

    def convert(
        self, values: npt.ArrayLike, from_code: str, to_code: str, *, difference: bool = False
    ) -> npt.NDArray[np.float64]:
        """`values` (any shape) in another unit, as new float64. InputError UNIT_UNKNOWN, UNIT_MISMATCH.

        Temperatures are read as points of a scale (0 Cel = 273.15 K); `difference=True` reads them as
        intervals (a rise of 1 Cel is a rise of 1 K). Nothing else has an offset.
        """
        source, target = self.unit(from_code), self.unit(to_code)
        if not _convertible(source, target):
            message = f"{from_code!r} does not convert to {to_code!r}"
            raise InputError(message, code="UNIT_MISMATCH", hint=_why_not(source, target))
        array = np.array(values, dtype=np.float64)
        if source.multiplier == target.multiplier and source.offset == target.offset:
            return array
        factor = source.multiplier / target.multiplier
        if difference or (source.offset == 0 and target.offset == 0):
            return np.asarray(array * factor)
        return np.asarray((array + source.offset) * factor - target.offset)

    def si_factor(self, code: str) -> float:
        """What one step of the unit is in coherent SI units, offset aside."""
        return self.unit(code).multiplier

    def iri(self, code: str) -> str | None:
        """QUDT IRI of a unit; None where QUDT lists none; UNIT_UNKNOWN."""
        return self.unit(code).iri

    def from_ifc(self, prefix: str | None, name: str) -> str | None:
        """Code of an IfcSIUnit (prefix, name) or of the name of an IfcConversionBasedUnit; None: unknown."""
        local = self._ifc_units.get((prefix or "", name.upper()))
        return None if local is None else self._by_name[local].code

    def from_factors(self, factors: Iterable[tuple[str, int]]) -> str | None:
        """Code of a product, say an IfcDerivedUnit: [("m", 3), ("s", -1)] -> "m3/s"; None of nothing."""
        parts = [(code, power) for code, power in factors if power]
        above = ".".join(_powered(code, power) for code, power in parts if power > 0)
        below = "".join(f"/{_powered(code, -power)}" for code, power in parts if power < 0)
        return self.unit((above or "1") + below).code if parts else None

    def ifc_quantity(self, measure: str) -> str | None:
        """QUDT quantity kind IRI of an IFC measure type such as IfcPowerMeasure."""
        local = self._ifc_quantities.get(measure.upper())
        return None if local is None else QUANTITY_IRI + local

    @staticmethod
    def _as(unit: Unit, code: str) -> Unit:
        return unit if unit.code == code else replace(unit, code=code)

    def _qudt(self, code: str) -> Unit | None:
        """By IRI, by `unit:` name, or by a bare name too long to be mistaken for a UCUM code."""
        for start in (UNIT_IRI, "unit:"):
            if code.startswith(start):
                return self._by_name.get(code[len(start) :])
        return self._by_name.get(code) if len(code) > 2 else None

    def _term(self, code: str) -> Unit | None:
        """By reading `code` as a UCUM term, if all its parts are known."""
        try:
            stated = read_term(code)
        except UcumError:
            return None
        factors: Counter[str] = Counter()
        for part, power in stated.items():
            factors[self._aliases.get(part, part)] += power
        if not all(part.isdigit() or part in self._by_code for part in factors):
            return None
        listed = self._by_factors.get(frozenset(factors.items()))
        return self._as(listed, code) if listed else self._product(code, factors)

    def _product(self, code: str, factors: Mapping[str, int]) -> Unit | None:
        """The unit of a term that QUDT does not list. In a product, degrees are intervals."""
        exponents: dict[str, float] = defaultdict(float)
        for part, power in factors.items():
            for base, exponent in self._by_code[part].dimension if part in self._by_code else ():
                exponents[base] += exponent * power
        multipliers = [(self._multiplier(part), power) for part, power in factors.items()]
        if any(multiplier <= 0 for multiplier, _ in multipliers):
            return None
        if sum(abs(power * math.log10(multiplier)) for multiplier, power in multipliers) > _MOST_DIGITS:
            return None
        multiplier = math.prod(multiplier**power for multiplier, power in multipliers)
        dimension: Dimension = frozenset((base, power) for base, power in exponents.items() if power)
        return Unit(code, None, dimension, multiplier, 0.0, _quantities_of(dimension))

    def _multiplier(self, part: str) -> float:
        unit = self._by_code.get(part)
        return unit.multiplier if unit else float(part)

    @cached_property
    def _by_factors(self) -> dict[Factors, Unit]:
        """Listed units by what their code says, so that `m3/h` finds `m3.h-1`."""
        found: dict[Factors, Unit] = {frozenset(): self._by_code["1"]}
        for code, unit in sorted(self._by_code.items(), key=lambda item: _plainness(item[1].name or "")):
            try:
                found.setdefault(frozenset(read_term(code).items()), unit)
            except UcumError:
                continue  # a few QUDT codes are no UCUM; they are found by their text alone
        return found

    def _hint(self, code: str) -> str | None:
        known = self._hints.get(code)
        if known:
            return f"did you mean {known}?"
        qudt = code.replace(UNIT_IRI, "unit:")
        names = (f"unit:{name}" for name in self._by_name) if qudt.startswith("unit:") else self._by_code
        return suggestion(qudt, names) or _FORM


def load_units() -> Units:
    """The units of ontology/data, read anew: callers keep the object."""
    names = ("units.tsv", "ifc_units.tsv", "ifc_conversion_units.tsv", "unit_hints.tsv")
    return Units({name: (DATA / name).read_text(encoding="utf-8") for name in names})


def _plainness(name: str) -> tuple[int, int, str]:
    """Sort key: the plainest of several QUDT names of one unit comes first (NanoH before H_Ab)."""
    return name.count("_"), len(name), name


def _owners(table: list[list[str]]) -> dict[str, str]:
    """UCUM code -> QUDT name. Of two names: what is not deprecated, then the plainest."""
    owners: dict[str, list[tuple[bool, tuple[int, int, str]]]] = defaultdict(list)
    for name, codes, *_, replaced in table:
        for code in codes.split():
            owners[code].append((bool(replaced), _plainness(name)))
    return {code: min(names)[1][-1] for code, names in owners.items()}


def _units_by_name(table: list[list[str]], owners: Mapping[str, str]) -> dict[str, Unit]:
    """All units; the code of each is one that reads back as the same unit."""
    dimensions = {vector: _dimension(vector) for vector in {cells[2] for cells in table}}
    units: dict[str, Unit] = {}
    for name, codes, vector, multiplier, offset, quantities, currency, _ in table:
        dimension = dimensions[vector]
        units[name] = Unit(
            code=next((code for code in codes.split() if owners[code] == name), f"unit:{name}"),
            name=name,
            dimension=dimension | {(currency, 1.0)} if currency else dimension,
            multiplier=float(multiplier),
            offset=float(offset or 0),
            quantities=frozenset(quantities.split()),
        )
    return units


def _dimension(vector: str) -> Dimension:
    """QUDT's A0E0L2I0M1H0T-3D0 as bases with their exponents; D only says that there are none."""
    exponents: dict[str, str] = {}
    base = ""
    for character in vector:
        if character.isupper():
            base = character
        exponents[base] = exponents.get(base, "") + character
    powers = {base: float(text[1:].replace("dot", ".")) for base, text in exponents.items() if base != "D"}
    return frozenset((base, power) for base, power in powers.items() if power)


def _quantities_of(dimension: Dimension) -> frozenset[str]:
    """What a term without a QUDT entry is: only ratios and rates need a name."""
    if not dimension:
        return _RATIO
    return _RATE if dimension == _PER_TIME else frozenset()


def _convertible(one: Unit, other: Unit) -> bool:
    if one.dimension != other.dimension:
        return False
    if one.name is not None and one.name == other.name:
        return True
    if not one.dimension or one.dimension == _PER_TIME:
        return bool(one.quantities & other.quantities)
    return True


def _why_not(one: Unit, other: Unit) -> str:
    if one.dimension != other.dimension:
        return f"{one.code} measures {_spell(one.dimension)}, {other.code} measures {_spell(other.dimension)}"
    return f"{one.code} and {other.code} have one dimension but measure different quantities"


def _spell(dimension: Dimension) -> str:
    parts = [f"{_BASES.get(base, base)}^{power:g}" for base, power in sorted(dimension)]
    return " ".join(parts) or "a plain number"


def _powered(code: str, power: int) -> str:
    """`code` to a positive power as UCUM text."""
    if power == 1:
        return f"({code})" if any(sign in code for sign in "./") else code
    if code[-1:].isdigit() or any(sign in code for sign in "./"):
        return ".".join([_powered(code, 1)] * power)
    return f"{code}{power}"
