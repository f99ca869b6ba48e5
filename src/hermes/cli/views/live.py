"""The output of `hermes live`: a table that redraws, or one JSON object per line."""

from datetime import datetime, timedelta
from shlex import quote
from typing import Any

from rich.live import Live as RichLive
from rich.table import Table

from hermes.cli.views import console
from hermes.errors import HermesError
from hermes.live.engine import Engine, Round
from hermes.live.loop import Listener
from hermes.live.position import SIDES, SIGNALS
from hermes.live.series import Series
from hermes.live.watcher import Watcher
from hermes.settings import LakeSettings, Settings
from hermes.text import POSITIONS, counted

SHOWN = 40  # datasets in the table; more would not fit


class ViewAndWatcher(Listener):
    """Passes events on to a view and to the watcher (notices and metrics)."""

    def __init__(self, view: Listener, watcher: Watcher) -> None:
        self._view, self._watcher = view, watcher

    def started(self, engine: Engine) -> None:
        """See `Listener`."""
        self._view.started(engine)

    def decided(self, engine: Engine, made: Round) -> None:
        """See `Listener`."""
        self._watcher.decided(engine, made)
        self._view.decided(engine, made)

    def beat(self, engine: Engine, next_close: datetime) -> None:
        """See `Listener`."""
        self._watcher.beat(engine)
        self._view.beat(engine, next_close)

    def trouble(self, error: HermesError) -> None:
        """See `Listener`."""
        self._view.trouble(error)


class Lines(Listener):
    """One JSON object a line on stdout."""

    def started(self, engine: Engine) -> None:
        """Everything is up to date."""
        datasets = [series.dataset.symbol for series in engine.series]
        _line("started", strategy=engine.strategy.name, interval=engine.series[0].dataset.interval, datasets=datasets,
              clock_skew_seconds=round(engine.reader.skew_s, 3))  # fmt: skip

    def decided(self, engine: Engine, made: Round) -> None:
        """A line for each row of the record."""
        signals = [name for name in SIGNALS if name in made.decided.columns]
        names = ["decided_at", "server_time", "kind", "sequence", "market", "datetime", "symbol", "interval",
                 "strategy", "close", *signals, "position", "late", "hash"]  # fmt: skip
        for row in made.decided.select(names).iter_rows(named=True):
            _line(row.pop("kind"), **{name: _json_value(value) for name, value in row.items()})

    def beat(self, engine: Engine, next_close: datetime) -> None:
        """A heartbeat."""
        _line("heartbeat", next_close=_json_value(next_close), clock_skew_seconds=round(engine.reader.skew_s, 3))

    def trouble(self, error: HermesError) -> None:
        """An error after which the work is retried."""
        _line("trouble", error=error.message, cure=error.cure)


class Live(Listener):
    """A table that redraws on a terminal; one line per close elsewhere."""

    def __init__(self) -> None:
        self._live = RichLive(console=console.out(), auto_refresh=False) if console.out().is_terminal else None
        self._trouble = ""
        if self._live:
            self._live.start()

    def close(self) -> None:
        """Keep the last table on the screen."""
        if self._live:
            self._live.stop()

    def started(self, engine: Engine) -> None:
        """Show the current status."""
        if engine.reader.is_clock_off:
            console.print_note(
                f"this machine's clock is {engine.reader.skew_s:+.1f} s off the exchange's; nothing depends on it"
            )
        self._show(engine)

    def decided(self, engine: Engine, made: Round) -> None:
        """Show the decisions of a close."""
        self._trouble = ""
        if self._live:
            self._show(engine)
            return
        for row in made.decided.iter_rows(named=True):
            asked = "".join(f"{side} " for side in SIDES if row.get(f"{side}_signal"))
            late = " (late)" if row["late"] else ""
            again = " (revised)" if row["kind"] == "revision" else ""
            position = POSITIONS.get(row["position"], row["position"])
            bar = f"{_short(row['datetime'].isoformat())} {row['symbol']} closed at {row['close']:,}"
            console.say("{}: {}", bar, f"{asked}{position}{late}{again}")

    def beat(self, engine: Engine, next_close: datetime) -> None:
        """Redraw: ages grow."""
        self._show(engine)

    def trouble(self, error: HermesError) -> None:
        """Show an error after which the work is retried."""
        self._trouble = error.message
        if not self._live:
            console.print_note(f"waiting: {error}")

    def _show(self, engine: Engine) -> None:
        if self._live:
            self._live.update(_table(engine, self._trouble), refresh=True)


