"""The audit of a strategy on a lake: what peeks, however rarely, is a fault or is named as not proven; never proven."""

import json
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from hermes import pipeline
from hermes.dataset import Dataset
from hermes.errors import AuditFault, IndicatorFault, StoreError
from hermes.lake.store import Lake, Layer
from hermes.schemas import INDICATORS
from hermes.settings import Settings
from hermes.stages.bronze.simulate import write_archive
from hermes.steps.audit import FULL_CUTS, QUICK_CUTS, Audited
from hermes.strategies.registry import STRATEGIES, find_strategy

DATASET = Dataset(symbol="SIMUSDT")

SOURCE = """\
import polars as pl
from hermes.strategies.base import Parameters, Strategy

C, O, H, V = (pl.col(name) for name in ("close", "open", "high", "volume"))
{before}

class Planted(Strategy):
    name = "planted"
    look_back = 5
    columns = ("donchian_high_20", "donchian_low_10")

    def conditions(self):
        above, below = C > pl.col("donchian_high_20").shift(1), C < pl.col("donchian_low_10").shift(1)
        {within}
        return {{"above": above, "below": below, "planted": {planted}}}

    def buy(self):
        return {buy}

    def sell(self):
        return {sell}
"""

FUNCTION = """
def f(values):
    {body}
"""


def source(planted: str, before: str = "", within: str = "pass", buy: str = "", sell: str = "") -> str:
    buy, sell = buy or 'pl.col("above")', sell or 'pl.col("below") | pl.col("planted")'
    return SOURCE.format(planted=planted, before=before, within=within, buy=buy, sell=sell)


def calling(body: str, before: str = "") -> str:
    """A rule that is a Python function of the closes."""
    return source("C.map_batches(f, return_dtype=pl.Boolean)", before + FUNCTION.format(body=body))


