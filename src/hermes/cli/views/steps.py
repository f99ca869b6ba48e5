"""The output of the pipeline's commands. Commands compute, views print."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hermes.cli.views.console import print_error, print_facts, print_rows, print_simulated, say
from hermes.cli.views.measures import by_fill, print_measures, print_warnings
from hermes.cli.views.quality import print_quality
from hermes.dataset import bar_close
from hermes.errors import AuditFault
from hermes.pages.format import NO_AUDIT, exact_percent, quote_currency, spaced
from hermes.steps.warnings import closed, duration
from hermes.text import counted, exact

if TYPE_CHECKING:
    from hermes.freshness import Freshness
    from hermes.settings import Settings
    from hermes.stages.audit.checks import Check
    from hermes.steps.audit import Audited
    from hermes.steps.backtest import Backtested
    from hermes.steps.features import Featured
    from hermes.steps.ingest import Ingested
    from hermes.steps.lineage import Unchanged
    from hermes.steps.refine import Refined
    from hermes.steps.report import Reported
    from hermes.steps.run import Run
    from hermes.steps.show import Shown
    from hermes.steps.signals import Signalled


def print_steps(run: "Run") -> None:
    """What each step of the pipeline read and wrote."""
    rows: list[tuple[str, str, str, str]] = []
    if made := run.ingested:
        rows.append(
            ("ingest", counted(made.files, "file"), _written(made.written), f"{counted(made.rows, 'row')} in bronze")
        )
    if ref := run.refined:
        years = len(ref.written) + len(ref.unchanged)
        now = f"{counted(ref.quality.rows, 'row')} in silver"
        rows.append(("refine", counted(years, "year"), _written(len(ref.written)), now))
    if feat := run.featured:
        files = len(feat.written) + len(feat.unchanged)
        now = f"{counted(feat.rows, 'row')} in gold"
        rows.append(("features", counted(files, "file"), _written(len(feat.written)), now))
    signals = run.signalled.as_json()
    wrote = "1 new execution" if run.is_new else "nothing, up to date"
    now = f"{counted(signals['rows'], 'row')} in gold"
    rows.append(("signals", counted(signals["chunks"], "chunk"), wrote, now))
    print_rows(("step", "looked at", "wrote", "now"), rows)


def print_run(made: "Run") -> None:
    """The result of every step, the quality of the bars, and the summary of the signals."""
    print_steps(made)
    if made.refined:
        print_quality(made.refined.quality)
    from hermes.steps.lineage import Unchanged  # noqa: PLC0415 - `signals` need not wait for it

    if isinstance(made.signalled, Unchanged):
        print_unchanged(made.signalled)
    else:
        print_signals(made.signalled)
    print_verdict(made.verdict)
    if made.reported:
        print_reported(made.reported)


def print_unchanged(standing: "Unchanged") -> None:
    """The existing execution, whose inputs have not changed."""
    print_simulated(standing.settings.dataset.symbol)
    facts = [
        ("made", standing.lineage.generated_at),
        ("newest bar", newest(standing.freshness)),
        ("signals", standing.path),
        ("page", standing.report),
    ]
    print_facts(f"Signals of {standing.settings.dataset}: nothing changed since {standing.execution}", facts)
    print_measures(by_fill(standing.fills, standing.settings.backtest.fill), standing.settings.dataset.symbol)
    print_warnings(standing.warnings)


def print_reported(made: "Reported") -> None:
    """Print where the page of an execution is."""
    print_facts(
        "Page", [("open it in a browser", made.path), ("trades", made.trades_path), ("seconds", f"{made.seconds:.2f}")]
    )


def print_simulated_archive(settings: "Settings", rows: int) -> None:
    """Print where the demo's archive was written."""
    said = "Simulated {} of {}, in the archive's own format, under {}"
    say(said, counted(rows, "bar"), settings.dataset, settings.archive.url)


def print_ingested(made: "Ingested") -> None:
    """The files and rows of one ingest."""
    settings = made.settings
    of_archive = [
        ("left out", ", ".join(made.refused) or "none"),
        ("without CHECKSUM", ", ".join(made.without_checksum) or "none"),
    ]
    print_facts(
        f"Bronze of {settings.dataset}",
        [
            *(("source", address) for address in made.sources),
            ("files", f"{made.files:,} listed; wrote {_written(made.written)}"),
            ("rows", made.rows),
            *(of_archive if settings.archive.url in made.sources else []),
            ("seconds", f"{made.seconds:.2f}"),
        ],
    )


