"""Column name → Polars expression: `ema_12`, `bb_upper_20_2`, `supertrend_dir_10_3.0`.

A name is a family and its parameters, so `ema_9` and `supertrend_dir_14_2.5` work as well as the columns of the
feature table. Definitions are TA-Lib's (https://ta-lib.org/functions), computed by polars-talib; SuperTrend stands on
Wilder's ATR.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partial

import polars as pl
import polars_talib as ta

from hermes.errors import UnknownIndicator
from hermes.schemas import INDICATORS

MOST = 100_000  # TA-Lib's limit of every period

# TA-Lib compares its way past a NaN and answers a number; a null is carried on as a null.
_HIGH, _LOW, _CLOSE = (pl.col(name).fill_nan(None) for name in ("high", "low", "close"))
_NUMBER = r"(?:0|[1-9][0-9]{0,5})(?:\.[0-9]{1,6})?"
_NAME = re.compile(rf"([a-z]+(?:_[a-z]+)*)((?:_{_NUMBER})+)")


@dataclass(frozen=True, slots=True)
class _Family:
    """One kind of indicator: least value of each parameter (int: a period in bars), TA-Lib's call, its look-back."""

    least: tuple[float, ...]
    call: Callable[..., pl.Expr]
    look_back: Callable[..., int]
    field: str | None = None


@dataclass(frozen=True, slots=True)
class Indicator:
    """One column to compute.

    Attributes:
        call: TA-Lib's call. One with several outputs gives a struct, which columns of equal `key` can share.
        key: equal for columns of one and the same call.
        field: which output of the struct, or None.
        look_back: bars before the first valid value.
    """

    call: pl.Expr
    key: str
    field: str | None
    look_back: int

    def pick(self, computed: pl.Expr) -> pl.Expr:
        """This column out of what `call` computed: NaN, or direction 0, in the warm-up."""
        return computed if self.field is None else computed.struct.field(self.field)


def _bands(n: int, k: float) -> pl.Expr:
    return ta.bbands(_CLOSE, n, k, k)


def _stochastic(k: int, d: int) -> pl.Expr:
    return ta.stoch(_HIGH, _LOW, _CLOSE, k, d, 0, d, 0)  # %K over k bars, both smoothings are simple means over d


def _n(n: int, *_: float) -> int:
    return n


def _n_less_1(n: int, *_: float) -> int:
    return n - 1


_bb = partial(_Family, (2, 0.0), _bands, _n_less_1)
_macd = partial(_Family, (2, 3, 1), partial(ta.macd, _CLOSE), lambda fast, slow, signal: slow + signal - 2)
_stoch = partial(_Family, (1, 1), _stochastic, lambda k, d: k + 2 * d - 3)
_supertrend = partial(_Family, (2, 0.0), partial(ta.supertrend, _HIGH, _LOW, _CLOSE), _n)
_donchian = partial(_Family, (2,), partial(ta.donchian, _HIGH, _LOW), _n_less_1)  # the bar itself is included

#: How the name is written → what it means. Capitals stand for parameters.
_FAMILIES = {
    "sma_N": _Family((1,), partial(ta.sma, _CLOSE), _n_less_1),
    "ema_N": _Family((1,), partial(ta.ema, _CLOSE), _n_less_1),
    "rsi_N": _Family((2,), partial(ta.rsi, _CLOSE), _n),
    "atr_N": _Family((1,), partial(ta.atr, _HIGH, _LOW, _CLOSE), _n),
    "bb_upper_N_K": _bb("upperband"),
    "bb_middle_N_K": _bb("middleband"),
    "bb_lower_N_K": _bb("lowerband"),
    "macd_F_S_G": _macd("macd"),
    "macd_signal_F_S_G": _macd("macdsignal"),
    "macd_hist_F_S_G": _macd("macdhist"),
    "stoch_k_K_D": _stoch("slowk"),
    "stoch_d_K_D": _stoch("slowd"),
    "supertrend_N_M": _supertrend("supertrend"),
    "supertrend_dir_N_M": _supertrend("trend"),
    "donchian_high_N": _donchian("upperband"),
    "donchian_low_N": _donchian("lowerband"),
}
_USAGES = {re.sub("_[A-Z]", "", usage): usage for usage in _FAMILIES}


def indicator(name: str) -> pl.Expr:
    """The column `name` as an expression over `high`, `low` and `close`.

    It must see one whole series in time order: a value may depend on every bar before it. The warm-up is null, and so
    is all that follows a null or NaN bar as far as it depends on it; no value is ever NaN. Everything is Float64 but
    the SuperTrend's direction, Int8: 1 bullish, -1 bearish.

    Raises:
        UnknownIndicator: no such family, or parameters that it cannot have.
    """
    found = parse(name)
    column = found.pick(found.call)
    known = column.replace(0, None).cast(pl.Int8) if found.field == "trend" else column.fill_nan(None)
    return known.alias(name)


def look_back(name: str) -> int:
    """Bars before the first valid value of the column `name`; raises as `indicator` does."""
    return parse(name).look_back


def parse(name: str) -> Indicator:
    """What the column `name` is computed from; raises as `indicator` does."""
    matched = _NAME.fullmatch(name)
    usage = _USAGES.get(matched[1]) if matched else None
    if matched is None or usage is None:
        near = get_close_matches(name, [*INDICATORS, *_FAMILIES], n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise UnknownIndicator(f"indicator {name[:60]!r} is not known", f"{hint}it can be {' '.join(_FAMILIES)}")
    family, texts = _FAMILIES[usage], matched[2].removeprefix("_").split("_")
    values = _read(texts, family.least)
    # TA-Lib would swap a fast period above the slow one and say nothing.
    if values is None or ("_F_S" in usage and values[0] >= values[1]):
        ranges = ", ".join(
            f"{letter} from {least:g} to {MOST}{' (whole)' if isinstance(least, int) else ''}"
            for letter, least in zip(re.findall("[A-Z]", usage), family.least, strict=True)
        )
        order = ", F below S" if "_F_S" in usage else ""
        raise UnknownIndicator(f"indicator {name[:60]!r} is not a valid {usage}", f"it takes {ranges}{order}")
    key = f"{usage.split('_')[0]} {values}"  # the outputs of one call share the first word of their names
    return Indicator(family.call(*values), key, family.field, family.look_back(*values))


def _read(texts: list[str], least: tuple[float, ...]) -> list[float] | None:
    """The parameters as numbers, or None where their number, kind or range is wrong."""
    if len(texts) != len(least):
        return None
    try:
        values = [type(floor)(text) for floor, text in zip(least, texts, strict=True)]
    except ValueError:
        return None
    return values if all(floor <= value <= MOST for floor, value in zip(least, values, strict=True)) else None
