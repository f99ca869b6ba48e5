"""Sweep and walk-forward on a lake: each combination is what a backtest says of it, and everything is kept."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from hermes.cli.entry import _exit_code
from hermes.errors import MissingTable, StrategyError, TableRefused, UsageError
from hermes.lake.store import Lake
from hermes.stages.backtest.walk_forward import CHOICES
from hermes.steps.backtest import backtest
from hermes.steps.search.distribute import SHARE
from hermes.steps.search.sweep import Swept
from hermes.steps.search.sweep import sweep as swept
from hermes.steps.search.verdict import walk_verdict
from hermes.steps.search.walkforward import walkforward
from hermes.workers.pool import place

NAMED_LIKE_A_MEASURE = """
import polars as pl
from hermes.strategies.base import Parameters, Strategy

class SharpParameters(Parameters):
    sharpe: int = 1

class Sharp(Strategy):
    name = "sharp"
    parameters_type = SharpParameters
    columns = ("ema_12",)
    look_back = 0

    def conditions(self):
        return {"up": pl.col("close") > pl.col("ema_12")}

    def buy(self):
        return pl.col("up")

    def sell(self):
        return ~pl.col("up")
"""
OWN = "strategy.smart_momentum."
WIDE = {f"{OWN}rsi_low": 30, f"{OWN}rsi_high": 70}


def sweep(*args, min_trades=0, **named) -> Swept:
    """A sweep of the small lake, where few combinations have 30 trades."""
    return swept(*args, min_trades=min_trades, **named)


@pytest.fixture
def opened(simulated_lake, load):
    """Settings and lake, with these flags."""

    def opened(**flags):
        settings = load(simulated_lake, dataset__symbol="SIMUSDT", **flags)
        return settings, Lake.open(settings)

    return opened


def test_every_row_is_a_backtest(opened, tmp_path):
    span = {"signals.start": "2024-11-01", "signals.end": "2025-02-28", "backtest.fill": "next_open", **WIDE}
    grid = {"ema_fast": "9,12", "ema_slow": "20:26:6", "st_multiplier": "2.5,3"}
    made = sweep(*opened(**span, **{OWN + name: text for name, text in grid.items()}), out=tmp_path / "out")
    table = made.tried.table
    assert table.height == 8
    assert table.rows() == pl.read_parquet(made.folder / "trials.parquet").rows()
    assert table.columns == pl.read_csv(made.folder / "trials.csv").columns
    for row in table.iter_rows(named=True):
        alone = backtest(*opened(**span, **{OWN + name: row[name] for name in grid}))
        metrics = alone.as_json()["metrics"]
        del metrics["intervals"]  # of one backtest alone
        assert {name: row[name] for name in metrics} == metrics
    best = made.as_json()["best"]
    assert best["metrics"]["sharpe"] == table["sharpe"].max()
    assert best["fills"]["next_open"] == best["metrics"] and best["fills"]["close"]["fill"] == "close"
    assert made.deflated and made.deflated.sharpe * best["metrics"]["periods_per_year"] ** 0.5 == pytest.approx(
        best["metrics"]["sharpe"]
    )


def test_the_page_asks_nobody_and_warns(opened, tmp_path):
    made = sweep(*opened(**{f"{OWN}ema_fast": "8:20:4", f"{OWN}ema_slow": "12,20,26", **WIDE}), out=tmp_path)
    page = (made.folder / "sweep.html").read_text()
    assert "://" not in page and page.count("<script") == 1 and "src=" not in page
    assert "any skill" not in page and "too few to conclude" in page
    for words in (
        "Simulated market",
        "8 combinations",
        "4 skipped",
        "Deflated Sharpe ratio",
        "backtest overfitting",
        "Above holding with the same exposure",
        "resemble each other",
        "filled at next_open",
    ):
        assert words in page
    assert sorted(each.name for each in tmp_path.iterdir()) == [made.folder.name]
    again = sweep(*opened(**{f"{OWN}ema_fast": "8:20:4", f"{OWN}ema_slow": "12,20,26", **WIDE}), out=tmp_path)
    assert again.folder != made.folder and again.tried.table.equals(made.tried.table)


def test_a_strategy_that_never_trades_has_no_best(opened, tmp_path):
    never = {f"{OWN}rsi_low": "1,2", f"{OWN}rsi_high": 3}
    made = sweep(*opened(**never), out=tmp_path)
    said = made.as_json()
    assert said["trials"] == 2 and said["best"] is None and said["deflated_sharpe"] is None
    walked = walkforward(*opened(**never), train="2m", test="1m").as_json()
    assert [each["parameters"] for each in walked["windows"]] == [None] * 4
    assert walked["luck"] is None and walked["decay_pct"] is None
    assert said["feature_set"] is None and walked["features_version"] is None


def test_random_combinations(opened, tmp_path):
    grid = {f"{OWN}ema_fast": "5:15:1", f"{OWN}ema_slow": "16:60:4"}
    one, same, other = (sweep(*opened(**grid), sample=5, seed=seed, out=tmp_path) for seed in (1, 1, 2))
    assert one.tried.table.height == 5
    assert one.tried.table.equals(same.tried.table) and not one.tried.table.equals(other.tried.table)


def test_what_is_refused(opened, tmp_path, load):
    for wrong, error, said in (
        ({f"{OWN}ema_quick": "1,2"}, StrategyError, "ema_quick"),
        ({f"{OWN}ema_fast": "30:40:5"}, StrategyError, "below ema_slow"),
        ({f"{OWN}ema_fast": "8:20"}, UsageError, "not a range"),
        ({"signals.start": "2030-01-01"}, TableRefused, "no bar from"),
    ):
        with pytest.raises(error, match=said):
            sweep(*opened(**wrong), out=tmp_path)
    with pytest.raises(UsageError, match=f"--by 'luck' is not one of {', '.join(CHOICES)}"):
        walkforward(*opened(), by="luck")
    with pytest.raises(UsageError, match="--take-profit has several values, and all windows are traded on one account"):
        walkforward(*opened(**{"account.take_profit": "0.02,0.04"}))
    nowhere = load(tmp_path, dataset__symbol="SIMUSDT")
    with pytest.raises(MissingTable):
        sweep(nowhere, Lake.open(nowhere), out=tmp_path)


@pytest.mark.parametrize("by", ["sharpe", "total_return_pct"])
def test_later_bars_change_nothing_of_earlier_windows(opened, by):
    grid = {f"{OWN}ema_fast": "6,9,12", f"{OWN}ema_slow": "20,26", f"{OWN}st_multiplier": "2,3", **WIDE}
    whole = walkforward(*opened(**grid), train="2m", test="3w", by=by).as_json()
    part = walkforward(*opened(**grid, **{"signals.end": "2025-02-10"}), train="2m", test="3w", by=by).as_json()
    complete = part["windows"][:-1]
    assert len(complete) >= 2
    assert complete == whole["windows"][: len(complete)]


def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture, folder: Path, *words: str) -> tuple[int, str]:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", ["hermes", *words])
    code = _exit_code()
    return code, capfd.readouterr().out


def test_commands(simulated_lake, monkeypatch, capfd, tmp_path):
    common = ["SIMUSDT", "--lake", f"{simulated_lake}/{{layer}}", "--set", "ema_fast=8,12", "--set", "rsi_low=30"]
    code, out = run(monkeypatch, capfd, tmp_path, "sweep", *common, "--json")
    (found,) = json.loads(out)["datasets"]
    assert code == 0 and found["trials"] == 2
    page = (tmp_path / found["folder"] / "sweep.html").read_text()
    assert page.count("never the best: fewer than 30") == 2
    code, out = run(monkeypatch, capfd, tmp_path, "sweep", *common, "--out", "mine")
    assert code == 0 and "The best 2 of 2" in out and "SIMULATED" in out
    assert "No combination has 30 trades" in out and "too few to conclude" in out
    assert out.partition("trades of the best")[0].count(", too few") == 2, "rows that cannot be the best say so"
    code, out = run(monkeypatch, capfd, tmp_path, "sweep", *common, "--min-trades", "1", "--fees", "0.00075")
    assert code == 0 and "looks better than it is" in out and "0.075 % fees" in out and "Sharpe, next_open" in out
    assert ", too few" not in out
    assert (tmp_path / "mine").is_dir()
    spans = ["--train", "2m", "--test", "1m"]
    code, out = run(monkeypatch, capfd, tmp_path, "walkforward", *common, *spans, "--json", "--anchored")
    (found,) = json.loads(out)["datasets"]
    assert code == 0 and len(found["windows"]) == 4
    assert len({each["train_first"] for each in found["windows"]}) == 1
    code, out = run(monkeypatch, capfd, tmp_path, "walkforward", *common, *spans, "--out", "walk.html")
    page = (tmp_path / "walk.html").read_text()
    assert "Walk forward</p>" in page and "SIMUSDT" in page and "luck test" in page and page.count("charts-json") > 0
    assert run(monkeypatch, capfd, tmp_path, "walkforward", *common, *spans, "--out", "walk.pdf")[0] == 2
    assert code == 0 and "luck test" in out and "flat at the start" in out and "decay of sharpe" in out
    assert "out of sample, close fill" in out and "out of sample, next_open fill" in out
    code, out = run(monkeypatch, capfd, tmp_path, "walkforward", *common[:3], *spans)
    assert code == 0 and "with one combination there is nothing to choose" in out
    assert run(monkeypatch, capfd, tmp_path, "walkforward", *common, "--train", "soon")[0] == 2


@pytest.mark.cluster
def test_workers_measure_what_is_measured_here(opened, tmp_path):
    grid = {f"{OWN}ema_fast": "8:20:1", f"{OWN}ema_slow": "22:26:1", **WIDE}  # more than one share
    here = sweep(*opened(**grid), out=tmp_path)
    settings, lake = opened(**grid)
    with place(settings, workers=2) as where:
        there = sweep(settings, lake, out=tmp_path, where=where)
        walked = walkforward(settings, lake, train="2m", test="1m", where=where).as_json()
    assert len(here.tried.trials) > SHARE
    assert there.tried.table.equals(here.tried.table)
    assert there.deflated == here.deflated and there.overfitting == here.overfitting
    assert walked | {"seconds": 0} == walkforward(*opened(**grid), train="2m", test="1m").as_json() | {"seconds": 0}


def test_decay_is_said_in_words_whatever_the_signs(opened):
    made = walkforward(*opened(**{f"{OWN}ema_fast": "8,12", **WIDE}), train="2m", test="1m")
    for before, after, said in (
        (1.04, 0.26, "1.04 for the best in hindsight, 0.26 out of sample, sold at the same edges: 75 % of it is lost"),
        (1.04, -2.99, "all of it is lost, and more"),
        (1.0, 0.0, "100 % of it is lost"),
        (1.0, 1.5, "nothing is lost"),
        (-0.5, -1.0, "not defined: hindsight gained nothing"),
    ):
        inside, outside = replace(made.found.in_sample, sharpe=before), replace(made.found.out_of_sample, sharpe=after)
        found = replace(made.found, in_sample=inside, out_of_sample=outside)
        assert said in dict(walk_verdict(replace(made, found=found)))["decay of sharpe"]


def test_a_parameter_is_not_called_like_a_measure(opened, tmp_path):
    source = tmp_path / "mine.py"
    source.write_text(NAMED_LIKE_A_MEASURE)
    with pytest.raises(StrategyError, match="'sharpe' has the name of a measure"):
        sweep(*opened(signals__strategy=str(source)), out=tmp_path)


def test_without_several_values_there_is_nothing_to_sweep(opened, tmp_path):
    with pytest.raises(UsageError, match="nothing to sweep: every parameter has one value") as refused:
        sweep(*opened(**WIDE), out=tmp_path)
    assert "--set NAME=8,12,20" in refused.value.cure
    assert not list(tmp_path.iterdir())
    walked = walkforward(*opened(**WIDE), train="2m", test="1m").as_json()
    assert walked["trials"] == 1 and walked["decay_pct"] is None and walked["in_sample"] is not None


ALWAYS = """
import polars as pl
from hermes.strategies.base import Parameters, Strategy