#: Rules that know what comes, most of them only on few bars; what must be said of them, or None for a fault by form.
PLANTED: dict[str, tuple[str, str | None]] = {
    "one bar before each crash": (source("C.shift(-1) < C * 0.97"), None),
    "only at entries": (source("above & (C.shift(-2) > C)", buy='pl.col("planted")', sell='pl.col("below")'), None),
    "only above a price": (source("pl.when(C > 2 * O).then(C.shift(-1) < C).otherwise(False)"), None),
    "centred window": (source("C < C.rolling_mean(5, center=True) * 0.98"), None),
    "backward fill": (source("pl.when(C > O * 1.05).then(C).backward_fill(limit=2) < C"), None),
    "interpolated": (source("pl.when(C > O).then(C).interpolate() < C * 0.97"), None),
    "reversed twice": (source("C.reverse().shift(1).reverse() < C * 0.97"), None),
    "running sum from the end": (source("C.cum_min(reverse=True) < C * 0.5"), None),
    "a peak": (source("H.peak_max() & (C > O * 1.04)"), None),
    "the next day within a group": (source("C.shift(-1).over(V > 9) < C"), None),
    "number of rows": (source("C.cum_count() == pl.len() - 30"), "len()"),
    "shifted by the number of rows": (source("C.shift(30 - pl.len()) < C"), "len()"),
    "quantile of the whole sample": (source("C > C.quantile(0.99)"), "quantile()"),
    "best close of all": (source("C == C.max()"), "max()"),
    "rank of the return": (source("(C / O).rank() < 5"), "rank()"),
    "gathered from later": (source("C.gather((pl.int_range(pl.len()) + 1) % pl.len()) < C * 0.97"), "gather"),
    "sorted by price": (source("C.sort_by(O).shift(1) > C * 3"), "sort_by()"),
    "imploded and exploded": (source("C.implode().explode().head(9).min() * 2 < C"), "explode()"),
    "a window of time ahead": (
        source('C.min().rolling(index_column="datetime", period="8h", offset="0h") < C * 0.97'), "rolling()"
    ),
    "dates known by heart": (
        source('pl.col("datetime").is_in([datetime(2023, 3, 1)])', "from datetime import datetime"), "datetime",
    ),
    "dates as numbers": (source('pl.col("datetime").cast(pl.Int64) == 1677628800000000'), "datetime"),
    "months known by heart": (source('pl.col("datetime").dt.month() == 5'), "datetime"),
    "dates replaced": (
        source('pl.col("datetime").dt.month().replace_strict({3: True}, default=False)'), "replace_strict()"
    ),
    "closes known by heart": (source("C.is_in([31250.0, 28000.5])"), "literal of many values"),
    "a series as literal": (source("pl.lit(pl.Series([True])).first() & (C > O * 1.04)"), "literal of many values"),
    "a hundred constants": (
        source("pl.any_horizontal(C == float(price) for price in range(20_000, 20_150))"), "constants"
    ),
    "a later bar in Python": (calling("return (values.shift(-1) < values * 0.97).fill_null(False)"), "Python function"),
    "scores fitted on everything": (
        calling(
            "return pl.Series(values.to_numpy() > np.mean(values.to_numpy()) * 1.2)", "import numpy as np"
        ),
        "numpy",
    ),
    "the longest frame, kept": (
        calling(
            "LONGEST.append(values) if not LONGEST or len(values) > len(LONGEST[-1]) else None\n"
            "    known = LONGEST[-1]\n"
            "    return (known.shift(-1) < known * 0.97).fill_null(False).head(len(values))", "LONGEST = []"
        ),
        "Python function",
    ),
    "a forward join": (
        calling(
            "rows = pl.DataFrame({'i': range(len(values)), 'c': values})\n"
            "    later = rows.select(pl.col('i') - 1, later='c')\n"
            "    joined = rows.join_asof(later, on='i', strategy='forward')\n"
            "    return (joined['later'] < joined['c'] * 0.97).fill_null(False)"
        ),
        "Python function",
    ),
    "what the command line says": (
        source("(C.shift(1) if 'audit' in sys.argv else C.shift(2)) < C * 0.97", "import sys"), "sys"
    ),
    "what the environment says": (source("C < float(os.environ.get('PRICE', '1'))", "import os"), "os"),
    "a table read when it is loaded": (
        source("C > TOP * 0.99", "TOP = pl.scan_parquet({gold!r}).select(H.max()).collect().item()"), "scan_parquet"
    ),
    "a file of dates": (source("C == float(len(DATES))", "DATES = open(__file__).read()"), "open"),
    "run from text": (source("RULE", "RULE = eval('C.shift(1) > C * 1.05')"), "eval"),
    "a builtin by its name": (
        source("C > READ", "READ = 1.0 if getattr(pl, 'read_' + 'parquet') else 2.0"), "getattr"
    ),
    "other rules the third time": (
        source("C > O * 1.03 if len(CALLS) < 3 else C.shift(-1) < C", "CALLS = []", "CALLS.append(1)"), ".append"
    ),
    "other rules until a generator is used up": (
        source("C > O * 1.03 if any(ONCE) else C.shift(-1) < C", "ONCE = (n for n in [1])"), "iterator"
    ),
    "interpolated, and moved back": (source("pl.when(C > O * 1.03).then(C).interpolate().shift(2) < C"), None),
    "a close known by heart": (source("C - 31250.25 == 0"), "equal to 31,250.25"),
    "other rules the second time": (
        source("C > O * 1.03 if len(CALLS) < 3 else C.shift(-1) < C", "CALLS = []", "CALLS.append(1); CALLS.clear()"),
        ".clear",
    ),
    "a patched judge": (
        source("(C.rank() > 5) & False",
               "import hermes.stages.audit.causality as judge\n"
               "judge.MOST_LITERALS = 9"),
        "hermes.stages.audit.causality",
    ),
    "a patched expression": (
        source("C.shift(1) > C * 1.05", "pl.Expr.shift = pl.Expr.shift"), "sets pl.Expr.shift"
    ),
    "an expression of its own kind": (
        source("C.shift(1) > C * 1.05", "class Mine(pl.Expr):\n    pass"), "made from pl.Expr"
    ),
    "a look-back that is too short": (source("C.shift(9) > C * 1.05"), None),
    "an average within the rules": (source("C > C.ewm_mean(span=200) * 1.2"), None),
}  # fmt: skip


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake with a year of simulated bars up to features."""
    root = tmp_path_factory.mktemp("audited")
    write_archive(root / "archive", DATASET, date(2023, 1, 1), 12, 3)
    settings = Settings.load(flags(root), environ={})
    opened = Lake.open(settings)
    pipeline.ingest(settings, opened)
    pipeline.refine(settings, opened)
    pipeline.features(settings, opened)
    return root


def flags(root: Path, **more: Any) -> dict[str, Any]:
    return {
        "dataset.symbol": DATASET.symbol,
        "archive.url": str(root / "archive"),
        "lake.url": f"{root}/{{layer}}",
        **more,
    }


def features_files(root: Path) -> list[Path]:
    return sorted((root / "gold" / DATASET.features_table).rglob("*.parquet"))


Audit = Callable[..., Audited]


@pytest.fixture
def audit(lake: Path, tmp_path: Path) -> Audit:
    """Audit a shipped strategy by name, or one from its source."""

    def run(strategy: str, cuts: int = QUICK_CUTS, root: Path = lake, **options: Any) -> Audited:
        settings = configured(root, strategy, tmp_path)
        return pipeline.audit(settings, Lake.open(settings), cuts=cuts, **options)

    return run


def configured(root: Path, strategy: str, folder: Path) -> Settings:
    if strategy not in STRATEGIES:
        file = folder / "planted.py"
        file.write_text(strategy.replace("{gold!r}", repr(str(features_files(root)[0]))))
        strategy = str(file)
    return Settings.load(flags(root, **{"signals.strategy": strategy}), environ={})


@pytest.mark.parametrize("name", PLANTED)
def test_what_knows_later_bars_is_never_proven(name: str, audit: Audit) -> None:
    planted, said = PLANTED[name]
    found = audit(planted)
    rules = found.checks["rules"]
    if said is None:
        assert rules.verdict == "fault", rules
        assert found.verdict == "fault"
    else:
        assert rules.verdict in ("fault", "tested"), rules
        assert said in rules.detail
        assert found.verdict != "proven"


@pytest.mark.parametrize("name", STRATEGIES)
@pytest.mark.parametrize("cuts", [QUICK_CUTS, QUICK_CUTS + 1])
def test_the_shipped_strategies_are_proven_and_tested(name: str, cuts: int, audit: Audit) -> None:
    found = audit(name, cuts)
    assert found.faults == []
    assert found.checks["rules"].verdict == "proven"
    assert found.checks["cuts"].verdict == "tested"
    assert found.checks["columns"].verdict in ("tested", "proven")
    assert found.checks["continuity"].verdict == "tested"
    assert found.checks["warm_up"].verdict == ("not_checked" if cuts == QUICK_CUTS else "tested")
    assert found.verdict == "tested"


def test_what_was_found_is_told_where_it_cannot_be_kept(
    audit: Audit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refused(layer: Layer, key: str, content: bytes) -> str:
        raise StoreError(f"{key}: Read-only file system", "choose another folder")

    monkeypatch.setattr(Layer, "write_bytes", refused)
    assert audit(source("C > O * 1.02"), 2).verdict == "tested"  # of which nothing is on record yet
    assert "the verdict is not kept" in caplog.text and "Read-only file system" in caplog.text


def test_a_rule_without_running_anything_but_its_form_is_refused_by_run(lake: Path, tmp_path: Path) -> None:
    settings = configured(lake, PLANTED["one bar before each crash"][0], tmp_path)
    with pytest.raises(AuditFault, match=r"rules: planted: shift\(-1\) looks at later bars"):
        pipeline.run(settings, source="gold", reported=False)
    assert not Lake.open(settings).gold.files(settings.dataset.signals_table("planted"))


def test_cuts_right_after_what_happened_find_what_random_ones_miss(audit: Audit) -> None:
    """The form of a Python function proves nothing, so here it is the cuts alone that find it."""
    rare = calling("return ((values.shift(-1) < values * 0.97) & (values.cum_count() > 20)).fill_null(False)")
    found = audit(rare, cuts=1)
    assert found.checks["cuts"].verdict == "fault"
    assert found.checks["cuts"].detail.startswith("planted at ")
    assert found.checks["rules"].verdict == "fault"
    assert "it calls a Python function" in found.checks["rules"].detail


def test_the_seed_is_new_each_time_and_on_record(audit: Audit) -> None:
    one, other = audit("ma_cross"), audit("ma_cross")
    assert one.seed != other.seed
    assert str(one.seed) in one.checks["cuts"].detail
    assert one.as_json()["seed"] == one.seed
    assert audit("ma_cross", seed=one.seed).checks["cuts"] == one.checks["cuts"]


def test_a_full_audit_cuts_at_every_turn_of_the_position(audit: Audit) -> None:
    quick, full = audit("ma_cross"), audit("ma_cross", FULL_CUTS)
    assert quick.cuts <= QUICK_CUTS + 40
    settings = quick.settings
    turns = pipeline.signals(settings, Lake.open(settings)).lazy().select(pl.col("position").diff() != 0).collect()
    assert full.cuts >= FULL_CUTS + int(turns.to_series().sum())


def test_a_look_back_without_end_is_named_by_both_checks(audit: Audit) -> None:
    found = audit(PLANTED["an average within the rules"][0])
    assert "depends on all bars before" in found.checks["rules"].detail
    assert found.checks["continuity"].verdict == "fault"
    assert "planted" in found.checks["continuity"].detail


def test_only_the_check_that_failed_says_so(audit: Audit) -> None:
    """A rule that is torn by chunks says nothing of later bars: look-ahead was tested, continuity is at fault."""
    found = audit(calling("return values.cum_sum() % 7 > 3.5"))
    assert found.checks["continuity"].verdict == "fault"
    assert found.checks["rules"].verdict == "tested"
    assert found.checks["cuts"].verdict == "tested"
    assert [fault.partition(":")[0] for fault in found.faults] == ["continuity"]


def test_json_has_the_four_words(audit: Audit) -> None:
    made = audit("smart_momentum").as_json()
    assert list(made["checks"]) == ["rules", "cuts", "columns", "warm_up", "continuity"]
    for check in made["checks"].values():
        assert set(check) == {"verdict", "detail"}
        assert check["verdict"] in ("proven", "tested", "fault", "not_checked")
    assert (made["bars"], made["of_bars"]) == (2182, 2182)
    json.dumps(made)


# --- what is stored -------------------------------------------------------------------------------------------------


@pytest.fixture
def foreign(lake: Path, tmp_path: Path) -> Callable[[Callable[[pl.DataFrame], pl.DataFrame]], Path]:
    """A lake with a feature table that another tool wrote: the honest one, changed."""

    def write(change: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
        table = pl.concat([pl.read_parquet(file) for file in features_files(lake)])
        folder = tmp_path / "gold" / DATASET.features_table / "year=2023"
        folder.mkdir(parents=True)
        change(table).write_parquet(folder / "month_1.parquet")
        return tmp_path

    return write


NAMES = ("ema_12", "ema_26", "rsi_14", "supertrend_dir_10_3.0")


def test_a_foreign_table_whose_columns_peek_is_a_fault(audit: Audit, foreign) -> None:
    root = foreign(lambda table: table.with_columns(pl.col(list(INDICATORS)).shift(-1)))
    found = audit("smart_momentum", root=root)
    assert found.checks["columns"].verdict == found.verdict == "fault"
    assert "ema_12 at 2023-" in found.checks["columns"].detail


@pytest.mark.parametrize("name", NAMES)
def test_one_value_that_peeks_is_found(name: str, audit: Audit, foreign) -> None:
    at = pl.int_range(pl.len()) == 1_700
    value = pl.col(name) * -1 if "_dir_" in name else pl.col(name) * 1.001
    root = foreign(lambda table: table.with_columns(pl.when(at).then(value).otherwise(pl.col(name)).alias(name)))
    assert f"{name} at 2023-10-12 16:00:00" in audit("smart_momentum", root=root).checks["columns"].detail


def test_a_foreign_table_that_is_honest_is_tested(audit: Audit, foreign) -> None:
    """32-bit floats, NaN in the warm-up, a direction as a float."""
    root = foreign(
        lambda table: table.with_columns(
            *(pl.col(name).cast(pl.Float32).fill_null(float("nan")) for name in NAMES[:3]),
            pl.col(NAMES[3]).cast(pl.Float64),
        )
    )
    found = audit("smart_momentum", root=root)
    assert (found.checks["columns"].verdict, found.verdict) == ("tested", "tested")


@pytest.mark.parametrize("cuts", [QUICK_CUTS, FULL_CUTS])
@pytest.mark.parametrize("bars", [1, 2, 5])
def test_a_few_bars_are_said_to_be_checked_where_they_were(bars: int, cuts: int, audit: Audit, foreign) -> None:
    found = audit("smart_momentum", cuts, root=foreign(lambda table: table.head(bars)))
    said = {name: check.detail for name, check in found.checks.items()}
    assert said["columns"] == "; ".join(f"{name} has no value" for name in NAMES)
    assert found.checks["warm_up"].verdict == "not_checked"
    assert found.cuts == bars - 1, "a cut that keeps all bars cuts nothing"
    for name in ("cuts", "continuity"):
        assert found.checks[name].verdict == ("tested" if bars > 1 else "not_checked"), said[name]
    assert bars == 1 or f"{bars} bars in chunks of {bars // 2} rows" in said["continuity"]


def test_a_table_cut_out_of_a_longer_one_is_compared_where_its_beginning_shows_no_more(audit: Audit, foreign) -> None:
    found = audit("smart_momentum", root=foreign(lambda table: table.tail(1_500)))
    assert found.checks["columns"].verdict == "tested", found.checks["columns"]
    assert "the table may begin amid its history" in found.checks["columns"].detail
    assert "on all 1,500 bars" not in found.checks["columns"].detail


def test_a_fault_in_a_table_cut_out_of_a_longer_one_is_found(audit: Audit, foreign) -> None:
    late = pl.int_range(pl.len()) == 1_400
    root = foreign(
        lambda table: table.tail(1_500).with_columns(
            ema_12=pl.when(late).then(pl.col("ema_12").shift(-1)).otherwise("ema_12")
        )
    )
    assert audit("smart_momentum", root=root).checks["columns"].verdict == "fault"


def test_extra_columns_that_hermes_can_compute_are_compared(audit: Audit, foreign) -> None:
    high = pl.col("high").rolling_max(20)
    low = pl.col("low").rolling_min(10)
    honest = foreign(lambda table: table.with_columns(donchian_high_20=high, donchian_low_10=low))
    assert audit("donchian_breakout", root=honest).checks["columns"].verdict == "tested"


def test_extra_columns_that_peek_are_a_fault(audit: Audit, foreign) -> None:
    high, low = pl.col("high").rolling_max(20).shift(-1), pl.col("low").rolling_min(10)
    root = foreign(lambda table: table.with_columns(donchian_high_20=high, donchian_low_10=low))
    assert audit("donchian_breakout", root=root).checks["columns"].verdict == "fault"


def test_a_column_that_hermes_cannot_compute_is_not_checked_by_name(audit: Audit, foreign) -> None:
    root = foreign(lambda table: table.with_columns(score=pl.col("close").shift(-1) - pl.col("close")))
    reads = source('pl.col("score") > 0').replace("columns = (", 'columns = ("score", ')
    found = audit(reads, root=root)
    assert found.checks["columns"].verdict == found.verdict == "not_checked"
    assert found.checks["columns"].detail.startswith("score is in the table")
    assert found.checks["rules"].verdict == "proven"
    assert found.faults == []


# --- what a verdict is bound to -----------------------------------------------------------------------------------


def lineage_of(settings: Settings) -> dict[str, Any]:
    made = pipeline.signals(settings, Lake.open(settings))
    return json.loads(Path(made.path.removeprefix("file://")).with_name("run.json").read_text())["audit"]


def test_a_verdict_holds_for_the_same_rules_parameters_and_bars_alone(lake: Path) -> None:
    given = {"signals.strategy": "macd_trend", "strategy.macd_trend.slow": 30}
    settings = Settings.load(flags(lake, **given), environ={})
    assert not lineage_of(settings)
    made = pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert lineage_of(settings)["checks"] == made.as_json()["checks"]
    other = Settings.load(flags(lake, **given, **{"strategy.macd_trend.fast": 11}), environ={})
    assert not lineage_of(other)


def test_a_full_verdict_is_not_replaced_by_a_quick_one_that_ends_the_same(lake: Path) -> None:
    settings = Settings.load(flags(lake, **{"signals.strategy": "bollinger_reversion"}), environ={})
    full = pipeline.audit(settings, Lake.open(settings), cuts=FULL_CUTS)
    pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert lineage_of(settings)["cuts"] == full.cuts


HIDDEN = source("C.map_batches(lambda values: values > 1e9 if LAG else values < 0)", "LAG = 1")


def test_what_python_does_is_bound_to_the_process(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = configured(lake, HIDDEN, tmp_path)
    pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert lineage_of(settings)["checks"]["rules"]["verdict"] == "tested"
    monkeypatch.setattr("hermes.steps.lineage._PROCESS", "another")
    assert not lineage_of(settings)


def test_a_parameter_that_only_python_sees_is_bound_too(lake: Path, tmp_path: Path) -> None:
    """In one process, and with a rule that reads the same written down."""
    hidden = source(
        "C.map_batches(lambda values: values.is_null() if LAG[0] > 0 else values.shift(-1) > values)",
        "LAG = [1]\nclass Lag(Parameters):\n    lag: int = 1",
        "LAG[0] = self.parameters.lag",
    ).replace('    name = "planted"', '    name = "planted"\n    parameters_type = Lag')
    settings = configured(lake, hidden, tmp_path)
    pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert lineage_of(settings)["checks"]["cuts"]["verdict"] == "tested"
    given = {"signals.strategy": settings.signals.strategy, "strategy.planted.lag": -1}
    assert not lineage_of(Settings.load(flags(lake, **given), environ={}))


def test_long_literals_that_print_alike_are_told_apart(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long list is shortened when it is printed; here the environment decides on a number in its middle."""
    known = source("C.is_in([float(n) for n in range(3_000) if str(n) != os.environ['LEFT_OUT']])", "import os")
    settings = configured(lake, known, tmp_path)
    monkeypatch.setenv("LEFT_OUT", "1500")
    pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert lineage_of(settings)["checks"]["rules"]["verdict"] == "tested"
    monkeypatch.setenv("LEFT_OUT", "1501")
    assert not lineage_of(settings)


