"""Strategies by name, from entry points and from files: what is found, and one clear line for what is not."""

import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from hermes.errors import HermesError, SettingsError, StrategyError
from hermes.settings import Settings
from hermes.strategies import STRATEGIES, find_strategy, make_strategy, strategy_name
from hermes.strategies.registry import listed

MINE = '''
import polars as pl
from pydantic import Field
from hermes.strategies.base import Parameters, Strategy

class Chosen(Parameters):
    window: int = Field(default=20, ge=2)

class Breakout(Strategy):
    """Mine."""
    name = "my_breakout"
    parameters_type = Chosen
    @property
    def columns(self): return (f"donchian_high_{self.parameters.window}",)
    look_back = 1
    def conditions(self): return {"out": pl.col("close") > pl.col(self.columns[0]).shift(1)}
    def buy(self): return pl.col("out")
    def sell(self): return ~pl.col("out")
'''

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str = MINE, name: str = "mine.py") -> Path:
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return write


def refused(spec: object) -> str:
    with pytest.raises(StrategyError) as error:
        find_strategy(str(spec))
    assert error.value.cure
    assert "\n" not in str(error.value)
    return str(error.value)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_file_with_one_strategy_needs_no_class(write: Write):
    path = write()
    for spec in (f"{path}:Breakout", str(path)):
        made = make_strategy(spec, {"window": "30"})
        assert (made.name, made.columns) == ("my_breakout", ("donchian_high_30",))
        assert strategy_name(spec) == "my_breakout"
    assert find_strategy(str(path)).kind is find_strategy(f"{path}:Breakout").kind
    assert str(path) in find_strategy(str(path)).source


def test_a_file_that_changes_is_loaded_again(write: Write):
    assert make_strategy(str(write()), {}).parameters.window == 20
    assert make_strategy(str(write(MINE.replace("=20", "=40"))), {}).parameters.window == 40


def test_several_strategies_in_one_file(write: Write):
    path = write(MINE + MINE.replace("Breakout", "Other").replace("my_breakout", "other"))
    assert refused(path) == f"{path} defines 2 strategies, not one → write {path}:Breakout or :Other"
    assert strategy_name(f"{path}:Other") == "other"


@pytest.mark.parametrize(
    ("text", "suffix", "said"),
    [
        ("", "", "defines no strategies"),
        (MINE, ":Breakoff", "has no class 'Breakoff'"),
        (MINE, ":pl", "is not a strategy"),
        (MINE, ":Chosen", "is not a strategy"),
        ("x = 1", ":x", "is not a strategy"),
        ("x = 1\ny = x / 0", "", "mine.py line 2: ZeroDivisionError: division by zero"),
        ("def f():\n    raise ValueError('first\\nsecond')\nf()", "", "mine.py line 2: ValueError: first →"),
        ("x = (1\n", "", "mine.py line 1: SyntaxError: '(' was never closed"),
        ("import no_such_module", "", "mine.py line 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import sys\nsys.exit(0)", "", "mine.py line 2: SystemExit: 0"),
        ("raise KeyError", "", "mine.py line 1: KeyError →"),
        (MINE.replace("def sell", "def sale"), "", "does not define sell"),
        (MINE.replace('name = "my_breakout"', ""), "", "has no name"),
        (MINE.replace('"my_breakout"', "7"), "", "has no name"),
        (MINE.replace('"my_breakout"', '"My Breakout"'), "", "is not lower-case words"),
        (MINE.replace('"my_breakout"', '"../x"'), "", "is not lower-case words"),
        (MINE.replace('"my_breakout"', '"smart_momentum"'), "", "takes the name of another strategy, 'smart_momentum'"),
        (MINE.replace("= Chosen", "= dict"), "", "parameters_type is not a class of parameters"),
    ],
)  # fmt: skip
def test_what_a_file_can_have_wrong(write: Write, text: str, suffix: str, said: str):
    path = write(text)
    before = set(sys.modules)
    told = refused(f"{path}{suffix}")
    assert said in told
    assert str(path) in told
    assert " line " not in told or set(sys.modules) == before  # a file that raised leaves nothing behind


def test_a_file_that_is_not_there(tmp_path: Path):
    assert "there is no such file" in refused(tmp_path / "none.py")
    (tmp_path / "folder.py").mkdir()
    assert "cannot be read: Is a directory" in refused(tmp_path / "folder.py")
    assert "is not a path" in refused("./BTC\0USDT.py") and "is not a path" in refused("./\ud800.py")


def test_an_init_that_raises(write: Write):
    path = write(MINE + "    def __init__(self, **values): raise RuntimeError('no')\n")
    with pytest.raises(StrategyError, match="my_breakout cannot be made: RuntimeError: no"):
        make_strategy(str(path), {})


def test_a_parameter_that_it_does_not_have(write: Write):
    with pytest.raises(StrategyError, match="my_breakout: windows is not a parameter") as error:
        make_strategy(str(write()), {"windows": 3})
    assert error.value.cure == "did you mean window? its parameters are: window"
    assert error.value.exit_code == 2


