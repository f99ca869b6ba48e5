"""The lineage of an execution: every field has a role, and what reuse compares are the fields of that role."""

import json
from typing import Any, get_args

import pytest

from hermes.errors import StoreError
from hermes.lineage import Lineage, Role, fields_with
from hermes.settings import Settings
from hermes.steps.production import identity
from hermes.steps.promotion import PINNED

SOURCES = [{"path": "a.parquet", "size": 1, "fingerprint": "f", "version": "v", "rows": 2}]
FOOTER: dict[str, Any] = {
    "hermes": "0.1.0", "python": "3.11", "libraries": {"polars": "2.1"}, "layer": "gold", "dataset": {"symbol": "X"},
    "strategy": "s", "strategy_source": "src", "columns": {}, "derived_columns": [], "parameters": {"n": 1},
    "start": None, "end": None, "backtest": {"fees": 0.1}, "account": {"side": "long"},
    "feature_set": None, "trial": None, "indicators": {"mine_5": "mine.py"},
    "measures_revision": 2, "chunk_rows": 1, "context_rows": 1, "sources": SOURCES,
    "audit": None, "fills": {}, "splits": [], "freshness": {}, "warnings": [],
    "sequence": 1, "rows": 2, "first": "a", "last": "b", "unique_days": 1, "buy_signals": 1,
    "sell_signals": 1, "total_signals": 2, "generated_at": "t", "metrics": {"sharpe": None, "trades": 1},
    "seconds": 0.5,
}  # fmt: skip


def test_every_field_has_a_role():
    roles = {role: fields_with(role) for role in get_args(Role)}
    assert sorted(name for names in roles.values() for name in names) == sorted(Lineage.model_fields)
    assert all(roles.values())


def test_what_makes_executions_alike_is_what_settings_ask_for():
    asked = identity(Settings(), "smart_momentum")
    assert set(PINNED) == set(asked)


@pytest.mark.parametrize("name", sorted(fields_with("input")))
def test_an_input_that_differs_is_seen_and_a_result_is_not(name: str):
    made = Lineage.read(FOOTER, "x")
    others = {"sources": [{**SOURCES[0], "version": "w"}], "indicators": {}, "measures_revision": 1}
    other = others.get(name, "another")
    assert Lineage.read({**FOOTER, name: other}, "x").inputs() != made.inputs()
    assert Lineage.read({**FOOTER, "seconds": 9.0, "rows": 3}, "x").inputs() == made.inputs()
    assert set(made.inputs()) == set(fields_with("input"))


def test_it_comes_back_as_it_was_written_with_what_a_later_hermes_added():
    footer = {**FOOTER, "of_tomorrow": {"a": [1]}}
    assert Lineage.read(json.loads(json.dumps(footer)), "x").as_json().items() >= footer.items()


def test_an_older_execution_has_no_sequence():
    old = {name: value for name, value in FOOTER.items() if name not in ("sequence", "audit")}
    assert Lineage.read(old, "x").sequence == 0


@pytest.mark.parametrize(("footer", "said"), [({}, "no lineage of Hermes"), ({"metrics": {}}, "is incomplete: hermes")])
def test_what_is_no_lineage_is_refused(footer: dict, said: str):
    with pytest.raises(StoreError, match=f"x.*{said}|{said}"):
        Lineage.read(footer, "x")