def _table(engine: Engine, trouble: str) -> Table:
    now = datetime(1970, 1, 1) + timedelta(microseconds=engine.server_now())
    skew = f", this machine's clock {engine.reader.skew_s:+.1f} s" if engine.reader.is_clock_off else ""
    names = ("symbol", "newest bar", "close", "position", "last signal", "next close in", "record")
    title = f"{engine.strategy.name} on {counted(len(engine.series), 'dataset')}, {now:%Y-%m-%d %H:%M:%S} UTC{skew}"
    rows = [[console.shown(cell) for cell in _row(series, now)] for series in engine.series[:SHOWN]]
    table = console.table_of(list(zip(names, *rows, strict=True)), {names.index("close"), names.index("next close in")})
    table.title, table.title_justify, table.title_style = console.shown(title), "left", "bold"
    if len(engine.series) > SHOWN:
        table.add_row(f"… {len(engine.series) - SHOWN:,} more")
    if trouble:
        table.caption = console.shown(f"waiting: {trouble}")
    return table


def _row(series: Series, now: datetime) -> tuple[str, ...]:
    held, wait = series.held, series.next_close - now
    signal = f"{held.last_signal['side']} {_short(held.last_signal['datetime'])}" if held.last_signal else "–"
    return (
        f"{series.dataset.symbol} {series.dataset.interval}",
        f"{series.newest:%Y-%m-%d %H:%M:%S}",
        f"{series.bars['close'][-1]:,}",
        POSITIONS.get(held.position or 0, str(held.position))
        + (f" since {_short(held.since.isoformat())}" if held.since else ""),
        signal.replace("T", " "),
        str(timedelta(seconds=max(0, round(wait.total_seconds())))),
        f"{series.head.sequence + 1:,} {series.head.hash[:8]}",
    )


def print_demo(symbol: str, seconds: float, speed: float) -> None:
    """Announce the demo."""
    console.print_simulated(symbol)
    said = "Live for {} seconds, on a simulated exchange whose clock runs {} times as fast."
    console.say(said, f"{seconds:g}", f"{speed:,.0f}")


def print_demo_end(settings: Settings) -> None:
    """Sum up the demo, and name the next commands."""
    symbol, lake = settings.dataset.symbol, settings.lake.url
    elsewhere = "" if lake == LakeSettings().url else f" --lake {quote(lake)}"
    console.say("Every decision is on record. Next:")
    for words, what in (
        (f"status {symbol}{elsewhere}", "the current status"),
        (f"record show {symbol}{elsewhere}", "the decisions, when each was made and on which bar"),
        (f"record verify {symbol}{elsewhere}", "checks that none of them was changed"),
        (f"record reconcile {symbol}{elsewhere}", "decides again, and names the cause of each difference"),
        ("live BTCUSDT --interval 4h", "the same on the exchange's real bars; needs the network, but no keys"),
    ):
        console.say("  [bold]hermes {}[/]: {}", words, what)


def print_status(found: list[dict[str, Any]]) -> None:
    """The current status, a row for each dataset."""
    columns = ("symbol", "interval", "strategy", "newest bar", "age", "position", "since", "last signal", "next close",
               "heartbeat")  # fmt: skip
    rows = []
    console.print_simulated(*(each["symbol"] for each in found))
    for each in found:
        signal = each["last_signal"]
        rows.append(
            (
                each["symbol"],
                each["interval"],
                each["strategy"],
                _short(each["newest_bar"]),
                _age(each["age_seconds"]) + (", STALE" if each["stale"] else ""),
                POSITIONS.get(each["position"], "–"),
                _short(each["since"]),
                f"{signal['side']} {_short(signal['datetime'])} at {signal['price']:,}" if signal else "–",
                _short(each["next_close"]),
                _short(each["heartbeat"]),
            )
        )
    console.print_rows(columns, rows, "Status (UTC)", whole=1)


def _short(at: str | None) -> str:
    """A time without the seconds of a full minute."""
    return at[:19].removesuffix(":00").replace("T", " ") if at else "–"


def _age(seconds: float | None) -> str:
    return "–" if seconds is None else str(timedelta(seconds=max(0, round(seconds))))


def _line(event: str, **facts: Any) -> None:
    console.print_json_line({"event": event, **facts})


def _json_value(value: Any) -> Any:
    return f"{value.isoformat()}Z" if isinstance(value, datetime) else value
