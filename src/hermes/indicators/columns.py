"""Column name → Polars expression: `ema_12`, `bb_upper_20_2`, `supertrend_dir_10_3.0`, `obv`.

A name is a family and its parameters, so `ema_9` and `supertrend_dir_14_2.5` work as well as the columns of the
feature table.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

import polars as pl

from hermes.errors import IndicatorError, UnknownIndicator, first_line
from hermes.indicators.definition import NUMBER, Family
from hermes.indicators.shipped import SHIPPED
from hermes.schemas import INDICATORS
from hermes.text import one_of

_NAME = re.compile(rf"([a-z]+(?:_[a-z]+)*)((?:_{NUMBER})*)")

Families = Mapping[str, Family]


@dataclass(frozen=True, slots=True)
class Column:
    """One column to compute.

    Attributes:
        call: what to compute. One with several outputs gives a struct, which columns of equal `key` can share.
        family: its name.
        key: equal for columns of one and the same call.
        field: which output of the struct, or None.
        look_back: bars before the first valid value.
        dtype: of the column.
    """

    call: pl.Expr
    key: str
    family: str
    field: str | None
    look_back: int
    dtype: pl.DataType

    def pick(self, computed: pl.Expr) -> pl.Expr:
        """This column out of what `call` computed: whatever stands in the warm-up is part of it."""
        return (computed if self.field is None else computed.struct.field(self.field)).cast(self.dtype)


def family_of(name: str, families: Families = SHIPPED) -> Family | None:
    """The family that the column `name` is of; None where there is none of that name."""
    matched = _NAME.fullmatch(name)
    return families.get(matched[1]) if matched else None


def _begun(name: str, families: Families) -> Family | None:
    """The family that `name` begins with, where what follows may be meant as its numbers: `ema_-5`, `ema_999999999`."""
    begun = [each for each in families if name.startswith(f"{each}_") and re.search(r"\d", name[len(each) :])]
    return families[max(begun, key=len)] if begun else None


def parse(name: str, families: Families = SHIPPED) -> Column:
    """What the column `name` is computed from.

    Raises:
        UnknownIndicator: no such family, or parameters that it cannot have.
        IndicatorError: the family's own function fails.
    """
    matched = _NAME.fullmatch(name)
    texts = matched[2].removeprefix("_").split("_") if matched and matched[2] else []
    family = family_of(name, families) or _begun(name, families)
    if family is None:
        usages = [each.usage for each in families.values()]
        near = get_close_matches(name.lower(), [*INDICATORS, *usages], n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownIndicator(f"indicator {name[:60]!r} is not known", f"{hint}it can be {one_of(usages)}")
    values = [each.read(text) for each, text in zip(family.parameters, texts, strict=False)]
    known = [value for value in values if value is not None]
    invalid = f"indicator {name[:60]!r} is not a valid {family.usage}"
    ranges = f"it takes {', '.join(map(str, family.parameters)) or 'no parameters'}"
    if matched is None or not len(known) == len(texts) == len(family.parameters):
        raise UnknownIndicator(invalid, ranges)
    try:
        call, look_back = family.compute(*known)
    except ValueError as error:  # how a family refuses what only its parameters together tell
        raise UnknownIndicator(invalid, f"{ranges}, {first_line(str(error))}") from None
    except Exception as error:
        reason = f"{type(error).__name__}: {first_line(str(error))}"
        raise IndicatorError(f"indicator {name[:60]!r} fails: {reason}", "correct its function") from error
    if not isinstance(call, pl.Expr):
        raise IndicatorError(f"indicator {name[:60]!r} gives {type(call).__name__}", "return a Polars expression")
    key = f"{family.expression.__module__}.{family.expression.__qualname__} {known}"
    return Column(call, key, family.name, family.field, look_back, family.dtype)


def column(name: str, families: Families = SHIPPED) -> pl.Expr:
    """The column `name` as an expression over `open`, `high`, `low`, `close` and `volume`.

    It must see one whole series in time order: a value may depend on every bar before it. The warm-up is null, and so
    is all that follows a null or NaN bar as far as it depends on it; no value is ever NaN. Everything is Float64 but
    the SuperTrend's direction, Int8: 1 bullish, -1 bearish. Raises as `parse` does.
    """
    found = parse(name, families)
    made = found.pick(found.call)
    known = made.fill_nan(None) if found.dtype.is_float() else made.replace(0, None).cast(found.dtype)
    return known.alias(name)


def look_back(name: str, families: Families = SHIPPED) -> int:
    """Bars before the first valid value of the column `name`; raises as `parse` does."""
    return parse(name, families).look_back
