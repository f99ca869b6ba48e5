"""Options of the command line: those that set a setting, and those that several commands share."""

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from inspect import Parameter
from pathlib import Path
from typing import Annotated, Any, Literal, Optional

import typer

from hermes.cli.completion import choices

SETTINGS_PANEL = "Settings and output"
ARCHIVE_PANEL = "Lake and archive"
STRATEGY_PANEL = "Strategy and signals"
DATASET_PANEL = "Dataset"
#: Where `--help` groups the options that set a setting, by the section.
PANELS = {
    "dataset": DATASET_PANEL,
    "signals": STRATEGY_PANEL,
    "features": STRATEGY_PANEL,
    "backtest": "Account",
    "account": "Account",
    "lake": ARCHIVE_PANEL,
    "archive": ARCHIVE_PANEL,
    "log": SETTINGS_PANEL,
}

Since = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], rich_help_panel=ARCHIVE_PANEL, help="Take archive files from this day on."),
]
Until = Annotated[
    datetime | None,
    typer.Option(formats=["%Y-%m-%d"], rich_help_panel=ARCHIVE_PANEL, help="Take archive files up to this day."),
]
Frequency = Annotated[
    list[str] | None,
    typer.Option(
        metavar="monthly|daily|recent",
        rich_help_panel=ARCHIVE_PANEL,
        help="Files of the archive, or recent bars of the exchange; may be given several times.",
    ),
]
Execution = Annotated[
    str | None, typer.Option(help="Folder of one execution; default: the newest of what was promoted or configured.")
]
PageOut = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="FILE",
        help="Write the page to this local .html file, one for each symbol, and not to the lake; trades and a small "
        "chart go beside it under the same name, as .csv and .svg. Files of these names are replaced.",
    ),
]
PageFile = Annotated[
    Path | None, typer.Option("--out", metavar="FILE", help="Write the page here, one for each symbol.")
]
OpenPage = Annotated[bool, typer.Option("--open", help="Open the page in the browser.")]
Workers = Annotated[int | None, typer.Option(min=1, help="Number of local worker processes (Dask).")]
Cluster = Annotated[str | None, typer.Option(help="Run on a Dask cluster, like tls://host:8786.")]


@dataclass(frozen=True, slots=True)
class Flag:
    """An option that sets a setting: `--chunk-rows` sets `signals.chunk_rows`."""

    option: str
    setting: str
    kind: Any
    help: str

    @cache  # noqa: B019 - of constants, each for many commands
    def parameter(self) -> Parameter:
        """The parameter for Typer."""
        panel = PANELS.get(self.setting.partition(".")[0])
        option = typer.Option(self.option, help=self.help, autocompletion=choices(self.setting), rich_help_panel=panel)
        kind = Annotated[Optional[self.kind], option]  # type: ignore[name-defined]  # noqa: UP045
        return Parameter(self.name, Parameter.KEYWORD_ONLY, annotation=kind, default=None)

    @property
    def name(self) -> str:
        """The name as a Python identifier."""
        return self.option.strip("-").replace("-", "_")


DATASET = (
    Flag("--interval", "dataset.interval", str, "Bar length, like 4h."),
    Flag(
        "--market",
        "dataset.market",
        Literal["spot", "um", "cm"],
        "Spot, or USD-margined (um) or coin-margined (cm) futures.",
    ),
)
LAKE = (Flag("--lake", "lake.url", str, "Where the lake is: ./lake/{layer} or s3://{layer}."),)
LOG = (
    Flag(
        "--log-format",
        "log.format",
        Literal["text", "json"],
        "Messages on stderr: text for people, json for schedulers.",
    ),
)
EXCLUDE = Flag(
    "--exclude", "archive.exclude", str, "Archive files to leave out: 2022-03, 2022-03-15 or BTCUSDT-4h-2022-03."
)
ARCHIVE = (Flag("--archive", "archive.url", str, "The archive: a folder, an http(s) or an s3:// address."), EXCLUDE)
INDICATORS = (Flag("--indicators", "features.indicators", str, "Files that define indicators, like ./range_high.py."),)
FEATURE_SET = (
    Flag("--feature-set", "features.feature_set", str, "A feature set beside the production table, like test."),
    *INDICATORS,
)
STRATEGY = (
    Flag("--strategy", "signals.strategy", str, "A strategy's name, or a file like ./mine.py:Breakout."),
    *FEATURE_SET,
)
COLUMNS = (
    Flag("--columns", "features.columns", str, "Columns of the feature set, like zscore_20,ema_50@1d."),
    Flag("--features-version", "features.version", str, "Version of the feature set, like 2."),
)
SPAN = (
    Flag("--start", "signals.start", str, "First bar, like 2017-09-01; rules still see the bars before it."),
    Flag("--end", "signals.end", str, "Last bar; a day includes all of its bars."),
)
CHUNKS = (
    Flag("--chunk-rows", "signals.chunk_rows", int, "Rows per chunk; the result does not depend on it."),
    Flag("--context-rows", "signals.context_rows", int, "Rows before a chunk that rules can look back on."),
)
ACCOUNT = (
    Flag("--fees", "backtest.fees", float, "Fraction of the traded value on each side: 0.001 is 0.1 %."),
    Flag("--fill", "backtest.fill", Literal["close", "next_open"], "At the signal bar's close, or at the next open."),
    Flag("--cash", "backtest.initial_cash", float, "Initial cash, in the quote currency."),
    Flag("--slippage-bps", "backtest.slippage_bps", float, "Slippage of each fill, in basis points."),
    Flag("--side", "account.side", Literal["long", "short", "both"], "Which positions are entered."),
    Flag("--size", "account.size", str, "Size of an entry: all, fraction:0.1, value:1000 or volatility:0.2."),
    Flag("--stop-loss", "account.stop_loss", str, "Close at a loss of this fraction of the entry price: 0.02 is 2 %."),
    Flag("--take-profit", "account.take_profit", str, "Close at a profit of this fraction of the entry price."),
    Flag("--trailing-stop", "account.trailing_stop", str, "Close this fraction below the best price since the entry."),
    Flag("--max-bars", "account.max_bars", str, "Close a position after this many bars."),
    Flag("--min-order", "account.min_order", float, "Drop entries worth less than this, in the quote currency."),
    Flag("--lot-step", "account.lot_step", float, "Round entries down to a multiple of this, in the base currency."),
)
