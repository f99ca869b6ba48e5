"""The commands that try parameters: `sweep`, and `walkforward`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import ACCOUNT, SPAN, STRATEGY, Cluster, PageFile, Workers

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.settings import Settings
    from hermes.workers.pool import Place

Sample = Annotated[
    int | None, typer.Option("--random", min=1, help="Try only this many combinations, chosen at random.")
]
Seed = Annotated[int, typer.Option(help="Random seed; the same seed gives the same result.")]
Out = Annotated[Path, typer.Option(help="Local folder; every sweep creates a new folder in it.")]
Train = Annotated[str, typer.Option(help="Past to choose in: 2y, 6m (months), 8w or 90d.")]
Test = Annotated[str, typer.Option(help="Bars right after it, on which the choice is measured.")]
Anchored = Annotated[bool, typer.Option("--anchored", help="Choose in all of the past since the first bar.")]
MinTrades = Annotated[int, typer.Option(min=0, help="Trades that a combination needs to be called the best.")]
By = Annotated[str, typer.Option(help="Measure to choose by, like sharpe, sortino, calmar, total_return_pct.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @command(
        app,
        "sweep BTCUSDT --set ema_fast=8:20:4 --set ema_slow=20,26,50",
        "sweep BTCUSDT --set ema_fast=5:60:1 --set ema_slow=20:200:5 --random 500 --start 2020-01-01 --workers 4",
        flags=(*SPAN, *STRATEGY, *ACCOUNT),
    )
    def sweep(
        line: Invocation,
        sample: Sample = None,
        seed: Seed = 0,
        min_trades: MinTrades = 30,
        out: Out = Path("sweeps"),
        workers: Workers = None,
        cluster: Cluster = None,
    ) -> None:
        """Try many parameters, and estimate how much of the best is luck; `--set` takes a,b,c and low:high:step."""
        from hermes.cli.views import console, search
        from hermes.steps.search.sweep import sweep

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            with _place(settings, workers, cluster) as (sent, where):
                made = sweep(
                    sent,
                    lake,
                    sample=sample,
                    seed=seed,
                    min_trades=min_trades,
                    out=out,
                    where=where,
                    progress=console.Bars(),
                )
            if not line.json:
                search.print_sweep(made)
            return made.as_json()

        line.each(work)

    @command(
        app,
        "walkforward BTCUSDT --set ema_fast=8:20:4 --set ema_slow=20,26,50 --train 2y --test 6m",
        "walkforward BTCUSDT --set st_multiplier=2:4:0.5 --anchored --by sortino --out walkforward.html",
        flags=(*SPAN, *STRATEGY, *ACCOUNT),
    )
    def walkforward(
        line: Invocation,
        train: Train = "2y",
        test: Test = "6m",
        by: By = "sharpe",
        sample: Sample = None,
        seed: Seed = 0,
        out: PageFile = None,
        workers: Workers = None,
        cluster: Cluster = None,
        *,
        anchored: Anchored = False,
    ) -> None:
        """Choose parameters in each past window, measure them in the next one, and test the trades for luck."""
        from hermes.cli.views import console, search
        from hermes.steps.local_files import page_path
        from hermes.steps.search.walkforward import walkforward

        if out:
            page_path(out)

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            spans: dict[str, Any] = {"train": train, "test": test, "anchored": anchored, "by": by}
            with _place(settings, workers, cluster) as (sent, where):
                made = walkforward(sent, lake, **spans, sample=sample, seed=seed, where=where, progress=console.Bars())
            return line.with_page(made, search.print_walk, out, settings.dataset.symbol, lambda: made.html)

        line.each(work)


@contextmanager
def _place(settings: "Settings", workers: int | None, cluster: str | None) -> "Iterator[tuple[Settings, Place | None]]":
    """The executor for the work, None for this process; and the settings to send there."""
    if not (workers or cluster):
        yield settings, None
        return
    from hermes.workers.pool import place

    with place(settings, workers, cluster) as where:
        yield settings.with_absolute_paths() if cluster else settings, where
