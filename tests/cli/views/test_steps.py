"""What `show` prints of a lineage: values of people's, not Python's."""

from typing import Any

import pytest

from hermes.cli.views.steps import inline


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"side": "long", "stop_loss": None}, "side=long stop_loss=none"),
        ({"name": "test", "columns": ["zscore_20", "obv"]}, "name=test columns=zscore_20,obv"),
        ([["2022-01-18T00:00:00", 1000.0], ["2023-01-01T00:00:00", 10.0]],
         "2022-01-18T00:00:00 1000.0, 2023-01-01T00:00:00 10.0"),
        (["ema_9", "obv"], "ema_9, obv"),
        ([], None), ({}, None), (None, None), (0, 0), ("", ""),
    ],
)  # fmt: skip
def test_values_of_a_lineage_are_shown_on_one_line(value: Any, said: Any):
    assert inline(value) == said