def print_refined(made: "Refined") -> None:
    """The files of silver that were written, and the quality of the series."""
    _print_files(f"Silver of {made.settings.dataset}", made.written, made.unchanged)
    print_quality(made.quality)


def print_featured(made: "Featured") -> None:
    """The feature files that were written."""
    _print_files(f"Features of {made.settings.dataset}, {made.rows:,} rows", made.written, made.unchanged)


def _print_files(title: str, written: Sequence[str], unchanged: Sequence[str]) -> None:
    print_facts(title, [*(("wrote", key) for key in written), ("up to date", counted(len(unchanged), "file"))])


def print_tables(found: Sequence[Mapping[str, Any]]) -> None:
    """The tables of the lake, then their addresses."""
    if not found:
        say("The lake is empty: run `hermes demo` or `hermes run SYMBOL`.")
        return
    now = datetime.now(UTC).replace(tzinfo=None)
    rows = [
        (
            table["table"],
            table["alias"],
            table["rows"],
            table["first"] and f"{table['first']} → {table['last']}".replace("T", " "),
            _age(table, now),
            table["files"],
            f"{table['bytes'] / 1e6:,.2f} MB",
            table["executions"] or None,
            _read_by_default(table),
        )
        for table in found
    ]
    columns = ("table", "also called", "rows", "span (UTC)", "age", "files", "size", "executions", "read by default")
    print_rows(columns, rows, whole=2)
    print_facts("Where", [(table["table"], table["path"]) for table in found])


def _age(table: Mapping[str, Any], now: datetime) -> str | None:
    """How long ago the newest bar of a table closed."""
    if not (table["last"] and table["interval"]):
        return None
    closed = bar_close(table["interval"], datetime.fromisoformat(table["last"]))
    return duration(max(0.0, (now - closed).total_seconds()))


def _read_by_default(table: Mapping[str, Any]) -> str | None:
    """The execution that is read by default, and whether it was promoted."""
    if not table["executions"]:
        return None
    return f"{table['execution'] or 'none: see hermes show'}{' (promoted)' if table['promoted'] else ''}"


def print_shown(found: "Shown") -> None:
    """One execution: its measures, then its lineage."""
    lineage = found.lineage
    print_simulated(lineage.dataset["symbol"])
    print_measures(by_fill(found.fills, lineage.backtest["fill"]), lineage.dataset["symbol"])
    print_warnings(found.warnings)
    apart = ("execution", "metrics", "fills", "warnings", "sources", "audit", "freshness")
    plain = [(name, inline(value)) for name, value in found.as_json().items() if name not in apart]
    print_facts(found.execution, [("newest bar", newest(found.freshness)), *plain])
    print_verdict(lineage.audit)
    columns = ("path", "size", "rows", "fingerprint")
    print_rows(columns, [[getattr(source, name) for name in columns] for source in lineage.sources], "Made from")


def print_signals(made: "Signalled") -> None:
    """The summary of one execution: rows, signals, measures, address, settings."""
    settings, tally, dataset = made.settings, made.tally, made.settings.dataset
    shown = made.as_json()
    print_simulated(dataset.symbol)
    print_facts(
        f"Signals of {dataset}",
        [
            ("period", f"{tally.first} → {tally.last} UTC, {counted(tally.days, 'day')}"),
            ("rows", f"{tally.rows:,} in {counted(made.chunks, 'chunk')}"),
            ("buy / sell signals", f"{tally.buys:,} / {tally.sells:,}"),
            ("total", f"{tally.buys + tally.sells:,} ({shown['signal_rate_pct']:.2f} % of the rows)"),
            ("speed", f"{shown['rows_per_second']:,} rows/s, {made.seconds:.2f} s"),
            ("newest bar", newest(made.freshness)),
            ("saved to", made.path),
        ],
    )
    print_measures(by_fill(made.measured.fills, settings.backtest.fill), dataset.symbol)
    print_warnings(made.warnings)
    print_configuration(settings, made.strategy, made.parameters)