# --- entry points ----------------------------------------------------------------------------------------------------


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a package that brings one strategy, for this test only."""

    def install(package: str, point: str, text: str = MINE, cls: str = "Breakout") -> None:
        site = tmp_path / package
        about = site / f"{package}-1.0.dist-info"
        about.mkdir(parents=True)
        (site / f"{package}.py").write_text(text)
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
        (about / "entry_points.txt").write_text(f"[hermes.strategies]\n{point} = {package}:{cls}\n")
        monkeypatch.syspath_prepend(str(site))
        monkeypatch.delitem(sys.modules, package, raising=False)

    return install


def test_an_installed_package_brings_a_strategy(install: Callable[..., None]):
    install("acme_one", "my_breakout")
    assert make_strategy("my_breakout", {"window": 9}).columns == ("donchian_high_9",)
    assert find_strategy("my_breakout").source == "acme_one 1.0"
    assert [each["name"] for each in listed([])] == [*STRATEGIES, "my_breakout"]
    assert "did you mean my_breakout?" in refused("my_breakot")


@pytest.mark.parametrize(
    ("point", "text", "cls", "said"),
    [
        ("my_breakout", "1/0", "Breakout", "acme_bad (acme_bad:Breakout) cannot be loaded: ZeroDivisionError"),
        ("my_breakout", MINE, "Nothing", "cannot be loaded: AttributeError"),
        ("my_breakout", MINE, "Chosen", "is not a strategy"),
        ("other", MINE, "Breakout", "calls itself 'my_breakout'"),
    ],
)
def test_what_a_package_can_have_wrong(install: Callable[..., None], point: str, text: str, cls: str, said: str):
    install("acme_bad", point, text, cls)
    assert said in refused(point)
    (broken,) = (each for each in listed([]) if "error" in each)
    assert broken["name"] == point
    assert said in broken["error"]


def test_two_packages_cannot_bring_one_name(install: Callable[..., None], write: Write):
    install("acme_two", "my_breakout")
    assert "takes the name of another strategy" in refused(write())
    install("acme_three", "my_breakout")
    assert "both bring a strategy 'my_breakout'" in refused("my_breakout")


def test_a_package_cannot_take_a_shipped_name(install: Callable[..., None]):
    install("acme_four", "ma_cross", MINE.replace("my_breakout", "ma_cross"))
    assert find_strategy("ma_cross").source.startswith("hermes ")
    assert "hermes and acme_four both bring a strategy 'ma_cross'" in refused("unknown")


# --- names and settings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cure"), [("donchian_breakut", "did you mean donchian_breakout?"), ("x", "choose smart_momentum")]
)
def test_an_unknown_name(name: str, cure: str):
    told = refused(name)
    assert f"{name!r} is not known" in told
    assert cure in told


def test_settings_take_a_name_or_a_file(write: Write):
    path = write()
    settings = Settings.load({"signals.strategy": f"{path}:Breakout"}, environ={})
    name = strategy_name(settings.signals.strategy)
    assert settings.paths(name)["signals table"] == "trading_signals_my_breakout_spot_BTCUSDT_4h"
    with pytest.raises(HermesError):
        settings.paths()  # a file is not a name
    for wrong in ("../x", "mine.txt:Breakout", "a b", "", "mine.py:a:b"):
        with pytest.raises((SettingsError, HermesError), match="strategy"):
            Settings.load({"signals.strategy": wrong}, environ={})


def test_the_list_tells_defaults_and_bounds():
    shown = {each["name"]: each for each in listed([])}
    assert set(shown) == set(STRATEGIES)
    assert shown["ma_cross"]["parameters"]["fast"] == {
        "default": 50,
        "minimum": 1,
        "maximum": 10_000,
        "type": "integer",
    }
    assert shown["ma_cross"]["columns"] == ["sma_50", "sma_200"]
    assert all(each["look_back"] == 1 and each["does"] for each in shown.values())
    assert len({each["source"] for each in shown.values()}) == 1


def test_the_list_tells_what_stands_below_a_parameter(write: Write):
    bounds = "window: int = Field(default=20, ge=2)\n"
    (shown,) = listed([str(write(MINE.replace(bounds, f'{bounds}    """Bars in the channel."""\n')))])
    assert shown["parameters"]["window"]["description"] == "Bars in the channel."
    described = bounds.replace("ge=2", 'ge=2, description="bars"')
    (shown,) = listed([str(write(MINE.replace(bounds, described), "other.py"))])
    assert shown["parameters"]["window"]["description"] == "bars"


def test_the_list_checks_the_contract(write: Write):
    for text, said in (
        (MINE.replace("look_back = 1", "look_back = '1'"), "look_back gives '1'"),
        (MINE.replace('"out": pl.col("close")', '"close": pl.col("close")'), "condition close has the name"),
        (MINE.replace('pl.col("close") >', 'pl.col("rsi_14") >'), "uses rsi_14"),
    ):
        with pytest.raises(StrategyError, match=said):
            listed([str(write(text))])


def test_a_strategy_without_parameters_is_listed(write: Write):
    plain = MINE.replace("    parameters_type = Chosen\n", "").replace("{self.parameters.window}", "20")
    (shown,) = listed([str(write(plain))])
    assert (shown["parameters"], shown["columns"]) == ({}, ["donchian_high_20"])


def test_a_strategy_with_required_parameters_is_listed_without_columns(write: Write):
    (shown,) = listed([str(write(MINE.replace("default=20, ", "")))])
    assert "columns" not in shown
    assert shown["parameters"]["window"]["minimum"] == 2
