"""Many datasets as one self-contained HTML file: their results, the leaderboard, the failures."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from statistics import NormalDist
from typing import Any

import polars as pl
from markupsafe import Markup

from hermes.dataset import INTERVAL_SECONDS, is_simulated
from hermes.measures import FEW_TRADES
from hermes.pages import format, leaderboard
from hermes.pages.histograms import Axis, histogram
from hermes.pages.leaderboard import names
from hermes.pages.rendering import Tile, asset, page
from hermes.text import counted, exact

#: A page lists at most this many failures; the table beside it has them all.
MOST_FAILURES = 2_000
_FEWEST = 30  # Sharpe ratios, below which their scatter says nothing
_SIGNIFICANT = 0.05
_AHEAD = pl.col("total_return_pct") - pl.col("benchmark_return_pct")
_ENOUGH = pl.col("trades") >= FEW_TRADES


def _points(value: float) -> str:
    return format.signed(value, 1)


_PLOTS = {
    "total_return_pct": ("Return", Axis("return, %", lambda value: format.change(value, 1))),
    "ahead_pct": ("Return minus holding", Axis("return − holding, percentage points", _points)),
    "sharpe": ("Sharpe", Axis("Sharpe ratio, per year", format.number)),
    "max_drawdown_pct": ("Max drawdown", Axis("drawdown, %", lambda value: format.percent(value, 1))),
    "trades": ("Trades", Axis("trades in a dataset", lambda value: exact(value, 10), whole=True)),
}


def universe_page(table: pl.DataFrame, title: str, made_at: datetime, trial: Mapping[str, Any] | None = None) -> str:
    """The whole page.

    Args:
        table: one row per dataset, as `steps.comparison` publishes it: names, counts, every measure, `link` (of its
            page, as seen from this one), `error` and `cure` where it failed.
        title: of the page.
        made_at: when; a time without a zone is UTC.
        trial: the feature set that was read, see `format.feature_set`.
    """
    done, failed = _done(table), table.filter(pl.col("error").is_not_null())
    made = made_at.astimezone(UTC) if made_at.tzinfo else made_at
    known = [", ".join(names(done, column)) for column in ("market", "interval")]
    strategies = ", ".join(format.title(each) for each in names(done, "strategy"))
    account = done.select("initial_cash", "fees", "slippage_bps", "fill").unique()
    return page(
        "universe.html",
        title,
        [asset("universe.js")] if done.height else [],
        simulated=sum(map(is_simulated, table["symbol"])),
        count=table.height,
        done=done.height,
        over=" · ".join([*known, strategies]) if done.height else "",
        tiles=_tiles(done, failed),
        story=_story(done),
        trial=trial,
        account=account.row(0, named=True) if account.height == 1 else None,
        chance=_chance(done["sharpe"].drop_nulls()),
        tests=tests_in_words(multiple_tests(done)),
        leaderboard=leaderboard.leaderboard(done) if done.height else "",
        plots=_plots(done),
        several=done["interval"].n_unique() > 1,
        failures=failed.head(MOST_FAILURES).select("symbol", "interval", "error", "cure").to_dicts(),
        failed=failed.height,
        made=made,
        datasets=leaderboard.data(done) if done.height else "",
    )


def _done(table: pl.DataFrame) -> pl.DataFrame:
    """The datasets with results, sorted by name; drawdowns as negative numbers."""
    floats = pl.col(name for name, kind in table.schema.items() if kind.is_float())
    seconds = pl.col("interval").replace_strict(INTERVAL_SECONDS, default=None, return_dtype=pl.Int64)
    return (
        table.filter(pl.col("error").is_null())
        .with_columns(pl.when(floats.is_finite()).then(floats))
        .with_columns(ahead_pct=_AHEAD, max_drawdown_pct=-pl.col("max_drawdown_pct"))
        .sort("symbol", seconds, "interval", "market", "strategy")
    )


def _tiles(done: pl.DataFrame, failed: pl.DataFrame) -> list[Tile]:
    few = done.filter(~_ENOUGH).height
    deepest = _shown(done["max_drawdown_pct"].min(), format.percent)
    ahead, compared = _ahead(done)
    share = format.percent(100 * ahead / compared, 1) if compared else "–"
    trades = f"{few:,} with under {FEW_TRADES} trades" if few else f"none with under {FEW_TRADES} trades"
    failures: str | Markup = "none failed"
    if failed.height:
        failures = Markup('<a href="#failed">{} failed</a>').format(format.count(failed.height))
    returned, held = (_median(done, name, format.change) for name in ("total_return_pct", "benchmark_return_pct"))
    fall = _median(done, "max_drawdown_pct", format.percent)
    return [
        Tile("Median return", returned, f"of holding {held}", "main"),
        Tile("Beat holding", share, f"{ahead:,} of {counted(compared, 'dataset')}", ""),
        Tile("Median Sharpe", _median(done, "sharpe", format.number), trades, "warn" if few else ""),
        Tile("Median drawdown", fall, f"deepest {deepest}", ""),
        Tile("Datasets", f"{done.height:,}", failures, "warn" if failed.height else ""),
    ]


def _story(done: pl.DataFrame) -> dict[str, Any]:
    """The summary and its caveats, for the template."""
    if done.is_empty():
        return {}
    symbols, bars = done["symbol"].n_unique(), int(done["rows"].sum())
    many = f"{counted(done.height, 'dataset')} of {counted(symbols, 'symbol')} with {counted(bars, 'bar')} in all."
    enough = done.filter(_ENOUGH)
    ahead, compared = _ahead(enough)
    return {
        "spans": _spans(done, many),
        "few": done.height - enough.height,
        "enough": FEW_TRADES,
        "never": done.filter(pl.col("trades") == 0).height,
        "ahead": ahead,
        "compared": compared,
        "returned": _median(enough, "total_return_pct", format.change),
        "sharpe": _median(enough, "sharpe", format.number),
    }


def _spans(done: pl.DataFrame, many: str) -> str:
    """The span of all datasets if they share one; else the ranges of their first and last days."""
    ends = {name: (done[name].min(), done[name].max()) for name in ("first", "last")}
    if not all(isinstance(each, datetime) for pair in ends.values() for each in pair):
        return many
    (first, latest), (earliest, last) = ([format.day(each) for each in pair] for pair in ends.values())  # type: ignore[arg-type]
    if (first, last) == (latest, earliest):
        return f"From {first} to {last}, {many}"
    begin = f"begin on {first}" if first == latest else f"begin between {first} and {latest}"
    end = f"end on {last}" if earliest == last else f"end between {earliest} and {last}"
    return f"{many} They {begin} and {end}: their figures are of different times."


def multiple_tests(done: pl.DataFrame) -> dict[str, Any]:
    """How many datasets stand out at 5 %, and how many would by chance.

    Args:
        done: with `p_value_over_holding` and `p_value_adjusted`; datasets without one do not count.

    Returns:
        `tests`; `below_5_pct`: p values below 0.05; `expected_by_chance`: so many would be where timing is worth
        nothing; `after_correction`: adjusted ones below 0.05; `method`.
    """
    tests = int(done["p_value_over_holding"].count())
    return {
        "tests": tests,
        "below_5_pct": int((done["p_value_over_holding"] < _SIGNIFICANT).sum()),
        "expected_by_chance": _SIGNIFICANT * tests,
        "after_correction": int((done["p_value_adjusted"] < _SIGNIFICANT).sum()),
        "method": "Holm (1979), of returns above holding with the same exposure",
    }


def tests_in_words(found: Mapping[str, Any]) -> str:
    """The result of many tests in words; empty for fewer than two."""
    if found["tests"] < 2:
        return ""
    return (
        f"Compared with holding at the same exposure, {found['below_5_pct']:,} of {found['tests']:,} datasets have a p"
        f" value below 5 %; if timing were worth nothing, about {found['expected_by_chance']:,.1f} would by chance."
        f" After correcting for {found['tests']:,} tests (Holm), {found['after_correction']:,}"
        f" {'remains' if found['after_correction'] == 1 else 'remain'}."
    )


def _chance(sharpe: pl.Series) -> dict[str, Any] | None:
    """The best Sharpe ratio to expect if only luck distinguished the datasets; None for too few."""
    scatter = float(sharpe.std() or 0)  # type: ignore[arg-type]
    if len(sharpe) < _FEWEST or not scatter:
        return None
    # The median of the highest of n independent draws: P(all below x) = Φ(x / s)ⁿ = 1/2.
    luck = NormalDist(0, scatter).inv_cdf(0.5 ** (1 / len(sharpe)))
    return {"scatter": scatter, "draws": len(sharpe), "luck": luck, "best": sharpe.max()}


def _plots(done: pl.DataFrame) -> list[tuple[str, Markup]]:
    plots = []
    for key, (name, axis) in _PLOTS.items():
        values = done.select("interval", key).drop_nulls()
        groups = {each: values.filter(pl.col("interval") == each)[key] for each in names(values, "interval")}
        if groups:
            plots.append((name, histogram(groups, axis)))
    return plots


def _ahead(done: pl.DataFrame) -> tuple[int, int]:
    """How many beat holding, and how many could be compared."""
    known = done["ahead_pct"].drop_nulls()
    return int((known > 0).sum()), len(known)


def _median(done: pl.DataFrame, column: str, show: Callable[[float], str]) -> str:
    return _shown(done[column].median(), show)


def _shown(value: object, show: Callable[[float], str]) -> str:
    """An aggregate of a numeric column as text, None without values."""
    return "–" if value is None else show(float(value))  # type: ignore[arg-type]
