"""Many datasets as one HTML file that asks nobody for anything: what became of them, the leaderboard, the failures."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from html import escape
from statistics import NormalDist
from typing import Any

import polars as pl

from hermes.dataset import INTERVAL_SECONDS, is_simulated
from hermes.pages import format, leaderboard
from hermes.pages.head import head, only, resource
from hermes.pages.histograms import Axis, histogram
from hermes.pages.leaderboard import names
from hermes.stages.backtest.metrics import FEW_TRADES
from hermes.version import __version__

#: A page lists at most this many failures; the table beside it has them all.
MOST_FAILURES = 2_000
_FEWEST = 30  # Sharpe ratios, below which their scatter says nothing
_SIGNIFICANT = 0.05
_AHEAD = pl.col("total_return_pct") - pl.col("benchmark_return_pct")
_ENOUGH = pl.col("trades") >= FEW_TRADES


def _points(value: float) -> str:
    return f"{'+' if value > 0 else ''}{format.number(value, 1)}"


_PLOTS = {
    "total_return_pct": ("Return", Axis("return, %", lambda value: format.change(value, 1))),
    "ahead_pct": ("Return minus holding", Axis("return − holding, percentage points", _points)),
    "sharpe": ("Sharpe", Axis("Sharpe ratio, per year", format.number)),
    "max_drawdown_pct": ("Max drawdown", Axis("drawdown, %", lambda value: format.percent(value, 1))),
    "trades": ("Trades", Axis("trades in a dataset", lambda value: f"{value:,.10g}", whole=True)),
}


def universe_page(table: pl.DataFrame, title: str, made_at: datetime) -> str:
    """The whole page.

    Args:
        table: one row per dataset, as `steps.comparison` publishes it: names, counts, every measure, `link` (of its
            page, as seen from this one), `error` and `cure` where it failed.
        title: what was compared.
        made_at: when; a time without a zone is UTC.
    """
    done, failed = _done(table), table.filter(pl.col("error").is_not_null())
    script = resource("theme.js") + (resource("comparison.js") if done.height else "")
    made = made_at.astimezone(UTC) if made_at.tzinfo else made_at
    return f"""{head(title, only(script), resource("comparison.css"))}
{_banner(table)}
<main>
{_headline(done, failed, title)}
{_warning(done)}
{leaderboard.leaderboard(done) if done.height else ""}
{_distributions(done)}
{_failures(failed)}
</main>
<footer>Made by Hermes {escape(__version__)} at {format.moment(made)} UTC. All times are UTC, the open times of bars. \
Past results say little about the future, and this page is no advice.</footer>
<script type="application/json" id="datasets">{leaderboard.data(done) if done.height else ""}</script>
<script>{script}</script>
</body>
</html>
"""


def _done(table: pl.DataFrame) -> pl.DataFrame:
    """The datasets that have figures, in the order of their names; drawdowns as people read them, below 0."""
    floats = pl.col(name for name, kind in table.schema.items() if kind.is_float())
    seconds = pl.col("interval").replace_strict(INTERVAL_SECONDS, default=None, return_dtype=pl.Int64)
    return (
        table.filter(pl.col("error").is_null())
        .with_columns(pl.when(floats.is_finite()).then(floats))
        .with_columns(ahead_pct=_AHEAD, max_drawdown_pct=-pl.col("max_drawdown_pct"))
        .sort("symbol", seconds, "interval", "market", "strategy")
    )


def _banner(table: pl.DataFrame) -> str:
    simulated = sum(map(is_simulated, table["symbol"]))
    if not simulated:
        return ""
    are = "is" if simulated == 1 else "are"
    which, these = (
        ("Simulated market.", "Synthetic prices")
        if simulated == table.height
        else (f"{simulated:,} of {_many(table.height, 'dataset')} {are} simulated.", "Their prices are synthetic")
    )
    return f'<p class="banner" role="note"><b>{which}</b> {these}; nothing they show says how a strategy trades.</p>'


def _headline(done: pl.DataFrame, failed: pl.DataFrame, title: str) -> str:
    known = [", ".join(names(done, column)) for column in ("market", "interval")]
    strategies = ", ".join(format.title(each) for each in names(done, "strategy"))
    over = " · ".join([*known, strategies]) if done.height else ""
    account = done.select("initial_cash", "fees", "slippage_bps", "fill").unique()
    terms = format.terms(account.row(0, named=True)) if account.height == 1 else ""
    cells = "".join(
        f'<div class="tile {kind}"><span class="label">{label}</span><span class="figure">{figure}</span>'
        f'<span class="note">{note}</span></div>'
        for label, figure, note, kind in _tiles(done, failed)
    )
    return f"""<header>
