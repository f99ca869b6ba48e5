"""What the form of an expression proves, and that it is true: what is proven never depends on later bars."""

from datetime import datetime, timedelta
from itertools import product

import numpy as np
import polars as pl
import polars_talib as ta
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hermes.stages.audit.causality import judge, judge_rules
from hermes.stages.audit.operations import TA_LIB, TA_LIB_WINDOWS
from hermes.strategies.registry import STRATEGIES

CLOSE, OPEN, TIME = pl.col("close"), pl.col("open"), pl.col("datetime")

PROVEN = {
    "a comparison": (CLOSE > OPEN, 0),
    "the bar before": (CLOSE.shift(1) < CLOSE, 1),
    "look-backs add up": (CLOSE.shift(2).rolling_max(5).shift(1), 7),
    "the longest counts": ((CLOSE.shift(3) > 1) & (OPEN.diff(2) > 0), 3),
    "a window": (CLOSE.rolling_mean(20) < CLOSE, 19),
    "filled from a few bars before": (CLOSE.forward_fill(limit=4) > 1, 4),
    "if, then, else": (pl.when(CLOSE > OPEN).then(CLOSE.shift(1)).otherwise(0.5), 1),
    "a range": (CLOSE.is_between(OPEN.shift(2), 10), 2),
    "NaN for null": (CLOSE.fill_nan(None), 0),
    "across columns": (pl.max_horizontal(CLOSE, OPEN.shift(1)) > 3, 1),
    "equal to a whole number": ((CLOSE == 1) | (CLOSE == -100) | CLOSE.eq_missing(None), 0),
    "one of several": (pl.any_horizontal(CLOSE > 1, OPEN > 2), 0),
    "ahead, and back as far": (CLOSE.shift(-3).shift(3), 3),
    "a centred window, moved back": (CLOSE.rolling_mean(5, center=True).shift(2), 6),
    "a window of TA-Lib": (ta.willr(pl.col("high"), pl.col("low"), CLOSE, 14).shift(2) < -80, 15),
    "a window of TA-Lib that may have holes": (ta.mom(CLOSE.shift(1), 10), None),
    "a running sum of TA-Lib": (ta.sma(CLOSE, 10), None),
    "a peak, once the bar after it is over": (CLOSE.peak_max().shift(1), 2),
    "a short distance": (((CLOSE / OPEN - 1).abs() < 0.0005) & (CLOSE - OPEN.shift(2)).abs().is_between(0, 0.5), 2),
    "calculated with round numbers": ((CLOSE / OPEN - 1) * 100 == 5, 0),
    "equal within limits": (CLOSE.is_close(OPEN, abs_tol=0.5) & (CLOSE.shift(1_200) == OPEN), 1_200),
    "a percentage": (CLOSE.pct_change(2).abs().log() > 0.1, 2),
    "an exponential average": (CLOSE.ewm_mean(span=9), None),
    "a running sum": (CLOSE.cum_sum(), None),
    "filled from any bar before": (CLOSE.forward_fill(), None),
    "TA-Lib": (ta.ema(CLOSE, 12), None),
    "one output of TA-Lib": (ta.supertrend(CLOSE, CLOSE, CLOSE, 10, 3.0).struct.field("trend"), None),
}
FAULT = {
    "shift(-1)": CLOSE.shift(-1) > CLOSE,
    "a typed literal": CLOSE.shift(pl.lit(-1, dtype=pl.Int32)),
    "shift_and_fill": CLOSE.shift(-2, fill_value=0),
    "diff(-1)": CLOSE.diff(-1) > 0,
    "pct_change(-1)": CLOSE.pct_change(-1) > 0,
    "center=True": CLOSE.rolling_median(5, center=True),
    "center=True of two": CLOSE.rolling_mean(2, center=True),
    "backward_fill": CLOSE.backward_fill(),
    "backward_fill(limit": CLOSE.backward_fill(limit=1),
    "fill_null(strategy": CLOSE.fill_null(strategy="backward"),
    "interpolate": CLOSE.interpolate(),
    "reverse": CLOSE.reverse(),
    "cum_max(reverse=True)": CLOSE.cum_max(reverse=True),
    "peak_max": CLOSE.peak_max(),
    "not back as far": CLOSE.shift(-3).shift(2),
    "back before it is ahead": CLOSE.shift(5).shift(-3),  # the last bars are null until later ones are there
    "within over": CLOSE.shift(-1).over("symbol"),
    "within an aggregate": CLOSE.shift(-1).max(),
    "a hole filled from far ahead, moved back": pl.when(CLOSE > 3).then(CLOSE).interpolate().shift(5) > 1,
    "only where it matters": (CLOSE < OPEN) | (CLOSE.shift(-1) < CLOSE * 0.9),
}
NOT_PROVEN = {
    "Python function": CLOSE.map_batches(lambda values: values, return_dtype=pl.Float64),
    "datetime": TIME.dt.month() == 3,
    "literal of type Datetime": datetime(2024, 1, 1) < TIME,
    "literal of many values": CLOSE.is_in([1.0, 2.0]),
    "literal of many": pl.lit(pl.Series([1.0, 2.0])) > CLOSE,
    "replace()": TIME.replace({datetime(2024, 1, 1): datetime(2025, 1, 1)}).is_null(),
    "len()": pl.int_range(pl.len()) > 3,
    "whole number": CLOSE.shift(pl.len() - 5),
    "something else": CLOSE.shift(-pl.lit(1)),
    "quantile()": CLOSE.quantile(0.9) < CLOSE,
    "max()": CLOSE.max() == CLOSE,
    "mean": CLOSE.fill_null(strategy="mean"),
    "rank()": CLOSE.rank() > 5,
    "over()": CLOSE.mean().over("symbol"),
    "gather()": CLOSE.gather(pl.int_range(pl.len())),
    "sort_by()": CLOSE.sort_by("open"),
    "explode()": CLOSE.implode().explode(),
    "rolling()": CLOSE.rolling(index_column="datetime", period="3d"),
    "rolling_expr_by()": CLOSE.rolling_mean_by("datetime", "3d"),
    "rolling_map()": CLOSE.rolling_map(lambda values: values.sum(), 3),
    "search_sorted()": CLOSE.search_sorted(3),
    "is_last_distinct()": CLOSE.is_last_distinct(),
    "random()": CLOSE.shuffle(1),
    "as_struct()": pl.struct(CLOSE, OPEN).struct.field("close"),
    "a value equal to 63,123.25": CLOSE == 63_123.25,
    "a value equal to 63,123": pl.lit(63_123) != CLOSE,
    "equal to 7,934.58": CLOSE - 7_934.58 == 0,
    "equal to 7,934.25": pl.when(CLOSE > 1).then((CLOSE / 7_934.25).abs()).otherwise(2) == 1,
    "equal to 7,934.5": CLOSE.is_close(7_934.5),
    "equal to 7,934.375": CLOSE.is_between(7_934.375, 7_934.75),
    "equal to 7,934.625": (7_934.625 - CLOSE).abs() < 0.01,
    "equal to 7,934.125": CLOSE.is_between(7_934.125, 7_934.125),
    "constants": pl.any_horizontal(float(price) == CLOSE for price in range(101)),
    "bytes of literals": CLOSE.is_in(list(range(50_000))),
    "trusted": ta.zlema(CLOSE, 10),
}


