"""Whatever the market, the account and the signals: every figure is printed as a number, and as valid JSON."""

import json
import re
from datetime import datetime, timedelta
from html import unescape

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.cli.views.measures import by_fill, print_measures, print_warnings
from hermes.measures import shown_measures
from hermes.pages import measures as page
from hermes.pages import tables
from hermes.settings import Settings
from hermes.steps.measure import measure_frame
from hermes.steps.warnings import warnings

#: Nothing that Python or NumPy writes for what is no number, no zero below zero, no exponent, no endless row of digits.
NONSENSE = re.compile(
    r"\b(nan|inf|infinity|None)\b|[-\u2212]0(\.0+)?(?![\d.])|\d(\.\d+)?e[+-]?\d|\d{1,3}(,\d{3}){5,}|\d{19,}",
    re.IGNORECASE,
)
SHAPES = {
    "flat": lambda bars, rng: np.ones(bars),
    "walk": lambda bars, rng: np.exp(np.cumsum(rng.normal(0, 0.02, bars))),
    "wild": lambda bars, rng: np.exp(np.cumsum(rng.normal(0, 1.0, bars)).clip(-300, 300)),
    "still": lambda bars, rng: np.exp(np.cumsum(rng.normal(0, 1e-7, bars))),
    "up": lambda bars, rng: 1.2 ** np.arange(bars),
    "down": lambda bars, rng: 0.9 ** np.arange(bars),
    "zigzag": lambda bars, rng: np.where(np.arange(bars) % 2, 3.0, 1.0),
    "jumps": lambda bars, rng: np.exp(np.cumsum(rng.normal(0, 0.01, bars))) * 1000.0 ** (np.arange(bars) // 50 % 2),
}
EVERY = {"1s": timedelta(seconds=1), "1m": timedelta(minutes=1), "4h": timedelta(hours=4), "1w": timedelta(weeks=1)}


@st.composite
def frames(draw) -> tuple[str, pl.DataFrame]:
    """An interval and its bars: any shape of prices from 1e-9 to 1e12, signals from none to always."""
    bars, interval = draw(st.sampled_from([1, 2, 3, 31, 150])), draw(st.sampled_from([*EVERY, "1mo"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    close = draw(st.sampled_from([1e-9, 0.01, 100.0, 1e12])) * SHAPES[draw(st.sampled_from(list(SHAPES)))](bars, rng)
    opens = np.concatenate([close[:1], close[:-1]])
    start, every = datetime(2024, 1, 1), EVERY.get(interval)
    times = [datetime(2000 + at // 12, at % 12 + 1, 1) if every is None else start + every * at for at in range(bars)]
    share = st.sampled_from([0.0, 0.02, 0.4, 1.0])
    columns = {
        "datetime": times, "open": opens, "close": close,
        "high": 1.001 * np.maximum(opens, close), "low": 0.999 * np.minimum(opens, close),
        "buy_signal": rng.random(bars) < draw(share), "sell_signal": rng.random(bars) < draw(share),
    }  # fmt: skip
    return interval, pl.DataFrame(columns)


TERMS = st.fixed_dictionaries(
    {
        "backtest.fees": st.sampled_from([0.0, 1e-6, 0.00075, 0.3]),
        "backtest.initial_cash": st.sampled_from([1e-3, 10_000.0, 1e12]),
        "account.side": st.sampled_from(["long", "short", "both"]),
        "account.size": st.sampled_from(["all", "fraction:0.5", "value:1000", "volatility:0.5"]),
        "account.stop_loss": st.sampled_from([None, 0.05]),
    }
)


@settings(deadline=None, max_examples=60)
@given(frames(), TERMS)
def test_every_figure_is_a_number(market: tuple[str, pl.DataFrame], terms: dict) -> None:
    interval, frame = market
    given_terms = {name: value for name, value in terms.items() if value is not None}
    configured = Settings.load({**given_terms, "dataset.interval": interval}, environ={})
    measured = measure_frame(frame, configured)
    fills = measured.fills
    json.dumps(fills, allow_nan=False)  # raises where one is not finite
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "100")
        said: list[str] = []
        for module in ("hermes.cli.views.measures.print_rows", "hermes.cli.views.measures.say"):
            patch.setattr(module, lambda *words: said.append(repr(words)))
        print_measures(by_fill(fills, "close"), "BTCUSDT")
        print_warnings(warnings(configured.dataset, fills["close"]))
    result = measured.results["close"]
    html = [page.table({**fills, "Holding": fills["close"]}, "USDT"), tables.trades(result.trades, "BTCUSDT")]
    html.append(tables.months(result.monthly, result.yearly))
    for text in (*said, *(_read(str(each)) for each in html)):
        assert not (found := NONSENSE.search(text.replace("1e-8 units", ""))), text[max(0, found.start() - 80) :][:160]


def _read(html: str) -> str:
    return unescape(re.sub(r"<[^>]+>", "\n", html))


def test_command_and_page_show_the_same_digits(capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(5)
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.02, 400)))
    times = [datetime(2024, 1, 1) + timedelta(hours=4) * at for at in range(400)]
    buy, sell = rng.random(400) < 0.1, rng.random(400) < 0.1
    frame = pl.DataFrame({"datetime": times, "open": close, "close": close, "buy_signal": buy, "sell_signal": sell})
    fills = measure_frame(frame, Settings.load({}, environ={})).fills
    print_measures(by_fill(fills, "close"), "BTCUSDT")
    printed = capsys.readouterr().out
    for each in shown_measures():
        value = fills["close"][each.name]
        if value is None or each.unit == "seconds" or each.if_any:
            continue
        text = page.show(each, value).replace("\u202f", " ").replace("\u2212", "-").lstrip("+")
        text = text.lstrip("-") if each.unit == "fall" else text
        (line,) = (line for line in printed.splitlines() if line.strip().startswith(f"{each.label}  "))
        assert text in line, (each.name, text, line)