class AlwaysParameters(Parameters):
    dummy: int = 1

class Always(Strategy):
    name = "always"
    parameters_type = AlwaysParameters
    columns = ()
    look_back = 0

    def conditions(self):
        return {"long": pl.col("close") > 0, "never": pl.col("close") < 0}

    def buy(self):
        return pl.col("long")

    def sell(self):
        return pl.col("never")
"""


@pytest.mark.parametrize("fill", ["close", "next_open"])
@pytest.mark.parametrize("fees", [0.001, 0.0])
def test_holding_is_no_skill(opened, tmp_path, fees, fill):
    source = tmp_path / "always.py"
    source.write_text(ALWAYS)
    always = {"signals.strategy": str(source), "strategy.always.dummy": "1,2,3", "backtest.fees": fees}
    always["backtest.fill"] = fill
    made = sweep(*opened(**always), out=tmp_path / "out")
    said = made.as_json()
    assert said["effective_trials"] == pytest.approx(1)
    over = said["deflated_sharpe_over_holding"]
    assert over is None
    page = (made.folder / "sweep.html").read_text()
    assert "nothing left to measure" in page and "skill" not in page
    barred = sweep(*opened(**always), min_trades=30, out=tmp_path / "out").as_json()
    assert barred["best"] is None and barred["barred"] == 3 and barred["deflated_sharpe_over_holding"] is None


def test_trials_that_never_traded_count_as_tries(opened, tmp_path):
    some = {f"{OWN}rsi_low": "30,99", f"{OWN}rsi_high": "70,99.5"}
    made = sweep(*opened(**some), out=tmp_path)
    traded = int((made.tried.table["trades"] > 0).sum())
    assert 0 < traded < made.tried.table.height
    assert made.deflated and made.deflated.trials == made.tried.table.height
