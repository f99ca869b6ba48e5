"""The commands for live signals: decide on bars as they close, and show the current status."""
# ruff: noqa: PLC0415 (heavy imports wait until a command runs)

import os
import signal
import socket
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, date, datetime
from pathlib import Path
from threading import Thread
from time import sleep
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from hermes.cli import RERUN
from hermes.cli.command import Invocation, command
from hermes.cli.options import COLUMNS, STRATEGY, Flag
from hermes.errors import AuditFault, HermesError, UsageError

if TYPE_CHECKING:
    from hermes.lake.store import Lake
    from hermes.live.clock import Clock
    from hermes.settings import Settings

Once = Annotated[
    bool, typer.Option("--once", help="Decide on everything that has closed, bring the lake up to date, and exit.")
]
Until = Annotated[str | None, typer.Option(help="Run until this time (UTC), like 2026-01-31T12:00.")]
DemoLive = Annotated[
    bool,
    typer.Option("--live", help="Then decide on its bars as they close, about a thousand times faster than real time."),
]
DemoSeconds = Annotated[float | None, typer.Option("--seconds", min=1, help="How long --live runs; default: 60.")]
LIVE = (
    Flag("--stream", "live.stream", bool, "Let a websocket wake the reader at each close (extra live)."),
    Flag(
        "--consolidate",
        "live.consolidate",
        Literal["auto", "close", "hourly", "never"],
        "When to update the tables after the decisions.",
    ),
)
CLOSE_EVERY_S = 2.0  # of the demo: a bar of any length takes so long
TERMINATED_S = 0.8  # after SIGTERM; what is not done by then is not needed: nothing is ever half published


class Terminated(KeyboardInterrupt):
    """SIGTERM: a scheduler asks the process to end."""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""

    @command(
        app,
        "live BTCUSDT --interval 4h",
        "live BTCUSDT ETHUSDT --interval 1h --strategy macd_trend --stream",
        "live BTCUSDT --once",
        "live BTCUSDT --json --until 2026-01-31T12:00",
        flags=(*LIVE, *STRATEGY, *COLUMNS),
    )
    def live(line: Invocation, once: Once = False, until: Until = None) -> None:
        """Decide on bars as they close, and put every decision on record; runs until it is stopped.

        It catches up first: bars that closed meanwhile are read from the exchange, and decided on late. Then it sleeps
        to the next close. Tables are brought up to date after the decisions. --json prints one JSON object per line.
        """
        from hermes.lake.store import Lake

        if once and until:
            raise UsageError("--once cannot be combined with --until", "use one of them")
        end = _instant(until) if until else None
        tasks = [line.settings(symbol) for symbol in dict.fromkeys(line.symbols) or [None]]
        if tasks[0].signals.end:
            raise UsageError("signals.end is set, but live decides on bars after it, too", "remove it")
        stay(tasks, Lake.open(tasks[0]), as_json=line.json, once=once, until=end)

    @command(app, "status", "status BTCUSDT --interval 4h --json", flags=STRATEGY)
    def status(line: Invocation) -> None:
        """Show the current status: newest bar, its age, position, last signal, heartbeat; exit 3 if a bar is stale.

        Without symbols: every dataset of the market and interval that has signals or decisions of the strategy.
        """
        from hermes.cli.views import console
        from hermes.lake.store import Lake
        from hermes.live.status import known_symbols, records
        from hermes.live.status import status as status_of

        settings = line.settings()
        lake = Lake.open(settings)
        symbols = line.symbols or known_symbols(settings, lake) or [settings.dataset.symbol]
        found, failed = [], []
        known = records(settings, lake, symbols)
        for symbol in symbols:
            try:
                own = line.settings(symbol)
                found.append(status_of(own, lake, record=known.get(own.dataset.symbol)))
            except HermesError as error:
                failed.append((symbol, error))
                console.print_error(error, f"{symbol}: " if len(symbols) > 1 else "")
        if line.json:
            errors = [{"symbol": symbol, "error": error.message, "cure": error.cure} for symbol, error in failed]
            console.print_json({"datasets": found, **({"errors": errors} if errors else {})})
        elif found:
            from hermes.cli.views import live as views  # it loads all of a live process

            views.print_status(found)
        if failed:
            raise typer.Exit(failed[0][1].exit_code if len(symbols) == 1 else 1)
        if any(each["stale"] for each in found):
            raise typer.Exit(AuditFault.exit_code)


