"""The content of the server's pages, read from the lake as plain values for templates."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from threading import Lock
from typing import Any

import polars as pl

from hermes.dataset import Dataset, is_simulated
from hermes.errors import HermesError, MissingTable, StoreError
from hermes.lake import catalog
from hermes.lake.catalog import LakeTable
from hermes.lake.executions import COMPARISON, SIGNALS, Execution, lineage_of, main_file
from hermes.lake.store import Lake, Layer
from hermes.pages import format
from hermes.pages.execution import Execution as Measured
from hermes.pages.execution import execution_page
from hermes.record.review import on_record
from hermes.redaction import redact
from hermes.serve.texts import cell, cells, flat, percent, shortened, size
from hermes.settings import Settings
from hermes.steps.page_data import measured_execution
from hermes.steps.production import production, short_names

PREVIEW_ROWS = 50  # the newest ones, of a table
EXECUTIONS = 50  # the newest ones, of a table that has more
SOURCES = 100  # files that an execution names as its sources
MOST_PAGE_BYTES = 64_000_000  # of a page that is sent
PAGES_KEPT = 4  # in memory, of those that are made when they are asked for
_PAGES = {COMPARISON: "universe.html"}  # by main file; all others are `report.html`


class Reader:
    """Reads one lake; thread-safe.

    Args:
        settings: decide what production reads, and which strategy has the short names in SQL.
    """

    def __init__(self, settings: Settings, lake: Lake) -> None:
        self.settings, self.lake = settings, read_only(lake)
        self._made: dict[tuple[str, str], str] = {}
        self._known: dict[str, LakeTable] = {}
        self._lock = Lock()

    @property
    def address(self) -> str:
        """Where the lake is."""
        return redact(self.settings.lake.url)

    def tables(self) -> list[dict[str, Any]]:
        """Every table of the lake, by name; nothing is opened."""
        return [
            {
                "name": each.name,
                "layer": each.layer,
                "files": len(each.files),
                "bytes": size(each.size),
                "executions": each.executions,
                "simulated": bool(each.dataset and is_simulated(each.dataset.symbol)),
            }
            for each in self._listed()
        ]

    def table(self, name: str) -> dict[str, Any]:
        """One table: where it is, what it holds, its executions and its newest rows.

        Raises:
            MissingTable: there is no table of that name.
        """
        table = self._table(name)
        choose = production(self.settings, self.lake)
        about = catalog.described(self.lake, table, choose)
        facts = {
            "Name in SQL": about["table"],
            "Where": redact(about["path"]),
            "Rows": about["rows"],
            "First": about["first"],
            "Last": about["last"],
            "Files": about["files"],
            "Size": size(about["bytes"]),
        }
        newest, note = self._newest_rows(table, choose)
        executions = self._executions(table, about["execution"])
        symbols: list[str] = newest["symbol"].unique().to_list() if "symbol" in newest.columns else []
        return {
            "table": name,
            "layer": table.layer,
            "simulated": _is_simulated(table, symbols) or any(each.get("simulated") for each in executions),
            "facts": {name: cell(value) for name, value in facts.items() if value is not None},
            "executions": executions,
            "of_executions": table.executions,
            "columns": newest.columns,
            "rows": cells(newest),
            "note": note,
        }

    def execution(self, name: str, execution: str) -> dict[str, Any]:
        """One execution: its lineage and its measures.

        Raises:
            MissingTable: there is no such table or execution.
        """
        table, found = self._execution(name, execution)
        lineage = dict(catalog.checked_lineage(self.lake.gold, found))
        sources, metrics = lineage.pop("sources", None), lineage.pop("metrics", None)
        sources = sources if isinstance(sources, list) else []  # another tool may call anything so
        metrics = metrics if isinstance(metrics, Mapping) else {}
        return {
            "table": name,
            "execution": execution,
            "simulated": _is_simulated(table, _symbols(lineage)),
            "few": _few(metrics),
            "metrics": flat(metrics),
            "lineage": flat(lineage),
            "sources": [redact(each) for each in map(_source, sources[:SOURCES])],
            "more_sources": max(0, len(sources) - SOURCES),
            "has_page": _is_made_here(table, found) or self._stored(found) is not None,
        }

    def page(self, name: str, execution: str) -> str:
        """The page of an execution: the published one, else one made in memory.

        Raises:
            MissingTable: there is no such table or execution, or it has no page.
            StoreError: its stored measures are not those of its rows.
        """
        table, found = self._execution(name, execution)
        stored = self._stored(found)
        if stored is not None:
            return stored
        if table.dataset is None or not _is_made_here(table, found):
            raise MissingTable(f"{execution} of {name} has no page", "make it again with the command that published it")
        key = (found.file.location, found.file.version)
        with self._lock:
            if key not in self._made:
                made = execution_page(self._measured(found, table.dataset, table.strategy))
                self._made = dict([*self._made.items(), (key, made)][-PAGES_KEPT:])
            return self._made[key]

    def _measured(self, found: Execution, dataset: Dataset, strategy: str) -> Measured:
        own = for_strategy(self.settings, strategy, dataset)
        return replace(measured_execution(self.lake, found, dataset), record=on_record(own, self.lake))

    def _listed(self) -> list[LakeTable]:
        """Every table of the lake, listed anew."""
        found = catalog.tables(self.lake, short_names(self.settings))
        self._known = {name: each for each in found for name in (each.name, each.folder)}
        return found

    def _table(self, name: str) -> LakeTable:
        """A table by its name, short name or folder (used in links); if it is known, only its folder is listed."""
        known = self._known.get(name)
        if known and (now := catalog.as_it_is_now(self.lake, known)):
            return now
        for each in self._listed():
            if name in (each.name, each.alias, each.folder):
                return each
        raise MissingTable(f"the lake has no table {shortened(name)!r}", "see the list of its tables")

    def _execution(self, name: str, execution: str) -> tuple[LakeTable, Execution]:
        table = self._table(name)
        for file in table.files if table.executions else ():
            if file.key.split("/")[1] == execution:
                return table, Execution(execution, file, lineage_of(self.lake.gold, file))
        raise MissingTable(f"{name} has no execution {shortened(execution)!r}", "see the list of its executions")

    def _executions(self, table: LakeTable, meant: str | None) -> list[dict[str, Any]]:
        """The newest executions of a table, newest first."""
        if not table.executions:
            return []
        files = sorted(table.files, key=lambda file: file.key)[-EXECUTIONS:]
        found = self.lake.gold.map_files(lambda file: _summary(self.lake.gold, file), files)
        return [{**each, "meant": each["name"] == meant} for each in reversed(found)]

    def _stored(self, found: Execution) -> str | None:
        folder = found.file.key.rpartition("/")[0]
        name = _PAGES.get(main_file(folder.partition("/")[0]), "report.html")
        for file in self.lake.gold.files(folder, name):
            if file.key == f"{folder}/{name}":
                if file.size > MOST_PAGE_BYTES:
                    raise StoreError(
                        f"{file.location} is too large to show here ({size(file.size)})", "open the file itself"
                    )
                content = self.lake.gold.read(file.key)
                return None if content is None else content.decode(errors="replace")
        return None

    def _newest_rows(self, table: LakeTable, choose: catalog.Choose) -> tuple[pl.DataFrame, str]:
        """The newest rows, newest first; or the reason why there are none."""
        layer: Layer = getattr(self.lake, table.layer)
        try:
            plan = catalog.scan(self.lake, table, catalog.chosen(self.lake, table, choose))
            with layer.errors():
                if "server_time" in plan.collect_schema().names():
                    plan = plan.sort("server_time", maintain_order=True)
                rows = plan.tail(PREVIEW_ROWS).collect(engine="streaming").reverse()
        except HermesError as error:
            return pl.DataFrame(), redact(str(error))
        return rows, ""


def read_only(lake: Lake) -> Lake:
    """The same lake, which refuses to publish anything."""

    def refuse() -> None:
        raise StoreError("`hermes serve` only reads", "use the command that writes")

    return Lake(*(layer.with_checks(refuse) for layer in (lake.bronze, lake.silver, lake.gold, lake.test)))


def for_strategy(settings: Settings, strategy: str, dataset: Dataset) -> Settings:
    """The settings for one table of signals; a strategy configured as a file stays that file."""
    changed: dict[str, Any] = {"dataset": dataset}
    if short_names(settings) != strategy:
        changed["signals"] = settings.signals.model_copy(update={"strategy": strategy})
    return settings.model_copy(update=changed)


def _summary(gold: Layer, file: Any) -> dict[str, Any]:
    """One row of the list of executions."""
    name = file.key.split("/")[1]
    try:
        about = lineage_of(gold, file)
    except HermesError as error:
        return {"name": name, "error": redact(str(error))}
    metrics = about.get("metrics")
    metrics = metrics if isinstance(metrics, Mapping) else {}
    return {
        "name": name,
        "simulated": any(map(is_simulated, _symbols(about))),
        "made": cell(about.get("generated_at")).partition(".")[0].replace("T", " "),
        "span": " to ".join(str(about[each])[:10] for each in ("first", "last") if about.get(each)),
        "parameters": ", ".join(" ".join(each) for each in flat({"parameters": about.get("parameters")})).replace(
            "parameters.", ""
        ),
        "return": percent(metrics.get("total_return_pct")),
        "holding": percent(metrics.get("benchmark_return_pct")),
        "sharpe": cell(None if metrics.get("sharpe") is None else round(metrics["sharpe"], 2)),
        "drawdown": percent(metrics.get("max_drawdown_pct")),
        "trades": cell(metrics.get("trades")),
        "few": _few(metrics),
    }


def _symbols(lineage: Mapping[str, Any]) -> list[str]:
    """The symbols of an execution of several datasets, from its lineage, which may be another tool's."""
    datasets = lineage.get("datasets")
    return (
        [str(each.get("symbol")) for each in datasets if isinstance(each, Mapping)]
        if isinstance(datasets, list)
        else []
    )


def _is_simulated(table: LakeTable, symbols: Iterable[object]) -> bool:
    """Whether a table, or an execution of it, holds synthetic prices."""
    return any(is_simulated(str(each)) for each in [*symbols, table.dataset and table.dataset.symbol])


def _is_made_here(table: LakeTable, found: Execution) -> bool:
    """Whether the page can be made from the execution alone."""
    return main_file(table.folder) == SIGNALS and "metrics" in found.lineage


def _few(metrics: Mapping[str, Any]) -> str:
    trades = metrics.get("trades")
    return format.few_trades(trades) if isinstance(trades, int) else ""


def _source(source: object) -> str:
    return " · ".join(str(each) for each in source.values()) if isinstance(source, Mapping) else str(source)
