"""The output of `hermes sweep` and `hermes walkforward`."""

from hermes.cli.views import console, measures
from hermes.measures import select_measures
from hermes.pages.format import exact_percent
from hermes.steps.search.sweep import Swept, both_fills
from hermes.steps.search.verdict import verdict, walk_verdict
from hermes.steps.search.walkforward import Walked
from hermes.text import counted, exact, fixed

SHOWN = 10  # best combinations
_COLUMNS = ("sharpe", "total_return_pct", "max_drawdown_pct", "trades", "exposure_pct")


def print_sweep(made: Swept) -> None:
    """The best combinations, where the full table is, and the verdict on the best one."""
    tried, found = made.tried, made.tried.candidates
    dataset, account = found.settings.dataset, found.settings.backtest
    console.print_simulated(dataset.symbol)
    ranked = tried.table.with_row_index("at").sort("sharpe", descending=True, nulls_last=True).head(SHOWN)
    (other,) = {"close", "next_open"} - {account.fill}
    again = both_fills(found, ranked["at"].to_list())[other]
    names = [*found.varied, *_COLUMNS]
    rows = [
        [
            *(_cell(name, row[name], made.min_trades) for name in names),
            _short(each.sharpe),
            _short(each.total_return_pct),
        ]
        for row, each in zip(ranked.iter_rows(named=True), again, strict=True)
    ]
    title = (
        f"The best {ranked.height} of {counted(tried.table.height, 'combination')} of {found.strategies[0].name}"
        f" on {dataset}, filled at {account.fill}; the last two columns filled at {other}"
    )
    labels = [*found.varied, *(_heading(name) for name in _COLUMNS)]
    again_at = [f"{_heading(name)}, {other}" for name in ("sharpe", "total_return_pct")]
    console.print_rows([*labels, *again_at], rows, title)
    measures.print_few(ranked["trades"].min())
    skipped = f"{found.skipped:,}" + (f", the first because {found.reason}" if found.skipped else "")
    holding = tried.trials[0].metrics.benchmark_return_pct
    console.print_facts(
        "Sweep",
        [
            ("bars", f"{len(found.bars):,} from {found.bars.times[0].item()} to {found.bars.times[-1].item()} UTC"),
            ("tried", tried.table.height),
            ("trades of the best", f"at least {made.min_trades:,}; {counted(made.barred, 'combination')} had too few"),
            ("skipped", skipped),
            ("holding instead", None if holding is None else f"{fixed(holding)} %"),
            (
                "account",
                f"{exact_percent(account.fees)} fees, {exact(account.slippage_bps)} bp slippage,"
                f" filled at {account.fill}",
            ),
            ("written to", str(made.folder)),
            ("seconds", f"{made.seconds:.2f}"),
        ],
    )
    for line in verdict(made):
        console.say("[yellow]{}[/]", line)


def print_walk(made: Walked) -> None:
    """Every window, then the stitched measures beside those of hindsight, the decay and the luck test."""
    found, dataset = made.found, made.candidates.settings.dataset
    console.print_simulated(dataset.symbol)
    rows = [
        [
            each["first"][:10],
            each["last"][:10],
            "none" if each["parameters"] is None else " ".join(f"{k}={v}" for k, v in each["parameters"].items()),
            *(_short(each[name]) for name in list(each)[4:-1]),
        ]
        for each in made.windows()
    ]
    by = _heading(made.by)
    after = (_heading(name) for name in ("total_return_pct", "benchmark_return_pct", "trades"))
    header = ("from", "to", "chosen", f"{by} before", by, *after)
    console.print_rows(header, rows, f"Chosen by {made.by} in the past, measured in the next window, on {dataset}")
    measures.print_few(min(each["trades"] for each in made.windows()))
    fill = made.candidates.settings.backtest.fill
    columns = {f"out of sample, {name} fill": metrics.as_dict() for name, metrics in found.fills.items()}
    if found.in_sample is not None:
        columns[f"best in hindsight, {fill} fill"] = found.in_sample.as_dict()
    measures.print_measures(columns, dataset.symbol)
    console.print_facts(
        "Walk forward",
        [
            *walk_verdict(made),
            ("seconds", f"{made.seconds:.2f}"),
        ],
    )


def _heading(name: str) -> str:
    """The heading of a measure's column, with its unit."""
    (measure,) = select_measures([name])
    return f"{measure.label}, %" if measure.unit in ("change", "percent", "fall") else measure.label


def _cell(name: str, value: object, min_trades: int) -> object:
    """A value of the table, marked in rows with too few trades to be the best."""
    if name == "trades" and isinstance(value, int) and value < min_trades:
        return f"{value:,}, too few"
    return _short(value)


def _short(value: object) -> object:
    return fixed(value) if isinstance(value, float) else value