@pytest.mark.parametrize("name", PROVEN)
def test_what_looks_back_is_proven_with_its_look_back(name: str) -> None:
    expression, look_back = PROVEN[name]
    found = judge(expression)
    assert (found.verdict, found.look_back, found.reasons) == ("proven", look_back, ())


@pytest.mark.parametrize("name", FAULT)
def test_what_looks_ahead_is_a_fault_unrun(name: str) -> None:
    found = judge(FAULT[name])
    assert found.verdict == "fault"
    assert all("looks at later bars" in reason for reason in found.reasons)
    assert found.reasons


@pytest.mark.parametrize("name", NOT_PROVEN)
def test_what_proves_nothing_is_named(name: str) -> None:
    found = judge(NOT_PROVEN[name])
    assert found.verdict == "not_checked"
    assert any(name in reason for reason in found.reasons), found.reasons


def test_constants_are_counted_over_all_rules() -> None:
    rules = {f"rule_{m}": pl.any_horizontal(float(n + 60 * m) < CLOSE for n in range(60)) for m in range(4)}
    assert all(judge(rule).verdict == "proven" for rule in rules.values())
    found = judge_rules(rules, {}, 0).whole
    assert found.reasons == ("together they hold 240 constants, which could be dates by another name",)


def test_a_python_function_may_take_back_what_it_was_given() -> None:
    """So it is no fault by its form; only tests can tell."""
    back = CLOSE.shift(-1).map_batches(lambda values: values.shift(1), return_dtype=pl.Float64)
    assert judge(back).verdict == "not_checked"


def test_look_backs_add_up_across_conditions() -> None:
    conditions = {"up": CLOSE.shift(3) < CLOSE}
    signals = {"buy": pl.col("up") & pl.col("up").shift(2), "sell": ~pl.col("up")}
    enough, short = judge_rules(conditions, signals, 5), judge_rules(conditions, signals, 4)
    assert (enough.whole.verdict, enough.whole.look_back) == ("proven", 5)
    assert short.whole.verdict == "fault"
    assert short.whole.reasons == ("buy looks back 5 bars, its strategy declares 4",)


