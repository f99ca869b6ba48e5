"""Columns under trial: beside production, joined by time, incremental, and never read by accident."""

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import polars as pl
import pytest

from hermes.errors import MissingTable, StoreError, TableRefused, UsageError
from hermes.lake.store import Lake
from hermes.market import run_market
from hermes.pipeline import features
from hermes.settings import Settings
from hermes.steps.audit import QUICK_CUTS, audit
from hermes.steps.backtest import backtest
from hermes.steps.feature_tables import promote_features
from hermes.steps.features import features_for_signals, read_features
from hermes.steps.lineage import latest_same
from hermes.steps.portfolio import portfolio
from hermes.steps.query import sql
from hermes.steps.run import RunOptions
from hermes.steps.search.sweep import sweep
from hermes.steps.search.walkforward import walkforward
from hermes.steps.signals import read_signals, signals
from hermes.workers.pool import place

COLUMNS = "zscore_20,ema_50@1d"
TABLE = "gold_features_test_spot_monthly_klines_SIMUSDT_4h"
STRATEGY = """
import polars as pl
from hermes.strategies.base import Strategy

class Reversion(Strategy):
    name = "reversion"
    columns = ("zscore_20", "ema_50@1d")
    look_back = 0

    def conditions(self):
        score, average = pl.col("zscore_20"), pl.col("ema_50@1d")
        return {"is_low": score < -1.5, "is_high": score > 1.5, "is_up": pl.col("close") > average}

    def buy(self):
        return pl.col("is_low") & pl.col("is_up")

    def sell(self):
        return pl.col("is_high")
"""


@pytest.fixture
def load(simulated_lake: Path, tmp_path: Path) -> Callable[..., Settings]:
    for layer in ("silver", "gold", "_hashes"):
        shutil.copytree(simulated_lake / layer, tmp_path / layer)
    (tmp_path / "reversion.py").write_text(STRATEGY)

    def settings(**flags: str) -> Settings:
        named = {name.replace("__", "."): value for name, value in flags.items()}
        given = {"lake.url": f"{tmp_path}/{{layer}}", "dataset.symbol": "SIMUSDT", **named}
        return Settings.load(given, environ={})

    return settings


def hashes(root: Path) -> dict[str, str]:
    return {str(path): sha256(path.read_bytes()).hexdigest() for path in sorted(root.rglob("*.parquet"))}


def test_a_set_is_written_beside_production_and_only_what_changed(load, tmp_path: Path) -> None:
    before = hashes(tmp_path / "gold")
    made = features(load(features__feature_set="test", features__columns=COLUMNS))
    assert made.written
    assert all(key.startswith(f"{TABLE}/") for key in made.written)
    rows = pl.concat([pl.read_parquet(tmp_path / "test" / key) for key in made.written])
    assert rows.columns == ["datetime", "symbol", "timeframe", "zscore_20", "ema_50@1d", "features_version"]
    assert set(rows["features_version"]) == {"1"}
    assert hashes(tmp_path / "gold") == before, "production is untouched"
    assert features(load(features__feature_set="test", features__columns=COLUMNS)).written == []
    again = features(load(features__feature_set="test", features__columns=COLUMNS, features__version="2"))
    assert again.written == made.written


def test_a_strategy_reads_it_and_the_lineage_says_so(load, tmp_path: Path) -> None:
    spec = f"{tmp_path}/reversion.py"
    trial = load(features__feature_set="test", signals__strategy=spec)
    features(load(features__feature_set="test", features__columns=COLUMNS))
    made = signals(trial)
    computed = signals(load(signals__strategy=spec))
    ours, theirs = made.lazy().collect(), computed.lazy().collect()
    same = [name for name in ours.columns if name != "generated_at"]
    assert ours.select(same).equals(theirs.select(same)), "what a set holds is what would be computed"
    lineage = _lineage(made.path)
    assert lineage["feature_set"] == "test"
    assert lineage["trial"]["name"] == "test"
    assert lineage["trial"]["version"] == "1"
    assert lineage["trial"]["columns"] == ["zscore_20", "ema_50@1d"]
    assert lineage["derived_columns"] == []
    assert _lineage(computed.path)["trial"] is None
    assert read_signals(trial).collect().height == ours.height
    assert latest_same(trial, Lake.open(trial)) is not None
    features(load(features__feature_set="test", features__columns=COLUMNS, features__version="2"))
    assert latest_same(trial, Lake.open(trial)) is None, "the set was made again"