def print_audited(made: "Audited") -> None:
    """The result of each check of an audit, and the warm-up of each column."""
    span = "" if made.bars == made.of else f", the latest of {made.of:,}"
    print_facts(
        f"Audit of {made.settings.dataset} with {made.strategy}: {spaced(made.verdict)}",
        [
            ("audited", f"{counted(made.bars, 'bar')}{span}; {counted(made.cuts, 'cut')} in {made.seconds:.2f} s"),
            *((spaced(name), _said(check)) for name, check in made.checks.items()),
        ],
    )
    if made.warm_up.height:
        print_rows(("column", "bars it needs before the start"), list(made.warm_up.iter_rows()), "Warm-up")
    for fault in made.faults:
        print_error(AuditFault(fault, "signals made from this cannot be trusted"))


def print_verdict(found: Mapping[str, Any] | None) -> None:
    """The results of the audit before an execution; `found` is its JSON object, or None."""
    if not found or "checks" not in found:
        print_facts("Audit before these signals: not checked", [("why", NO_AUDIT)])
        return
    told = [(spaced(name), f"{spaced(each['verdict'])}: {each['detail']}") for name, each in found["checks"].items()]
    print_facts(f"Audit before these signals: {spaced(found['verdict'])}", told)


def _said(check: "Check") -> str:
    return f"{spaced(check.verdict)}: {check.detail}"


def print_backtests(made: "Sequence[Backtested]") -> None:
    """Measures with both fills, for one dataset or several side by side."""
    for each in made:
        tally, dataset = each.measured.tally, each.settings.dataset
        print_simulated(dataset.symbol)
        counts = [counted(n, noun) for n, noun in ((tally.rows, "row"), (tally.buys, "buy"), (tally.sells, "sell"))]
        say("[bold]{}[/] {} → {} UTC, {}, {}, {}", dataset, tally.first, tally.last, *counts)
    if len(made) == 1:
        chosen = made[0].settings
        print_measures(by_fill(made[0].measured.fills, chosen.backtest.fill), chosen.dataset.symbol)
        print_warnings(made[0].warnings)
        return
    columns = {}
    for each in made:
        for name, measures in by_fill(each.measured.fills, each.settings.backtest.fill).items():
            columns[f"{each.settings.dataset}, {name}"] = measures
    print_measures(columns, *(each.settings.dataset.symbol for each in made))
    for each in made:
        print_warnings(each.warnings, f"{each.settings.dataset}: ")


def newest(fresh: "Freshness") -> str:
    """The age of the newest bar."""
    return f"{fresh.newest} UTC, {closed(fresh)}{'; STALE' if fresh.stale else ''}"


def print_configuration(settings: "Settings", strategy: str, parameters: Mapping[str, Any]) -> None:
    """The settings that an execution was made with."""
    signals, account = settings.signals, settings.backtest
    cash = f"{exact(account.initial_cash)} {quote_currency(settings.dataset.symbol)}".rstrip()
    terms = f"{cash}, {exact_percent(account.fees)} fees, {exact(account.slippage_bps)} bp slippage"
    print_facts(
        "Configuration",
        [
            ("dataset", " ".join((settings.dataset.provider, settings.dataset.market, str(settings.dataset)))),
            ("strategy", f"{strategy} {inline(dict(parameters)) or ''}".rstrip()),
            ("chunks", f"{counted(signals.chunk_rows, 'row')}, {counted(signals.context_rows, 'row')} of context"),
            ("from / to", f"{signals.start or 'the first bar'} / {signals.end or 'the last bar'}"),
            ("account", f"{terms}, filled at {account.fill}"),
            ("features", settings.paths(strategy)["features"]),
            ("signals", settings.paths(strategy)["signals"]),
        ],
    )  # fmt: skip


def inline(value: Any) -> Any:
    """A mapping or a list on one line, None where it is empty; anything else as it is."""
    if isinstance(value, dict):
        return " ".join(f"{name}={_word(each)}" for name, each in value.items()) or None
    if isinstance(value, list):
        return ", ".join(_word(each, " ") for each in value) or None
    return value


def _word(value: Any, between: str = ",") -> str:
    if isinstance(value, list):
        return between.join(_word(each) for each in value) or "none"
    return "none" if value is None else str(value)


def _written(files: int) -> str:
    return counted(files, "file") if files else "nothing, up to date"
