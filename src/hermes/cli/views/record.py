"""The output of `hermes record`."""

from typing import TYPE_CHECKING

from hermes.cli.views.console import print_error, print_facts, print_rows, print_simulated, say
from hermes.errors import AuditFault
from hermes.text import POSITIONS, counted, fixed, signed

if TYPE_CHECKING:
    import polars as pl

    from hermes.record.export import Exported
    from hermes.record.ledger import Chain, Head
    from hermes.record.paper import Tracking
    from hermes.record.review import Reconciled, Verified
    from hermes.settings import Settings

_MOST = 20  # differences and gaps that are named one by one
_SHORT = 12  # digits of a hash that people compare


def print_decisions(settings: "Settings", rows: "pl.DataFrame") -> None:
    """One line for each decision."""
    names = ("datetime", "kind", "close", "position", "late", "server_time", "hash")
    told = [
        (at, f"{kind}, late" if late else kind, close, " and ".join(asked), POSITIONS.get(position, position),
         f"{decided:%Y-%m-%d %H:%M:%S.%f}"[:-3], digest[:_SHORT])
        for (at, kind, close, position, late, decided, digest), asked in zip(
            rows.select(names).iter_rows(), _signals(rows), strict=True
        )
    ]  # fmt: skip
    header = ("bar (UTC)", "kind", "close", "signal", "position", "decided (server's time)", "hash")
    print_simulated(settings.dataset.symbol)
    print_rows(header, told, f"On record: {settings.dataset}")


def _signals(rows: "pl.DataFrame") -> list[list[str]]:
    """The signals of each row by name: buy, sell, short, cover."""
    names = [name for name in ("buy_signal", "sell_signal", "short_signal", "cover_signal") if name in rows.columns]
    found = rows.select(names).iter_rows()
    return [[name.removesuffix("_signal") for name, asked in zip(names, row, strict=True) if asked] for row in found]


def print_head(chain: "Chain", head: "Head") -> None:
    """The head of a chain, with its hash on a line of its own for copying."""
    say("[bold]{}[/], row {}, bar {}", chain, head.sequence, head.datetime)
    say("{}", head.hash)


def print_verified(made: "Verified") -> None:
    """What was checked, every fault, and missing bars."""
    print_facts(
        f"Record {made.table}",
        [
            ("rows", made.rows),
            ("chains", len(made.heads)),
            ("faults", len(made.faults)),
            ("bars missed", sum(gap.bars for gap in made.missed)),
            ("bars absent", f"{sum(gap.bars for gap in made.absent):,} (silver does not have them either)"),
        ],
    )
    for fault in made.faults:
        row = "" if fault.sequence is None else f", row {fault.sequence:,}, bar {fault.datetime}"
        print_error(AuditFault(f"{fault.cause}: {fault.where}{row}: {fault.detail}"))
    for gap in made.missed[:_MOST]:
        print_error(
            AuditFault(f"missed: {gap.chain}: no decision on {counted(gap.bars, 'bar')} from {gap.first} to {gap.last}")
        )
    if len(made.missed) > _MOST:
        say("[dim]and {}: see --json[/]", counted(len(made.missed) - _MOST, "more gap"))
    if made.sound and made.kept:
        say("On record: {}; no row up to there was changed or removed.", counted(made.kept, "kept hash", "kept hashes"))
    elif made.sound:
        say("No sign of a change. Only a hash that you kept can prove more: `hermes record verify --head HASH`.")


def print_reconciled(made: "Reconciled") -> None:
    """The differing bars by cause, the first differences, and the two accounts."""
    causes = made.found.causes
    print_simulated(made.chain.symbol)
    print_facts(
        f"Record and today: {made.chain}",
        [
            ("bars", made.found.bars.height),
            ("the same", made.found.bars["cause"].null_count()),
            *((cause, count) for cause, count in causes.items() if count or cause == "unexplained"),
        ],
    )
    for change in made.found.changes:
        say("{} changed at {}: {} → {}", change.what, change.datetime, change.before, change.after)
    differences = made.found.differences
    if differences.height:
        named = differences.head(_MOST).select("datetime", "cause", "detail").rows()
        print_rows(("bar (UTC)", "cause", "what"), named)
    if differences.height > _MOST:
        say("[dim]and {} more: see --json[/]", differences.height - _MOST)
    if made.tracking:
        _print_tracking(made.tracking)
    if made.unexplained:
        print_error(
            AuditFault(
                f"{made.chain}: {counted(made.unexplained, 'difference')} without a cause",
                "run `hermes record verify`; keep the lake as it is, and report the first of them",
            )
        )


def _print_tracking(found: "Tracking") -> None:
    paper, backtest = found.paper.metrics, found.backtest.metrics
    on_paper, in_backtest = (fixed(each.total_return_pct) for each in (paper, backtest))
    error = "–" if found.error_pct is None else f"{fixed(found.error_pct)} % a year"
    print_facts(
        "Paper account and backtest of the same bars, both filled at the next open",
        [
            ("return", f"{on_paper} % on paper, {in_backtest} % in the backtest"),
            ("trades", f"{paper.trades:,} on paper, {backtest.trades:,} in the backtest"),
            ("tracking error", error),
            *(
                (
                    share.cause,
                    f"{signed(share.return_pct)} points of return, {share.trades:+,} trades,"
                    f" {counted(share.bars, 'bar')}",
                )
                for share in found.shares
                if share.bars
            ),
        ],
    )


def print_exported(made: "Exported") -> None:
    """Where the file is, and how to verify it."""
    say("Wrote {} of {} to {}", counted(made.rows, "row"), counted(made.symbols, "symbol"), made.path)
    for chain, head in made.heads.items():
        say("{}: head {}", chain, head.hash)