def test_every_result_and_page_says_which_set_and_version(load, tmp_path: Path) -> None:
    features(load(features__feature_set="test", features__columns=COLUMNS, features__version="2"))
    own = {"signals__strategy": f"{tmp_path}/reversion.py", "features__feature_set": "test"}
    said = {"feature_set": "test", "features_version": "2"}
    trial, read = load(**own), "Reads feature set test version 2 (zscore_20, ema_50@1d) beside the production features."
    lake = Lake.open(trial)
    tried = sweep(load(**own, account__stop_loss="0.01,0.02"), lake, out=tmp_path / "sweeps")
    walked = walkforward(trial, lake, train="2m", test="1m")
    traded = portfolio([trial], lake)
    for made in (tried, walked, traded):
        assert said.items() <= made.as_json().items()
    for page in ((tried.folder / "sweep.html").read_text(), walked.html, Path(traded.page).read_text()):
        assert read in page
    with place(trial) as threads:
        many = run_market([trial], RunOptions(source="gold", audited=False), threads)
    assert said.items() <= many.done[0].items()
    assert "Reads feature set test version 2 beside the production features." in Path(many.universe.page).read_text()
    query = "select table_name, feature_set, features_version from executions where read_by_default order by 1"
    assert sql(trial, lake, query=query).rows == [
        ("portfolio_reversion_spot_4h", "test", "2"),
        ("signals_reversion_SIMUSDT_4h", "test", "2"),
        ("universe_reversion", "test", "2"),
    ]


def test_production_is_brought_up_to_date_beside_the_set_that_signals_read(load, tmp_path: Path) -> None:
    """What `hermes run` and `hermes live` do with a feature set: a set without columns is only read."""
    chosen = load(features__feature_set="test", features__columns=COLUMNS)
    newest = max((tmp_path / "gold").glob("gold_features_spot_*/year=*/data_0.parquet"))
    for named in (load(features__feature_set="test"), chosen):
        newest.unlink()
        made = features_for_signals(named, Lake.open(named))
        assert newest.is_file()
        assert made.written == [newest.relative_to(tmp_path / "gold").as_posix()]
    assert features(chosen).written == []


def test_the_audit_compares_what_a_set_holds_with_the_bars(load, tmp_path: Path) -> None:
    trial = load(features__feature_set="test", signals__strategy=f"{tmp_path}/reversion.py")
    features(load(features__feature_set="test", features__columns=COLUMNS))
    honest = audit(trial, Lake.open(trial), cuts=QUICK_CUTS).checks["columns"]
    assert honest.verdict == "tested", honest
    assert "zscore_20, ema_50@1d on all" in honest.detail
    for file in (tmp_path / "test").rglob("*.parquet"):
        pl.read_parquet(file).with_columns(pl.col("zscore_20").shift(-1)).write_parquet(file)
    peeks = audit(trial, Lake.open(trial), cuts=QUICK_CUTS).checks["columns"]
    assert peeks.verdict == "fault", peeks
    assert "zscore_20 at " in peeks.detail


def _lineage(path: str) -> dict:
    import json

    return json.loads(pl.read_parquet_metadata(path)["hermes"])


def test_production_never_reads_it_by_accident(load, tmp_path: Path) -> None:
    features(load(features__feature_set="test", features__columns=COLUMNS))
    for file in (tmp_path / "test").rglob("*.parquet"):  # what is under trial is wrong
        pl.read_parquet(file).with_columns(pl.lit(1e9).alias("zscore_20")).write_parquet(file)
    production = backtest(load(signals__strategy=f"{tmp_path}/reversion.py"))
    assert production.frame()["zscore_20"].drop_nulls().to_numpy().max() < 100


