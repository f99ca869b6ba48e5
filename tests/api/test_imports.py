"""Importing: a name means one thing in any order of imports; nothing heavy early."""

import json
import subprocess
import sys
from inspect import signature
from pathlib import Path

import pytest

import hermes


def told(script: str) -> object:
    """What a fresh interpreter prints as JSON."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_no_public_name_is_a_module_too():
    # Importing a submodule binds it in its package, over whatever had that name.
    package = Path(hermes.__file__).parent
    modules = {path.stem for path in package.glob("*.py")} | {
        path.parent.name for path in package.glob("*/__init__.py")
    }
    assert {"pipeline", "stages"} <= modules
    assert not modules & set(hermes.__all__)


def test_every_name_is_there_and_nothing_heavy_is_loaded_for_it():
    heavy = told(
        "import sys, json, hermes\n"
        "dir(hermes), hermes.HermesError\n"
        "print(json.dumps([name for name in ('polars', 'bokeh', 'duckdb', 'pydantic') if name in sys.modules]))"
    )
    assert heavy == []
    for name in hermes.__all__:
        assert callable(getattr(hermes, name)), name
        assert name in dir(hermes)
    with pytest.raises(AttributeError, match="nonsense"):
        _ = hermes.nonsense


def test_listing_a_lake_loads_no_numpy_and_json_no_rich():
    heavy = told(
        "import sys, json, hermes.steps.query, hermes.cli.views.steps\n"
        "print(json.dumps([name for name in ('duckdb', 'jinja2', 'numpy', 'rich') if name in sys.modules]))"
    )
    assert heavy == []


@pytest.mark.parametrize("name", ["audit", "backtest", "report", "signals"])
def test_the_steps_take_settings_and_say_what_they_do(name: str):
    step = getattr(hermes, name)
    assert next(iter(signature(step).parameters)) == "settings"
    assert step.__doc__
