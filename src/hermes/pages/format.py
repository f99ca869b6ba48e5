"""Formatting of numbers for people: separators, signs, units, and words for missing values."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from hermes import text
from hermes.measures import FEW_TRADES
from hermes.text import counted

_QUOTES = ("FDUSD", "USDT", "USDC", "BUSD", "TUSD", "BTC", "ETH", "BNB", "EUR", "TRY")
THIN = "\u202f"  # narrow space that does not break: stands before a unit
_MINUS = "\u2212"
_FAMILIES = {"supertrend": "SuperTrend", "stoch": "Stochastic", "bb": "Bollinger", "donchian": "Donchian"}


def number(value: float, decimals: int = 2) -> str:
    """`-1234.5` → `−1,234.50`."""
    return text.fixed(value, decimals).replace("-", _MINUS)


def count(value: float) -> str:
    """A whole number: `1,234`."""
    return number(value, 0)


def sentence(remark: str) -> str:
    """A remark as a sentence: capitalized, with a full stop at its end."""
    return f"{remark[:1].upper()}{remark[1:]}{'' if remark.endswith('.') else '.'}"


def percent(value: float, decimals: int = 2) -> str:
    """A percentage: `6.51 %`."""
    return f"{number(value, decimals)}{THIN}%"


def signed(value: float, decimals: int = 2) -> str:
    """A difference, with its sign unless it is zero: `+0.12`."""
    return text.signed(value, decimals).replace("-", _MINUS)


def exact_percent(fraction: float, space: str = " ") -> str:
    """A fraction to its last digit: `0.00075` → `0.075 %`."""
    return f"{(Decimal(repr(fraction)) * 100).normalize():f}{space}%"


def fee(fraction: float, space: str = " ") -> str:
    """A fee that was computed, to four digits: `1.276 %`."""
    return f"{text.exact(100 * fraction, 4)}{space}%"


def change(value: float, decimals: int = 2) -> str:
    """A gain or a loss, with its sign unless it is zero: `+80.02 %`."""
    return f"{signed(value, decimals)}{THIN}%"


def amount(value: float, unit: str) -> str:
    """Money: `18,001.55 USDT`."""
    return f"{number(value)}{THIN}{unit}".rstrip(THIN)


def duration(seconds: float) -> str:
    """The two largest units: `728 d 20 h`, `3 h 15 min`."""
    left = timedelta(seconds=seconds)
    days, hours = left.days, left.seconds // 3600
    if days:
        return f"{days:,}{THIN}d {hours}{THIN}h" if hours else f"{days:,}{THIN}d"
    minutes, rest = left.seconds % 3600 // 60, left.seconds % 60
    if hours:
        return f"{hours}{THIN}h {minutes}{THIN}min" if minutes else f"{hours}{THIN}h"
    return f"{minutes}{THIN}min {rest}{THIN}s" if rest else f"{minutes}{THIN}min"


def moment(time: datetime) -> str:
    """Date and time to the minute, or to the second where it has seconds."""
    return time.strftime("%Y-%m-%d %H:%M:%S" if time.second else "%Y-%m-%d %H:%M")


def day(time: datetime) -> str:
    """`1 September 2017`."""
    return f"{time.day} {time:%B %Y}"


def price_decimals(highest: float) -> int:
    """Decimals that show a price to about six digits, never fewer than two."""
    return next((decimals for decimals in range(2, 9) if highest * 10**decimals >= 10_000), 9)


def quote_currency(symbol: str) -> str:
    """The currency that a pair is priced in, where its name ends with a known one; else empty."""
    return next((quote for quote in _QUOTES if symbol.endswith(quote) and symbol != quote), "")


def title(strategy: str) -> str:
    """`smart_momentum` → `Smart Momentum`."""
    return strategy.replace("_", " ").title()


def indicator(column: str) -> str:
    """`ema_12` → `EMA 12`, `supertrend_10_3.0` → `SuperTrend 10 3.0`; what is no indicator stays as it is."""
    _, *rest = column.split("_")
    return " ".join([family(column), *rest]) if rest else column


def family(column: str) -> str:
    """`macd_signal_12_26_9` → `MACD`."""
    name = column.split("_", maxsplit=1)[0]
    return _FAMILIES.get(name, name.upper())


def few_trades(trades: int) -> str:
    """The warning beside a Sharpe ratio of few trades; empty if there are enough."""
    if trades >= FEW_TRADES:
        return ""
    return f"{trades} trade{'' if trades == 1 else 's'}: too few to conclude"


def short_span(values: Mapping[str, Any]) -> str:
    """The warning beside an annualized measure of few days; empty if there are enough."""
    return f"from {text.span(values['elapsed_days'] or 0)}: says little" if values.get("short_span") else ""


def terms(account: Mapping[str, Any]) -> str:
    """The terms of an account, from the sections `[backtest]` and, if not the default, `[account]`."""
    side = {"long": "Long or flat", "short": "Short or flat", "both": "Long, short or flat"}[
        account.get("side", "long")
    ]
    fill = {"close": "the signal bar's close", "next_open": "the next bar's open"}[account["fill"]]
    slippage = f", {text.exact(account['slippage_bps'])} basis points of slippage" if account["slippage_bps"] else ""
    rules = "".join(f", {each}" for each in exits(account))
    return f"{side}, {_size(account.get('size', 'all'))}{rules}, {exact_percent(account['fees'], THIN)} \
fee on each side{slippage}, filled at {fill}; holding pays no fee."


def feature_set(trial: Mapping[str, Any] | None) -> str:
    """The feature set that was read in addition to the production features, with its version; empty without one.

    Args:
        trial: `name, version, columns`, as the lineage of signals has it.
    """
    if not trial:
        return ""
    columns = f" ({', '.join(trial['columns'])})" if trial.get("columns") else ""
    return f"feature set {trial.get('name')} version {trial.get('version')}{columns}"


#: Why an execution carries no verdict of an audit.
NO_AUDIT = "no audit of these rules and parameters on these bars"


def exits(account: Mapping[str, Any]) -> list[str]:
    """The exit rules of an account, and the limits of its orders."""
    said = [
        f"{spaced(name)} {exact_percent(account[name], THIN)}"
        for name in ("stop_loss", "take_profit", "trailing_stop")
        if isinstance(account.get(name), float)
    ]
    if account.get("max_bars"):
        said.append(f"at most {counted(account['max_bars'], 'bar')}")
    if account.get("min_order"):
        said.append(f"orders from {text.exact(account['min_order'])}")
    if account.get("lot_step"):
        said.append(f"lots of {text.exact(account['lot_step'])}")
    return said


def _size(size: str) -> str:
    kind, _, amount = size.partition(":")
    if kind == "all":
        return "whole equity"
    if kind == "value":
        return f"{text.exact(float(amount))} for each position"
    share = exact_percent(float(amount), THIN)
    return f"{share} of the equity" if kind == "fraction" else f"sized for {share} volatility a year"


def spaced(name: str) -> str:
    """A value of the JSON in words: not_checked → not checked."""
    return name.replace("_", " ")


def plain(value: Any) -> str:
    """A value of a lineage as text."""
    if value is None:
        return "–"
    if isinstance(value, dict):
        return ", ".join(f"{name} = {plain(each)}" for name, each in value.items()) or "–"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return text.exact(value, 10 if isinstance(value, float) else 0)
    return str(value)