def test_a_set_that_lacks_bars_or_is_not_there_is_named(load, tmp_path: Path) -> None:
    trial = load(features__feature_set="test", signals__strategy=f"{tmp_path}/reversion.py")
    with pytest.raises(MissingTable, match=f"layer test has no table {TABLE}"):
        backtest(trial)
    features(load(features__feature_set="test", features__columns=COLUMNS))
    sorted((tmp_path / "test").rglob("*.parquet"))[-1].unlink()
    with pytest.raises(TableRefused, match="has no row for the bar at 2025-01-01 00:00:00"):
        backtest(trial)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("", "the feature set test has no columns"),
        ("ema_12", "ema_12 is a column of the production table"),
        ("zscor_20", "indicator 'zscor_20' is not known"),
        ("ema_50@5h", "bars of 4h do not make whole bars of '5h'"),
    ],
)
def test_columns_that_cannot_be_made_are_refused(load, tmp_path: Path, columns: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        features(load(features__feature_set="test", features__columns=columns))
    assert not (tmp_path / "test").exists()


@pytest.mark.parametrize("name", ["spot", "um", "Test", "a_b", "../x"])
def test_a_set_must_have_a_name_of_its_own(load, name: str) -> None:
    with pytest.raises(UsageError, match="feature set"):
        load(features__feature_set=name)


def test_the_way_from_a_trial_to_production(load, tmp_path: Path) -> None:
    """Try beside production, promote, and production has the same values; until then its files are untouched."""
    trial = load(features__feature_set="test", features__columns=COLUMNS)
    features(trial)
    before = hashes(tmp_path / "gold")
    spec = f"{tmp_path}/reversion.py"
    tried = backtest(load(signals__strategy=spec, features__feature_set="test"))
    assert hashes(tmp_path / "gold") == before
    made = promote_features(trial, columns=["zscore_20", "ema_50@1d"])
    assert made.added == made.columns == ["zscore_20", "ema_50@1d"]
    assert hashes(tmp_path / "gold") == before, "promotion writes no table"
    assert features(load()).written
    assert features(load()).written == []
    production = read_features(load()).collect()
    assert production.columns[-2:] == ["zscore_20", "ema_50@1d"]
    shutil.rmtree(tmp_path / "test")
    found = signals(load(signals__strategy=spec))
    assert found.metrics == tried.metrics
    assert _lineage(found.path)["derived_columns"] == []
    promote_features(trial, columns=["zscore_20"], withdraw=True)
    assert features(load()).written
    assert read_features(load()).collect().columns[-1] == "ema_50@1d"


def test_only_what_is_in_the_set_is_promoted(load, tmp_path: Path) -> None:
    trial = load(features__feature_set="test", features__columns=COLUMNS)
    with pytest.raises(MissingTable, match="layer test has no table"):
        promote_features(trial, columns=["zscore_20"])
    features(trial)
    with pytest.raises(UsageError, match="the feature set test has no column obv"):
        promote_features(trial, columns=["obv"])
    with pytest.raises(UsageError, match="promoted from a feature set"):
        promote_features(load(), columns=["zscore_20"])
    with pytest.raises(MissingTable, match="zscore_20 is not promoted"):
        promote_features(trial, columns=["zscore_20"], withdraw=True)
    (tmp_path / "gold" / "features").mkdir()
    (tmp_path / "gold" / "features" / "promoted.json").write_text("{")
    with pytest.raises(StoreError, match="it is unknown which columns production has"):
        features(load())


MINE = """
from hermes.indicators import indicator
from hermes.indicators.definition import CLOSE

@indicator(look_back=lambda n: n, source="a test")
def mine(n: int):
    '''a formula'''
    return CLOSE.shift(n)
"""


def test_another_definition_of_a_promoted_column_is_refused(load, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(MINE)
    named = {"features__indicators": str(mine)}
    trial = load(features__feature_set="test", features__columns="mine_3", **named)
    features(trial)
    promote_features(trial, columns=["mine_3"])
    assert features(load(**named)).written
    with pytest.raises(UsageError, match=r"promoted column mine_3 is defined by .*, and is unknown here"):
        features(load())
    mine.write_text(MINE.replace("shift(n)", "shift(n + 1)"))
    with pytest.raises(UsageError, match="name that file in"):
        features(load(**named))


def test_sql_and_ls_name_the_set(load, hermes, tmp_path: Path) -> None:
    features(load(features__feature_set="test", features__columns=COLUMNS))
    lake = f"{tmp_path}/{{layer}}"
    names = {each["table"]: each for each in hermes("ls", "--lake", lake, "--json").json["tables"]}
    assert names["features_test_SIMUSDT_4h"]["layer"] == "test"
    said = hermes("sql", 'select count("ema_50@1d") from features_test_SIMUSDT_4h', "--lake", lake, "--json")
    assert said.json["rows"][0][0] > 500
