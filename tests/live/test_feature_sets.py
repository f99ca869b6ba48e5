"""A feature set with an indicator of one's own, also of a longer interval: live decides what the archive decides."""

from pathlib import Path

import polars as pl
import pytest
from tests.live import live_market
from tests.live.live_market import archive_alone, decided, market

from hermes.errors import AuditFault, HermesError, IndicatorError, UsageError
from hermes.steps.feature_tables import promote_features
from hermes.steps.production import find_execution
from hermes.steps.promotion import promote
from hermes.steps.signals import read_signals

INDICATOR = """
from typing import Annotated
import polars as pl
from hermes.indicators import indicator
from hermes.indicators.definition import CLOSE
from hermes.indicators.shipped import atr, ema
from pydantic import Field

@indicator(look_back=lambda n: 0, source="distance to an EMA, in multiples of the ATR")
def stretch(n: Annotated[int, Field(ge=2)]) -> pl.Expr:
    '''(close - EMA over N) / ATR over N'''
    return (CLOSE - ema(n)) / atr(n)
"""
STRATEGY = """
import polars as pl
from hermes.strategies.base import Strategy

class Stretched(Strategy):
    name = "stretched"
    columns = ("stretch_5@1d", "stretch_5", "ema_12")
    look_back = 1

    def conditions(self):
        own = pl.col("stretch_5")
        return {"is_wide": pl.col("stretch_5@1d").abs() > 0.2, "is_up": own > own.shift(1)}

    def buy(self):
        return pl.col("is_wide") & pl.col("is_up")

    def sell(self):
        return ~pl.col("is_up")
"""
COLUMNS = ["datetime", "stretch_5@1d", "stretch_5", "is_wide", "is_up", "buy_signal", "sell_signal", "position"]
STEP = 14_400


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "own.py").write_text(INDICATOR)
    (tmp_path / "rules.py").write_text(STRATEGY)
    return {
        "signals.strategy": f"{tmp_path}/rules.py",
        "features.indicators": f"{tmp_path}/own.py",
        "features.feature_set": "test",
        "features.columns": "stretch_5@1d,stretch_5",
    }


def test_live_is_replay_is_archive(tmp_path: Path, flags: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_market, "STRATEGY", "stretched")
    with market(tmp_path, 80, 15, interval="4h", flags=flags) as live:
        live.run(4 * STEP + 60)
        settings, lake = live.tasks[0], live.lake
        first = find_execution(settings, lake)
        promote(settings, lake, execution=first.name)
        live.clock.move(4 * STEP)
        live.run(STEP + 60)
        over = [bar for bar in live.bars[live.dataset.symbol] if bar.end <= live.server.now()]
        alone, record = archive_alone(tmp_path, settings, over)["signals"], decided(live.record())
        assert record.height == 10 and record["stretch_5@1d"].n_unique() >= 2
        assert record["buy_signal"].any() and record["sell_signal"].any()
        assert record.select(COLUMNS).equals(alone.filter(pl.col("datetime") >= record["datetime"][0]).select(COLUMNS))
        made = find_execution(settings, lake)
        assert made.name > first.name, "what production reads follows what was promoted"
        assert made.lineage["trial"]["columns"] == ["stretch_5@1d", "stretch_5"]
        assert read_signals(settings, lake).drop("generated_at").collect().equals(alone)

        promote_features(settings, lake, columns=["stretch_5@1d", "stretch_5"])
        production = settings.features.model_copy(update={"feature_set": "", "columns": ()})
        live.tasks[0] = settings.model_copy(update={"features": production})
        live.run(STEP + 60)
        assert decided(live.record()).height == 11
        over = [bar for bar in live.bars[live.dataset.symbol] if bar.end <= live.server.now()]
        alone = archive_alone(tmp_path / "later", live.tasks[0], over)["signals"]
        assert decided(live.record())[-1].select(COLUMNS).equals(alone[-1].select(COLUMNS))

        (tmp_path / "own.py").write_text(INDICATOR.replace("CLOSE - ema(n)", "ema(n) - CLOSE"))
        with pytest.raises(UsageError, match="the promoted column stretch_5@1d is defined by"):
            live.run(60)
        assert decided(live.record()).height == 11, "decided by another definition than what is promoted"


@pytest.mark.parametrize(
    ("file", "before", "after", "error", "said"),
    [
        ("rules.py", ".abs() > 0.2", ".shift(-1) > 0", AuditFault, "stretched: is_wide"),
        ("rules.py", ".abs() > 0.2", ".cum_sum() > 0", AuditFault, "stretched: is_wide"),
        ("own.py", "(CLOSE - ema(n))", "(CLOSE.shift(-1) - ema(n))", IndicatorError, "looks at later bars"),
        ("rules.py", "look_back = 1", "look_back = 5_000", UsageError, "set signals.context_rows to 5000 or more"),
    ],
)
def test_what_no_later_run_could_repeat_is_refused_before_anything_is_on_record(
    tmp_path: Path, flags: dict[str, str], file: str, before: str, after: str, error: type[HermesError], said: str
) -> None:
    path = tmp_path / file
    path.write_text(path.read_text().replace(before, after))
    with market(tmp_path, 60, 2, interval="4h", flags=flags) as live:
        with pytest.raises(error, match=said):
            live.run(60)
        assert not live.lake.gold.files("")


def test_a_feature_set_without_columns_cannot_follow_and_says_so(tmp_path: Path, flags: dict[str, str]) -> None:
    with (
        market(tmp_path, 60, 2, interval="4h", flags={**flags, "features.columns": ""}) as live,
        pytest.raises(UsageError, match="the feature set test has no columns"),
    ):
        live.run(60)
