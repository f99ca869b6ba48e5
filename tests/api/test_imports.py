"""Importing: names that are functions and packages at once, in any order; nothing heavy early."""

import json
import subprocess
import sys
from importlib import import_module
from inspect import signature

import pytest

import hermes

PACKAGES = ("audit", "backtest", "report", "signals")
BELOW = {"audit": "continuity", "backtest": "engine", "report": "page", "signals": "plan"}


def told(script: str) -> object:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    "order",
    [
        "from hermes import {0}; import hermes.{0}.{1}; import hermes",
        "import hermes.{0}.{1}; from hermes import {0}; import hermes",
        "import hermes.{0}.{1} as below; import hermes; {0} = hermes.{0}",
        "import hermes; {0} = hermes.{0}; import hermes.{0}.{1} as below; from hermes.{0} import {1}",
        "import hermes.api; from hermes.pipeline import run; from hermes import {0}; import hermes",
    ],
)
def test_one_name_means_the_same_in_any_order_of_imports(order: str):
    script = "\n".join(
        f"""
{order.format(name, BELOW[name])}
import hermes.{name}.{BELOW[name]} as below
assert {name} is hermes.{name}, '{name}'
assert hermes.{name}.{BELOW[name]} is below
from hermes import api, errors
try:
    {name}()
except TypeError as error:
    assert "settings" in str(error), error
calls = api.{name}
api.{name} = lambda *given, **named: (given, named)
assert {name}(1, lake=2) == ((1,), {{"lake": 2}})
api.{name} = calls
"""
        for name in PACKAGES
    )
    assert told(f"{script}\nprint('true')") is True


def test_every_name_is_there_and_nothing_heavy_is_loaded_for_it():
    heavy = told(
        "import sys, json, hermes\n"
        "dir(hermes), [getattr(hermes, name) for name in ('signals', 'backtest', 'audit', 'report', 'HermesError')]\n"
        "print(json.dumps([name for name in ('polars', 'bokeh', 'duckdb', 'pydantic') if name in sys.modules]))"
    )
    assert heavy == []
    for name in hermes.__all__:
        assert callable(getattr(hermes, name)), name
        assert name in dir(hermes)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hermes.nonsense


@pytest.mark.parametrize("name", PACKAGES)
def test_help_shows_the_function_behind_a_package(name: str):
    behind = getattr(import_module("hermes.api"), name)
    assert signature(getattr(hermes, name)) == signature(behind)
    assert behind.__doc__
    assert f"hermes.api.{name}" in (getattr(hermes, name).__doc__ or "")