def test_unbounded_look_back_is_a_fault_of_rules() -> None:
    found = judge_rules({"above": CLOSE.ewm_mean(span=9) < CLOSE}, {"buy": pl.col("above")}, 5).whole
    assert found.verdict == "fault"
    assert found.look_back is None
    assert "above depends on all bars before" in found.reasons[0]


def test_a_rank_may_look_back_without_end_but_not_ahead() -> None:
    rules = {"above": CLOSE > OPEN}, {"buy": pl.col("above")}, 0
    assert judge_rules(*rules, {"trend": CLOSE / CLOSE.ewm_mean(span=9)}).whole.verdict == "proven"
    assert judge_rules(*rules, {"next": CLOSE.shift(-1)}).whole.reasons == ("rank next: shift(-1) looks at later bars",)
    assert judge_rules(*rules, {"best": CLOSE.rank()}).whole.verdict == "not_checked"


def test_a_fault_goes_before_what_is_not_proven_and_names_its_rule() -> None:
    found = judge_rules({"odd": CLOSE.rank() > 5}, {"buy": pl.col("odd"), "sell": CLOSE.shift(-1) > CLOSE}, 1).whole
    assert found.verdict == "fault"
    assert found.reasons[0] == "sell: shift(-1) looks at later bars"
    assert "odd: rank() compares a bar with all others" in found.reasons


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_shipped_strategies_are_proven(name: str) -> None:
    strategy = STRATEGIES[name]()
    found = judge_rules(strategy.conditions(), {"buy": strategy.buy(), "sell": strategy.sell()}, strategy.look_back)
    assert (found.whole.verdict, found.whole.look_back) == ("proven", strategy.look_back)


# --- the law: what is proven is so ------------------------------------------------------------------------------------

LEAVES = st.sampled_from([CLOSE, OPEN, pl.lit(0.5)])
ONE = st.sampled_from(
    [
        lambda e, n: e.shift(n),
        lambda e, n: e.shift(-n),
        lambda e, n: e.shift(n, fill_value=1.0),
        lambda e, n: e.diff(n),
        lambda e, n: e.pct_change(n),
        lambda e, n: e.rolling_max(n + 1, min_samples=1),
        lambda e, n: e.rolling_min(n + 1),
        lambda e, n: e.rolling_median(n + 1, center=True),
        lambda e, n: e.rolling_max(n + 1, center=True, min_samples=1),
        lambda e, n: e.rolling_quantile(0.3, window_size=n + 1),
        lambda e, n: e.forward_fill(limit=n),
        lambda e, n: e.backward_fill(limit=n),
        lambda e, n: e.fill_null(float(n)),
        lambda e, n: e.fill_null(strategy="zero"),
        lambda e, n: e.cum_max(),
        lambda e, n: e.ewm_mean(span=n + 1),
        lambda e, n: e.abs().clip(0, n),
        lambda e, n: e.interpolate(),
        lambda e, n: (e > n).cast(pl.Float64),
        lambda e, n: e.round(n),
    ]
)
TWO = st.sampled_from(
    [
        lambda a, b: a + b,
        lambda a, b: a - b,
        lambda a, b: (a > b).cast(pl.Float64),
        lambda a, b: pl.when(a > 1).then(a).otherwise(b),
        pl.max_horizontal,
        pl.coalesce,
        lambda a, b: a.is_between(b, 2).cast(pl.Float64),
    ]
)


def _grown(inner: st.SearchStrategy[pl.Expr]) -> st.SearchStrategy[pl.Expr]:
    return st.one_of(
        st.builds(lambda make, e, n: make(e, n), ONE, inner, st.integers(0, 4)),
        st.builds(lambda make, a, b: make(a, b), TWO, inner, inner),
    )


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    """80 bars with holes in them."""
    random = np.random.default_rng(5)
    values = {name: random.normal(1, 1, 80) for name in ("open", "close")}
    return pl.DataFrame(values).with_columns(
        pl.when(pl.Series(random.random(80) > 0.15)).then(pl.col(name)).alias(name) for name in values
    )


@settings(max_examples=400, deadline=None)
@given(expression=st.recursive(LEAVES, _grown, max_leaves=6), cut=st.integers(1, 79))
def test_what_is_proven_depends_on_nothing_but_its_look_back(bars: pl.DataFrame, expression: pl.Expr, cut: int) -> None:
    found = judge(expression)
    if found.verdict != "proven":
        return
    whole = _values(bars, expression)
    assert _values(bars.head(cut), expression).equals(whole.head(cut)), "it depends on later bars"
    if found.look_back is not None and cut >= found.look_back:
        later = _values(bars.slice(cut - found.look_back), expression)
        assert later.slice(found.look_back).equals(whole.slice(cut)), "it depends on bars before its look-back"


