"""One execution → its page, its trades and a thumbnail, published beside the signals."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Any

from hermes.errors import MissingTable
from hermes.lake.executions import Execution as Found
from hermes.lake.store import Lake
from hermes.pages import format, notebook
from hermes.pages.execution import execution_page
from hermes.pages.thumbnail import thumbnail
from hermes.progress import SILENT, Progress
from hermes.settings import Settings
from hermes.steps.local_files import page_path, write_text
from hermes.steps.page_data import measured_execution
from hermes.steps.production import find_execution
from hermes.steps.results import StepResult
from hermes.steps.step import step
from hermes.strategies import strategy_name


@dataclass(frozen=True, slots=True, repr=False)
class Reported(StepResult):
    """The published page of one execution; a notebook shows it whole, without loading anything.

    Attributes:
        execution: its folder's name.
        path: address of the page; trades_path: of the trades as CSV; thumbnail_path: of the small chart as SVG.
        bytes: size of the page.
        rows: bars that were measured; drawn: candles that the page draws.
        trades: with the configured fill.
    """

    execution: str
    path: str
    trades_path: str
    thumbnail_path: str
    bytes: int
    rows: int
    drawn: int
    trades: int
    seconds: float

    @property
    def html(self) -> str:
        """The page itself; raises MissingTable if it is gone."""
        if (local := Path(self.path.removeprefix("file://"))).is_file():
            return local.read_text("utf-8")
        table = self.settings.dataset.signals_table(strategy_name(self.settings.signals.strategy))
        content = Lake.open(self.settings).gold.read(f"{table}/{self.execution}/report.html")
        if content is None:
            raise MissingTable(f"{self.path} is not there any more", "make it again with `hermes.report`")
        return content.decode()

    def __repr__(self) -> str:
        """The address of the page."""
        found = [("page", self.path), ("trades", self.trades_path), ("bars drawn", f"{self.drawn:,} of {self.rows:,}")]
        return notebook.listed(f"Page: {self.settings.dataset}", found, self.settings.dataset.symbol)

    def _repr_html_(self) -> str:
        """The page in a frame."""
        return notebook.inline(self.html)


@dataclass(frozen=True, slots=True)
class Page:
    """The page of one execution and the files beside it, in memory.

    Attributes:
        execution: the execution's folder; rows: bars that were measured.
        html: the whole page; trades: the trades as CSV; thumbnail: a small chart as SVG.
        drawn: candles that the page draws; trade_count: trades with the configured fill.
    """

    execution: Found
    rows: int
    html: str
    trades: str
    thumbnail: str
    drawn: int
    trade_count: int


def report_page(
    settings: Settings,
    lake: Lake,
    *,
    execution: str | None = None,
    record: Mapping[str, Any] | None = None,
    trades_file: str = "trades.csv",
    progress: Progress = SILENT,
) -> Page:
    """Make the page of one execution from its signal file alone, and write nothing.

    All measures are computed again from the rows of that file; if the stored ones differ, no page is made.

    Args:
        settings: name the dataset and the strategy.
        lake: where the execution is.
        execution: its folder's name; without it the one that production reads.
        record: live decisions for the page, see `pages.record.section`.
        trades_file: the file with all trades, which the page names.
        progress: told how far the work is.

    Raises:
        MissingTable: there is no such execution.
        StoreError: the file was made by another tool, or its stored measures are not those of its rows.
    """
    found = find_execution(settings, lake, execution)
    measured = measured_execution(lake, found, settings.dataset, progress)
    measured = replace(measured, record=record, trades_file=trades_file)
    returns = [format.change(each["total_return_pct"]) for each in (measured.measured, measured.holding)]
    return Page(
        execution=found,
        rows=measured.lineage.rows,
        html=execution_page(measured),
        trades=measured.trades.write_csv(datetime_format="%Y-%m-%dT%H:%M:%SZ"),
        thumbnail=thumbnail(measured.bars, measured.title, *returns, simulated=measured.simulated),
        drawn=measured.bars.height,
        trade_count=measured.trades.height,
    )


@step()
def report(
    settings: Settings,
    lake: Lake,
    *,
    execution: str | None = None,
    record: Mapping[str, Any] | None = None,
    out: Path | None = None,
    progress: Progress = SILENT,
) -> Reported:
    """Publish the page of one execution beside its signals, with its trades as CSV and a small chart as SVG.

    Args:
        settings: name the dataset and the strategy.
        lake: where the execution is.
        execution: its folder's name; without it the one that production reads.
        record: live decisions for the page, see `pages.record.section`.
        out: a local file for the page instead; the trades and the small chart are named after it.
        progress: told how far the work is.

    Raises:
        MissingTable, StoreError: see `report_page`; or `out` cannot be written.
        UsageError: `out` is not the name of an HTML file.
    """
    started = perf_counter()
    trades_file = f"{page_path(out).stem}.csv" if out else "trades.csv"
    made = report_page(settings, lake, execution=execution, record=record, trades_file=trades_file, progress=progress)
    texts = {"trades": made.trades, "thumbnail": made.thumbnail, "page": made.html}
    if out:
        places = {"trades": out.with_suffix(".csv"), "thumbnail": out.with_suffix(".svg"), "page": out}
        paths = {name: write_text(places[name], text) for name, text in texts.items()}
    else:
        folder = made.execution.file.key.rpartition("/")[0]
        keys = {"trades": "trades.csv", "thumbnail": "report.svg", "page": "report.html"}
        for name, text in texts.items():
            lake.gold.write_bytes(f"{folder}/{keys[name]}", text.encode())
        paths = {name: lake.gold.locate(f"{folder}/{key}") for name, key in keys.items()}
    return Reported(
        settings,
        made.execution.name,
        paths["page"],
        paths["trades"],
        paths["thumbnail"],
        len(made.html.encode()),
        made.rows,
        made.drawn,
        made.trade_count,
        perf_counter() - started,
    )
