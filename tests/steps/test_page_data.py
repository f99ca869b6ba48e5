"""A page confirms the measures in a file's footer, except those whose formulas have changed since."""

from types import SimpleNamespace
from typing import Any

import pytest

from hermes.errors import StoreError
from hermes.lineage import Lineage
from hermes.measures import REVISED, REVISION, revised_since
from hermes.steps.page_data import _check

FOUND = {"elapsed_days": 402.0, "total_return_pct": 1.5, "cagr_pct": 1.3, "sharpe_over_holding": 0.2, "trades": 40}


def check(stamped: dict[str, Any], revision: int = REVISION) -> None:
    measured: Any = SimpleNamespace(metrics=SimpleNamespace(as_dict=lambda: FOUND))
    _check(Lineage.model_construct(metrics=stamped, measures_revision=revision), "signals.parquet", measured)


def test_a_measure_of_an_older_formula_is_no_fault():
    check(FOUND)
    check(FOUND | {"sharpe_over_holding": 0.3}, revision=1)
    by_bars = {name: value for name, value in FOUND.items() if name != "elapsed_days"}
    check(by_bars | {"cagr_pct": 9.9, "sharpe_over_holding": 0.3}, revision=1)


@pytest.mark.parametrize(
    ("name", "revision"),
    [("total_return_pct", 1), ("cagr_pct", 1), ("trades", 1), ("sharpe_over_holding", REVISION)],
)
def test_any_other_difference_is_a_fault(name: str, revision: int):
    with pytest.raises(StoreError, match=f"is stamped {name} 7"):
        check(FOUND | {name: 7}, revision)


def test_a_revision_counts_for_all_that_came_before_it():
    assert revised_since(REVISION) == frozenset()
    assert revised_since(0) == frozenset().union(*REVISED.values())