ARGUMENTS = [(), (1,), (2,), (-1,), (0,), (0.5,), (OPEN,), (CLOSE, OPEN), ("zero",)]
OPTIONS = [
    {},
    {"strategy": "forward"},
    {"limit": 2},
    {"center": True},
    {"reverse": True},
    {"window_size": 4},
    {"span": 3},
]
UNFIT = {"deserialize", "from_json", "inspect", "map_batches", "map_elements", "meta"}


@pytest.mark.filterwarnings("ignore")  # deprecated ones are tried as well
def test_no_method_of_an_expression_is_proven_that_looks_ahead(bars: pl.DataFrame) -> None:
    """Every method that Polars has, with whatever arguments it takes: what comes to be proven must be so."""
    proven = set()
    for name in set(dir(pl.Expr)) - UNFIT:
        for words, options in product(ARGUMENTS, OPTIONS):
            try:
                expression = getattr(CLOSE, name)(*words, **options)
                found = judge(expression) if isinstance(expression, pl.Expr) else None
                whole = _values(bars, expression) if found and found.verdict == "proven" else None
            except (TypeError, ValueError, AttributeError, OverflowError, pl.exceptions.PolarsError):
                continue
            if found is None or whole is None:
                continue
            proven.add(name)
            for cut in (1, 40, 79):
                assert _values(bars.head(cut), expression).equals(whole.head(cut)), (name, words, options)
            if found.look_back is not None and not found.running:
                later = _values(bars.slice(40 - found.look_back), expression).slice(found.look_back)
                assert later.equals(whole.slice(40)), (name, words, options)
    assert len(proven) > 60
    assert not proven & {"rank", "max", "mean", "reverse", "sort", "over", "map_batches", "unique", "implode"}


def _values(rows: pl.DataFrame, expression: pl.Expr) -> pl.Series:
    return rows.with_columns(value=expression)["value"]


@pytest.fixture(scope="module")
def table() -> pl.DataFrame:
    """300 bars of a random walk."""
    random = np.random.default_rng(7)
    count = 300
    close = 100 * np.exp(np.cumsum(random.normal(0, 0.01, count)))
    opened = np.r_[close[0], close[:-1]]
    return pl.DataFrame(
        {
            "open": opened,
            "high": np.maximum(opened, close) * 1.003,
            "low": np.minimum(opened, close) * 0.997,
            "close": close,
            "volume": random.lognormal(3, 1, count),
        }
    )


@pytest.mark.parametrize("symbol", sorted(TA_LIB))
def test_trusted_functions_of_ta_lib_do_not_look_ahead(symbol: str, table: pl.DataFrame) -> None:
    names = ta_arguments(symbol)
    column = getattr(ta, symbol)(*(pl.col(name) for name in names)).alias("value")
    whole = table.select(column)["value"]
    for cut in (1, 150, 211, *range(250, 260), 299):
        assert table.head(cut).select(column)["value"].equals(whole.head(cut))


@pytest.mark.parametrize("symbol", sorted(TA_LIB_WINDOWS))
def test_windows_of_ta_lib_are_as_long_as_it_is_said(symbol: str, table: pl.DataFrame) -> None:
    column = getattr(ta, symbol)(*(pl.col(name) for name in ta_arguments(symbol)))
    back = judge(column).look_back
    assert back is not None
    whole = table.select(value=column)["value"]
    for row in (back, back + 1, 150, 211, 299):
        assert table.slice(row - back, back + 1).select(value=column)["value"][-1] == whole[row]


def ta_arguments(symbol: str) -> list[str]:
    """Bar columns for the inputs that a function of polars-talib has no default for."""
    import inspect

    inputs = inspect.signature(getattr(ta, symbol)).parameters.items()
    needed = [name for name, each in inputs if each.default is inspect.Parameter.empty]
    return [name if name in ("open", "high", "low", "close", "volume") else "close" for name in needed]


def test_a_plug_in_of_another_library_is_not_trusted(tmp_path) -> None:
    from polars.plugins import register_plugin_function

    fake = tmp_path / "libother.so"
    fake.write_bytes(b"")
    made = register_plugin_function(plugin_path=fake, function_name="ema", args=[CLOSE])
    found = judge(made)
    assert found.verdict == "not_checked"
    assert "none of TA-Lib's" in found.reasons[0]


def test_durations_are_literals_too() -> None:
    assert judge(TIME.diff() > timedelta(hours=5)).verdict == "not_checked"
