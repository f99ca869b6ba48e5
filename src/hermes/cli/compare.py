"""The command that compares two variants: `compare`."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hermes.cli.command import Invocation, command
from hermes.cli.options import ACCOUNT, INDICATORS, SPAN, PageFile

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.settings import Settings

First = Annotated[str, typer.Argument(metavar="A", help="STRATEGY,name=value,… like smart_momentum,ema_fast=8.")]
Second = Annotated[str, typer.Argument(metavar="B", help="The other variant; feature_set=test reads that feature set.")]
Seed = Annotated[int, typer.Option("--seed", help="Random seed of the resamples.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""

    @command(
        app,
        "compare smart_momentum smart_momentum,ema_fast=8 BTCUSDT ETHUSDT --start 2020-01-01",
        "compare ./reversion.py ./reversion.py,feature_set=test BTCUSDT --out reversion.html",
        flags=(*SPAN, *INDICATORS, *ACCOUNT),
    )
    def compare(line: Invocation, first: First, second: Second, out: PageFile = None, seed: Seed = 0) -> None:
        """Compare two variants on the same bars: parameters, strategies or feature sets; is the difference luck?"""
        from hermes.cli.views import console
        from hermes.cli.views.compare import print_compared
        from hermes.dataset import is_simulated
        from hermes.pages.compare import compare_page
        from hermes.steps.compare import compare as measure_both
        from hermes.steps.local_files import page_path

        if out:
            page_path(out)

        def work(settings: "Settings", lake: "Lake") -> dict[str, Any]:
            made = measure_both(settings, lake, first=first, second=second, seed=seed, progress=console.Bars())
            symbol = settings.dataset.symbol
            page = partial(
                compare_page, made.as_json(), made.curve, str(settings.dataset), simulated=is_simulated(symbol)
            )
            return line.with_page(made, print_compared, out, symbol, page)

        line.each(work)
