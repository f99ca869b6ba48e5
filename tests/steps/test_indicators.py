"""Indicators of one's own are judged by construction: a look at later bars is refused, what proves nothing is named."""

from pathlib import Path

import pytest

from hermes.errors import IndicatorError
from hermes.indicators.registry import known_indicators
from hermes.settings import Settings
from hermes.steps.indicators import doubts, listed

HEAD = """
import polars as pl
from hermes.indicators import indicator
from hermes.indicators.definition import CLOSE

@indicator(look_back=lambda n: n, source="a test")
def mine(n: int) -> pl.Expr:
    \"\"\"what the test writes\"\"\"
    return """


def known(tmp_path: Path, expression: str):
    path = tmp_path / "mine.py"
    path.write_text(HEAD + expression + "\n")
    return known_indicators([str(path)])


@pytest.mark.parametrize(
    "expression",
    [
        "CLOSE.shift(-n)",
        "CLOSE.rolling_mean(n, center=True)",
        "CLOSE.fill_null(strategy='backward')",
        "CLOSE.reverse()",
        "CLOSE / CLOSE.shift(n) + (CLOSE.shift(-1) - CLOSE)",
    ],
)
def test_a_look_ahead_is_refused_without_running(tmp_path: Path, expression: str) -> None:
    with pytest.raises(IndicatorError, match="indicator mine_5@1d looks at later bars"):
        doubts(["mine_5@1d"], known(tmp_path, expression))


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("CLOSE - CLOSE.mean()", "mine_5: "),
        ("CLOSE.map_batches(lambda s: s)", "mine_5: "),
        ("CLOSE * len(__import__('os').listdir('.'))", "mine_5: "),
    ],
)
def test_what_proves_nothing_is_named(tmp_path: Path, expression: str, reason: str) -> None:
    found = doubts(["mine_5"], known(tmp_path, expression))
    assert found
    assert all(each.startswith(reason) for each in found)


def test_an_honest_one_is_proven(tmp_path: Path) -> None:
    assert doubts(["mine_5", "ema_20", "sma_3@1w"], known(tmp_path, "CLOSE / CLOSE.shift(n)")) == []


def test_every_shipped_indicator_is_proven() -> None:
    found = listed(Settings.load())
    assert len(found) > 20
    assert {each["verdict"] for each in found} == {"proven"}
    assert {"supertrend_dir", "obv", "zscore"} <= {each["name"] for each in found}
    assert next(each for each in found if each["name"] == "macd")["example"] == "macd_12_19_26"