INDICATOR = """
from typing import Annotated
from hermes.indicators import indicator
from hermes.indicators.definition import CLOSE
from pydantic import Field

@indicator(look_back=lambda n: n, source="a test")
def before(n: Annotated[int, Field(ge=2)]):
    \"\"\"close N bars before\"\"\"
    return CLOSE.shift(n) * 1.0
"""


def test_an_indicator_of_ones_own_is_bound_too(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "before.py"
    file.write_text(INDICATOR)
    reads = source('C > pl.col("before_3")').replace("columns = (", 'columns = ("before_3", ')
    settings = configured(lake, reads, tmp_path)
    given = {"signals.strategy": settings.signals.strategy, "features.indicators": [str(file)]}
    settings = Settings.load(flags(lake, **given), environ={})
    found = pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert found.checks["columns"].verdict == "proven"
    assert lineage_of(settings)["checks"]["columns"]["verdict"] == "proven"
    file.write_text(INDICATOR.replace("* 1.0", "* 1.5"))
    assert not lineage_of(settings)


def test_a_verdict_holds_for_the_same_context_alone(lake: Path, tmp_path: Path) -> None:
    """With enough context any rule is continuous; the next one may have less."""
    settings = configured(lake, source("(C > C.shift(1)).rle_id() % 2 == 0"), tmp_path)
    strategy = {"signals.strategy": settings.signals.strategy}
    wide = Settings.load(flags(lake, **strategy, **{"signals.context_rows": 5_000}), environ={})
    assert pipeline.audit(wide, Lake.open(wide), cuts=QUICK_CUTS).checks["continuity"].verdict == "tested"
    assert lineage_of(wide)
    assert not lineage_of(settings)


def test_what_a_file_of_indicators_imports_is_bound_too(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file stays the same, and what it makes of the bars does not."""
    file = tmp_path / "before.py"
    file.write_text(INDICATOR.replace("* 1.0", "* float(os.environ['FACTOR'])").replace("\n", "\nimport os\n", 1))
    settings = configured(
        lake, source('C > pl.col("before_3")').replace("columns = (", 'columns = ("before_3", '), tmp_path
    )
    given = {"signals.strategy": settings.signals.strategy, "features.indicators": [str(file)]}
    settings = Settings.load(flags(lake, **given), environ={})
    monkeypatch.setenv("FACTOR", "1.0")
    pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert lineage_of(settings)
    monkeypatch.setenv("FACTOR", "1.5")
    assert not lineage_of(settings)


def test_rules_that_read_an_unproven_indicator_are_not_proven(lake: Path, tmp_path: Path) -> None:
    file = tmp_path / "before.py"
    settings = configured(
        lake, source('C > pl.col("before_3")').replace("columns = (", 'columns = ("before_3", '), tmp_path
    )
    given = {"signals.strategy": settings.signals.strategy, "features.indicators": [str(file)]}
    settings = Settings.load(flags(lake, **given), environ={})
    file.write_text(INDICATOR.replace("* 1.0", ".map_batches(lambda values: values)"))
    found = pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert found.checks["rules"].verdict == "tested"
    assert "before_3: it calls a Python function" in found.checks["rules"].detail
    file.write_text(INDICATOR.replace("* 1.0", "* CLOSE.max()"))
    found = pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert found.checks["rules"].verdict == found.checks["cuts"].verdict == "fault"
    assert found.checks["rules"].detail.startswith("before_3 at ")
    file.write_text(INDICATOR.replace("shift(n)", "shift(-n)"))
    with pytest.raises(IndicatorFault, match=r"indicator before_3 looks at later bars: shift\(-3\)") as raised:
        pipeline.run(settings, source="gold")
    assert raised.value.exit_code == AuditFault.exit_code


def test_rules_for_shorts_are_judged_as_well(audit: Audit) -> None:
    shorts = "    def short(self):\n        return {short}\n\n    def cover(self):\n        return pl.col('above')\n"
    honest = source("C > O * 1.03") + "\n" + shorts.format(short="pl.col('below')")
    assert audit(honest).checks["rules"].detail.startswith("7 rules")
    peeks = source("C > O * 1.03") + "\n" + shorts.format(short="C.shift(-1) < C")
    assert "short_signal: shift(-1) looks at later bars" in audit(peeks).checks["rules"].detail


def test_rules_are_asked_for_once(lake: Path, tmp_path: Path) -> None:
    """Of one strategy, whatever it answers the second time."""
    turning = source("C.shift(-1) < C if len(CALLS) > 1 else C < 0", "CALLS = []", "CALLS.append(1)")
    strategy = find_strategy(configured(lake, turning, tmp_path).signals.strategy).make({})
    assert strategy.conditions()["planted"].meta.eq(strategy.conditions()["planted"])


def test_a_run_refuses_other_rules_than_those_that_it_audited(lake: Path, tmp_path: Path) -> None:
    """A strategy is made once for the audit and once for the signals: honest when first asked, it peeks later."""
    turning = source("C.shift(-1) < C if len(CALLS) > 1 else C.shift(1) < C", "CALLS = []", "CALLS.append(1)")
    settings = configured(lake, turning.replace('"planted"', '"turning"'), tmp_path)
    with pytest.raises(AuditFault, match="turning gives another 'turning' than the one that was audited"):
        pipeline.run(settings, source="gold", reported=False)
    assert not Lake.open(settings).gold.files(settings.dataset.signals_table("turning"))


RANKS = "    def ranks(self):\n        return {{'r': {rank}}}\n"


def test_ranks_are_judged_and_cut_as_well(audit: Audit) -> None:
    ranked = source("C > O * 1.03") + "\n"
    assert "rank r: shift(-1) looks" in audit(ranked + RANKS.format(rank="C.shift(-1) / C")).checks["rules"].detail
    best = audit(ranked + RANKS.format(rank="C / C.max()"))
    assert best.checks["cuts"].detail.startswith("rank r at ")
    assert best.checks["rules"].verdict == "fault"
    assert "rank r: max() is a figure of the whole column" in best.checks["rules"].detail
    assert audit(ranked + RANKS.format(rank="C.ewm_mean(span=9)")).verdict == "tested"


@pytest.mark.parametrize("name", STRATEGIES)
def test_no_false_alarm_on_the_real_bars(name: str, real_copy: Path, load: Callable[..., Settings]) -> None:
    settings = load(real_copy, signals__strategy=name)
    found = pipeline.audit(settings, Lake.open(settings), cuts=QUICK_CUTS)
    assert found.faults == []
    assert found.checks["rules"].verdict == "proven"