<button id="theme" title="Light or dark" aria-label="Light or dark">◐</button>
<p class="over">{escape(over)}</p>
<h1>{escape(title)}</h1>
<div class="tiles">{cells}</div>
<p class="lead">{_story(done)}</p>
<p class="soft">{terms}</p>
</header>"""


def _tiles(done: pl.DataFrame, failed: pl.DataFrame) -> list[tuple[str, str, str, str]]:
    few = done.filter(~_ENOUGH).height
    deepest = _shown(done["max_drawdown_pct"].min(), format.percent)
    ahead, compared = _ahead(done)
    share = format.percent(100 * ahead / compared, 1) if compared else "–"
    trades = f"{few:,} with under {FEW_TRADES} trades" if few else f"none with under {FEW_TRADES} trades"
    failures = f'<a href="#failed">{failed.height:,} failed</a>' if failed.height else "none failed"
    returned, held = (_median(done, name, format.change) for name in ("total_return_pct", "benchmark_return_pct"))
    fall = _median(done, "max_drawdown_pct", format.percent)
    return [
        ("Median return", returned, f"of holding {held}", "main"),
        ("Beat holding", share, f"{ahead:,} of {_many(compared, 'dataset')}", ""),
        ("Median Sharpe", _median(done, "sharpe", format.number), trades, "warn" if few else ""),
        ("Median drawdown", fall, f"deepest {deepest}", ""),
        ("Datasets", f"{done.height:,}", failures, "warn" if failed.height else ""),
    ]


def _story(done: pl.DataFrame) -> str:
    """What happened, and how much of it can be concluded from."""
    if done.is_empty():
        return "<b>No dataset has figures</b>: all of them failed."
    symbols, bars = done["symbol"].n_unique(), int(done["rows"].sum())
    many = f"{_many(done.height, 'dataset')} of {_many(symbols, 'symbol')} with {_many(bars, 'bar')} in all."
    known = _spans(done, many)
    enough = done.filter(_ENOUGH)
    never = done.filter(pl.col("trades") == 0).height
    few = done.height - enough.height
    if not few:
        return f"{known} Every one made {FEW_TRADES} trades or more."
    none = f", {never:,} of them none at all" if never else ""
    said = f"{known} <b>{few:,} made fewer than {FEW_TRADES} trades{none}: too few to conclude.</b>"
    ahead, compared = _ahead(enough)
    if not compared:
        return said
    returned, sharpe = _median(enough, "total_return_pct", format.change), _median(enough, "sharpe", format.number)
    return f"{said} Where there were more, {ahead:,} of {compared:,} beat holding; there the median return is \
{returned} and the median Sharpe {sharpe}."


def _spans(done: pl.DataFrame, many: str) -> str:
    """The span of all datasets where they share one; else between which days they begin, and end."""
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
    """What many tests at once found; empty where there are not several."""
    if found["tests"] < 2:
        return ""
    return (
        f"Held against holding with the same exposure, {found['below_5_pct']:,} of {found['tests']:,} datasets have a p"
        f" value below 5 %; where timing is worth nothing, about {found['expected_by_chance']:,.1f} would by chance."
        f" After the correction for {found['tests']:,} tests (Holm) {found['after_correction']:,}"
        f" {'is' if found['after_correction'] == 1 else 'are'} left."
    )


def _warning(done: pl.DataFrame) -> str:
    """What the top of a list is worth."""
    if done.height < 2:
        return ""
    return (
        '<section class="warning" id="selection"><div class="title"><h2>Before you pick the best</h2></div>'
        f"<p>The best of {done.height:,} datasets looks better than it is: with enough markets, chance alone finds one "
        f"that suits the strategy. {_chance(done['sharpe'].drop_nulls())}Markets that move together repeat one "
        "another’s luck, and a market that died may not be in the list at all.</p>"
        f"<p>{tests_in_words(multiple_tests(done))}</p>"
        "<p>So read the distributions first, and the top of the list last. A row chosen here was chosen in hindsight: "
        "its figures are no estimate of what follows. Decide the rule of choice beforehand, and judge it on bars that "
        "it has not seen.</p></section>"
    )


def _chance(sharpe: pl.Series) -> str:
    """What the best would be if nothing but luck told the datasets apart."""
    scatter = float(sharpe.std() or 0)  # type: ignore[arg-type]
    if len(sharpe) < _FEWEST or not scatter:
        return ""
    # The median of the highest of n independent draws: P(all below x) = Φ(x / s)ⁿ = 1/2.
    luck = NormalDist(0, scatter).inv_cdf(0.5 ** (1 / len(sharpe)))
    best = _shown(sharpe.max(), format.number)
    return (
        f"Were there nothing but normal luck around 0 that scatters as these Sharpe ratios do (standard "
        f"deviation {format.number(scatter)}), the best of {len(sharpe):,} independent ones would "
        f"be above <b>{format.number(luck)}</b> half of the time; here it is <b>{best}</b>. "
    )


def _distributions(done: pl.DataFrame) -> str:
    plots = []
    for key, (name, axis) in _PLOTS.items():
        values = done.select("interval", key).drop_nulls()
        groups = {each: values.filter(pl.col("interval") == each)[key] for each in names(values, "interval")}
        if groups:
            plots.append(f"<figure><h3>{name}</h3>{histogram(groups, axis)}</figure>")
    if not plots:
        return ""
    several = done["interval"].n_unique() > 1
    strips = "Each interval has a strip of its own, and each strip its own scale of counts. " if several else ""
    reading = (
        f'<p class="reading soft">{strips}Bars count datasets; those below 0 are orange. The number at the left is '
        "what the highest bar stands for, the upright line is the median. Values far out are gathered in the outermost "
        "bars. Point at a bar for its figures.</p>"
    )
    return (
        '<section id="distributions"><div class="title"><h2>Distributions</h2><p class="soft">over all datasets with a '
        f'figure</p></div><div class="plots">{"".join(plots)}{reading}</div></section>'
    )


def _failures(failed: pl.DataFrame) -> str:
    if failed.is_empty():
        return ""
    shown = failed.head(MOST_FAILURES)
    items = "".join(
        f"<li><b><bdi>{escape(symbol)}</bdi> {escape(interval)}</b> <bdi>{escape(error)}</bdi>"
        f"{f'<br><span class=soft>{escape(cure)}</span>' if cure else ''}</li>"
        for symbol, interval, error, cure in shown.select("symbol", "interval", "error", "cure").iter_rows()
    )
    cut = ""
    if failed.height > shown.height:
        cut = f"<p>The first {shown.height:,} of {failed.height:,}; universe.parquet beside this page has all.</p>"
    return (
        f'<section id="failed"><div class="title"><h2>Failed</h2><p class="soft">{_many(failed.height, "dataset")}'
        f", none of their figures is counted above</p></div>{cut}"
        f'<div class="scroll tall" role="region" aria-label="Failed" tabindex="0"><ul class="failures">{items}</ul>'
        "</div></section>"
    )


def _ahead(done: pl.DataFrame) -> tuple[int, int]:
    """How many beat holding, and of how many that is known."""
    known = done["ahead_pct"].drop_nulls()
    return int((known > 0).sum()), len(known)


def _median(done: pl.DataFrame, column: str, show: Callable[[float], str]) -> str:
    return _shown(done[column].median(), show)


def _shown(value: object, show: Callable[[float], str]) -> str:
    """What Polars says about a column of numbers: None where it has none."""
    return "–" if value is None else show(float(value))  # type: ignore[arg-type]


def _many(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
