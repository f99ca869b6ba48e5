"""An account against holding: every figure as NumPy gives it from the returns themselves."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.stages.backtest.plain_market import bars

from hermes.stages.backtest.account import Account
from hermes.stages.backtest.engine import backtest
from hermes.stages.backtest.holding import CrossMoments, Holding, Timing, timing

TIMES = np.datetime64("2023-01-01", "us") + np.arange(1000) * np.timedelta64(4, "h")


def market(bars: int, seed: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    """Closes, and what holding returned at each."""
    closes = 100 * np.exp(np.cumsum(size * np.random.default_rng(seed).standard_normal(bars)))
    return closes, np.concatenate([[0.0], closes[1:] / closes[:-1] - 1])


def measured(returns: np.ndarray, closes: np.ndarray, exposure: float, block: int) -> tuple[Timing, float]:
    holding, together = Holding(), CrossMoments()
    for begin in range(0, len(closes), block):
        held, own = (
            holding.add(TIMES[begin : begin + block], closes[begin : begin + block], closes[begin : begin + block]),
            returns[begin : begin + block],
        )
        together.add(own[own != 0], held[own != 0])
    return timing(together, holding, exposure), holding.growth(exposure) - 1


@settings(deadline=None)
@given(
    bars=st.integers(3, 400),
    seed=st.integers(0, 10**6),
    size=st.sampled_from([0.001, 0.02, 0.2]),
    exposure=st.floats(0, 1),
    block=st.integers(1, 400),
)
def test_every_figure_is_that_of_the_returns(bars: int, seed: int, size: float, exposure: float, block: int) -> None:
    closes, held = market(bars, seed, size)
    rng = np.random.default_rng(seed + 1)
    own = held * (rng.random(bars) < 0.5) - 0.001 * (rng.random(bars) < 0.2)
    found, matched = measured(own, closes, exposure, block)
    above = own - exposure * held
    assert matched == pytest.approx(np.prod(1 + exposure * held) - 1, rel=1e-8, abs=1e-10)
    assert found.beta == pytest.approx(np.cov(own, held)[0, 1] / held.var(ddof=1), rel=1e-6, abs=1e-9)
    assert found.alpha == pytest.approx(own.mean() - found.beta * held.mean(), rel=1e-6, abs=1e-12)
    if found.sharpe is None:
        assert above.var() <= 2e-8 * ((own**2).mean() + exposure**2 * (held**2).mean()) or above.var() < 1e-29
        return
    away = above - above.mean()
    # What is left after the difference has this share of the digits: a power of it of the third and fourth moment.
    noise = 1e-15 * ((own**2 + held**2).mean() / above.var()) ** 2
    assert found.sharpe == pytest.approx(above.mean() / above.std(ddof=1), rel=1e-6 + noise, abs=1e-9 + noise)
    assert found.skew == pytest.approx(np.mean(away**3) / above.std() ** 3, rel=1e-6 + noise, abs=1e-6 + noise)
    assert found.kurtosis == pytest.approx(np.mean(away**4) / above.std() ** 4, rel=1e-6 + noise)


def test_holding_itself_leaves_nothing_to_measure() -> None:
    closes, held = market(1000, 1, 0.02)
    found, matched = measured(held, closes, 1.0, 300)
    assert (found.sharpe, found.skew, found.kurtosis) == (None, None, None)
    assert found.beta == pytest.approx(1)
    assert matched == pytest.approx(closes[-1] / closes[0] - 1)


def test_holding_that_paid_a_fee_is_below_holding() -> None:
    closes, held = market(1000, 1, 0.02)
    paid = held.copy()
    paid[0] -= 0.001
    found, _ = measured(paid, closes, 1.0, 1000)
    assert found.sharpe == pytest.approx(-1 / np.sqrt(1000), rel=1e-6)


def test_a_market_that_never_moves_has_no_beta() -> None:
    found, matched = measured(np.zeros(50), np.full(50, 7.0), 0.5, 50)
    assert (found.beta, found.alpha, matched, found.sharpe) == (None, None, 0.0, None)


def test_a_short_of_the_same_size_that_would_have_lost_everything_has_no_growth() -> None:
    closes = np.concatenate([np.full(10, 100.0), np.full(10, 100_000.0)])
    holding = Holding()
    holding.add(TIMES[:20], closes, closes)
    assert holding.growth(0.5) == pytest.approx(1 + 0.5 * 999)
    assert holding.growth(-0.5) is None  # 1 - 0.5 x 999
    assert holding.growth(-0.001) == pytest.approx(1 - 0.001 * 999)
    assert holding.growth(-2.5) is None  # the series of the small returns does not reach that far


@pytest.mark.parametrize("share", [-2.0, -1.0, -0.3, 0.5, 1.0])
def test_growth_of_any_share_is_the_product_of_its_bars(share: float) -> None:
    closes, held = market(500, 3, 0.03)
    holding = Holding()
    holding.add(TIMES[:500], closes, closes)
    assert holding.growth(share) == pytest.approx(np.prod(1 + share * held), rel=1e-8)


@pytest.mark.parametrize("fill", ["close", "next_open"])
@pytest.mark.parametrize("fees", [0.0, 0.001])
@pytest.mark.parametrize("later", [0, 1, 2])
def test_holding_however_it_is_written_is_no_skill(fill: str, fees: float, later: int) -> None:
    rng = np.random.default_rng(3)
    closes = 100 * np.exp(np.cumsum(0.002 + 0.01 * rng.standard_normal(2000)))  # rises steadily: that itself is sure
    opens = np.concatenate([closes[:1], closes[:-1]]) * np.exp(0.002 * rng.standard_normal(2000))
    always = np.arange(2000) >= later
    metrics = backtest(bars(opens, closes, always, np.zeros(2000, bool)), "4h", Account(fees=fees, fill=fill)).metrics
    assert metrics.sharpe > 3
    assert metrics.p_value_over_holding is None or metrics.p_value_over_holding > 0.1


@pytest.mark.parametrize(
    ("before", "opened", "jumps"),
    [(0.07, 0.35, 1), (0.35, 0.07, 1), (100.0, 500.0, 1), (1.1, 0.22, 1), (0.07, 0.3499, 0), (0.35, 0.0701, 0)],
)
def test_a_price_jumps_from_exactly_five_times_on(before: float, opened: float, jumps: int) -> None:
    holding = Holding()
    holding.add(TIMES[:2], np.array([before, opened]), np.array([before, opened]))
    assert len(holding.jumps) == jumps
