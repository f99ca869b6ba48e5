"""What people see of `hermes sweep` and `hermes walkforward`."""

from hermes.cli.views import console, steps
from hermes.dataset import is_simulated
from hermes.steps.search.sweep import Swept, verdict
from hermes.steps.search.walkforward import Walked

SHOWN = 10  # best combinations
_COLUMNS = ("sharpe", "total_return_pct", "max_drawdown_pct", "trades", "exposure_pct")


def print_sweep(made: Swept) -> None:
    """The best combinations, where all of them are, and what the best is worth."""
    tried, found = made.tried, made.tried.candidates
    dataset, account = found.settings.dataset, found.settings.backtest
    if is_simulated(dataset.symbol):
        console.print_simulated()
    names = [*(found.varied or found.parameters(0)), *_COLUMNS]
    best = tried.table.sort("sharpe", descending=True, nulls_last=True).select(names).head(SHOWN)
    rows = [[_short(value) for value in row] for row in best.iter_rows()]
    title = f"The best {best.height} of {tried.table.height:,} combinations of {found.strategies[0].name} on {dataset}"
    console.print_rows(names, rows, title)
    skipped = f"{found.skipped:,}" + (f", the first because {found.reason}" if found.skipped else "")
    holding = tried.trials[0].metrics.benchmark_return_pct
    console.print_facts(
        "Sweep",
        [
            ("bars", f"{len(found.bars):,} from {found.bars.times[0].item()} to {found.bars.times[-1].item()} UTC"),
            ("tried", tried.table.height),
            ("skipped", skipped),
            ("holding instead", None if holding is None else f"{holding:,.2f} %"),
            ("account", f"{account.fees:.2%} fees, {account.slippage_bps:g} bp slippage, filled at {account.fill}"),
            ("written to", str(made.folder)),
            ("seconds", f"{made.seconds:.2f}"),
        ],
    )
    for line in verdict(tried.table.height, made.deflated, made.overfitting):
        console.out.print(f"[yellow]{line}[/]")


def print_walk(made: Walked) -> None:
    """Every window, then the stitched measures beside those of hindsight, the decay and the luck test."""
    found, dataset = made.found, made.candidates.settings.dataset
    if is_simulated(dataset.symbol):
        console.print_simulated()
    rows = [
        [
            each["first"][:10],
            each["last"][:10],
            "none" if each["parameters"] is None else " ".join(f"{k}={v}" for k, v in each["parameters"].items()),
            *(_short(each[name]) for name in list(each)[4:]),
        ]
        for each in made.windows()
    ]
    header = ("from", "to", "chosen", f"{made.by} before", made.by, "return, %", "holding, %", "trades")
    console.print_rows(header, rows, f"Chosen by {made.by} in the past, measured in the next window, on {dataset}")
    columns = {"out of sample": found.out_of_sample.as_dict()}
    if found.in_sample is not None:
        columns["best in hindsight"] = found.in_sample.as_dict()
    steps.print_measures(columns)
    decay = made.decay_pct
    said = "not defined: hindsight gained nothing, or nothing was traded" if decay is None else f"{decay:.0f} %"
    console.print_facts(
        "Walk forward",
        [
            ("combinations", f"{len(made.candidates.strategies):,} tried, {made.candidates.skipped:,} skipped"),
            (f"decay of {made.by}", f"{said} from the best in hindsight over the same bars to out of sample"),
            ("positions", "flat at the start of every window; what is still held is sold at its last bar"),
            ("luck test", _luck(made)),
            ("seconds", f"{made.seconds:.2f}"),
        ],
    )


def _luck(made: Walked) -> str:
    found = made.luck
    if found is None:
        return "no trade out of sample"
    return (
        f"better than {found.percentile:.1f} % of {found.draws:,} accounts with the same {found.trades:,} holding times"
        f" at random bars: {found.return_pct:,.1f} % against {found.median_pct:,.1f} %"
        f" (5 % to 95 %: {found.low_pct:,.1f} to {found.high_pct:,.1f} %)"
    )


def _short(value: object) -> object:
    return f"{value:,.2f}" if isinstance(value, float) else value