def stay(
    tasks: "Sequence[Settings]",
    lake: "Lake",
    *,
    as_json: bool,
    once: bool = False,
    until: int | None = None,
    clock: "Clock | None" = None,
) -> None:
    """Run the live service until it is stopped or reaches `until`."""
    from hermes.cli.views import console
    from hermes.cli.views import live as views
    from hermes.live.engine import Engine
    from hermes.live.exchange import Exchange
    from hermes.live.loop import Loop
    from hermes.live.watcher import Watcher

    more_files()
    exchange = Exchange(tasks[0].dataset.market, tasks[0].live, clock)
    terminated = False
    with ExitStack() as stack:
        stack.callback(exchange.close)
        stack.enter_context(ends_soon())
        try:
            engine = Engine.start(tasks, lake, exchange, stack, console.Bars())
            for symbol, error in engine.refused.items():
                console.print_error(error, f"{symbol}: ")
            by_symbol = {series.dataset.symbol: series.settings for series in engine.series}
            watcher = Watcher(by_symbol, lake, engine.strategy.name)
            stack.callback(watcher.close)
            view = views.Lines() if as_json else views.Live()
            stack.callback(view.close)
            loop = Loop(engine, views.ViewAndWatcher(view, watcher))
            if tasks[0].live.stream:
                from hermes.live.stream import Stream

                stack.enter_context(Stream(tasks, loop.woken))
            try:
                loop.once() if once else loop.run(until)
            finally:
                loop.end()
        except Terminated:
            terminated = True
        refused = bool(engine.refused) if not terminated else False
    if terminated:
        console.print_note(f"stopped: {RERUN}")
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # a thread of Polars may still be on its way, and would abort the process
    if refused:
        raise typer.Exit(1)


def show(settings: "Settings", start: date, months: int, seconds: float, *, as_json: bool) -> None:
    """Continue live where the demo's archive ends, on a simulated exchange whose clock runs fast."""
    from tempfile import TemporaryDirectory

    from hermes.cli.views import live as views
    from hermes.lake.store import Lake
    from hermes.live.status import newest_bar
    from hermes.stages.bronze.simulate import write_archive
    from hermes.testing.clock import FastClock
    from hermes.testing.exchange import SimulatedExchange, recorded

    step = settings.dataset.interval_seconds
    newest, _ = newest_bar(settings.dataset, Lake.open(settings))  # of the archive, or of an earlier demo
    assert newest
    clock = FastClock(newest.replace(tzinfo=UTC).timestamp() + step + 60, speed=step / CLOSE_EVERY_S)
    more = (newest.year - start.year) * 12 + newest.month - start.month + 3 - months
    with TemporaryDirectory() as folder:
        write_archive(Path(folder), settings.dataset, start, months + more)
        bars = list(recorded(Path(folder), settings.dataset))
    with SimulatedExchange(clock, listing_s=1.0) as exchange:
        exchange.limit = 1_000_000  # its minutes are over in no time
        exchange.add(settings.dataset, bars)
        live = settings.live.model_copy(update={"url": exchange.url, "poll_seconds": 600.0})
        record = settings.record.model_copy(update={"late_seconds": float(step)})
        own = settings.model_copy(update={"live": live, "record": record})
        until = round((clock.time() + seconds * clock.speed) * 1_000_000)
        if not as_json:
            views.print_demo(own.dataset.symbol, seconds, clock.speed)
        stay([own], Lake.open(own), as_json=as_json, until=until, clock=clock)
    if not as_json:
        views.print_demo_end(own)


@contextmanager
def ends_soon() -> Iterator[None]:
    """End this process within a second of SIGTERM, even while the main thread is inside a library."""

    def terminate(*_: Any) -> None:
        raise Terminated

    ours, theirs = socket.socketpair()
    theirs.setblocking(False)

    def watch() -> None:
        while number := ours.recv(1):
            if number[0] == signal.SIGTERM:
                sleep(TERMINATED_S)
                os._exit(0)  # all that was published is whole; what was staged is swept by the next run
            elif wakeup >= 0:
                os.write(wakeup, number)

    before = signal.signal(signal.SIGTERM, terminate)
    wakeup = signal.set_wakeup_fd(theirs.fileno())
    Thread(target=watch, daemon=True, name="hermes-terminator").start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(wakeup)
        signal.signal(signal.SIGTERM, before)
        theirs.close()


def more_files() -> None:
    """Raise the limit of open files to the maximum: every dataset holds a lock, which is an open file."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _instant(text: str) -> int:
    """An instant as microseconds since 1970; without an offset it is UTC."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"--until {text!r} is not a time", "write it like 2026-01-31T12:00") from None
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1_000_000)
