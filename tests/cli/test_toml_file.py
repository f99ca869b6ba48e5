"""The settings file that `hermes init` writes: it knows every setting, and loads to what was chosen."""

import re
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from hermes.cli.toml_file import as_toml, write
from hermes.errors import NameRefused, SettingsError, StrategyError, UsageError
from hermes.settings import Settings
from hermes.strategies.registry import STRATEGIES

SECRETS = {
    "s3.access_key",
    "s3.secret_key",
    "s3.session_token",
    "notify.url",
    "notify.urls",
    "notify.secret",
    "live.proxy",
}


def names(text: str) -> set[str]:
    return set(flat(tomllib.loads(text)))


def flat(node: dict, prefix: str = "") -> Iterator[str]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def all_set(text: str) -> str:
    """As if somebody took every # away that stands before a setting."""
    return re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)


def load(text: str, folder: Path) -> Settings:
    path = folder / "hermes.toml"
    path.write_text(text, encoding="utf-8")
    return Settings.load(file=path, environ={})


def test_every_setting_is_in_it_and_explained(tmp_path: Path):
    text = as_toml({})
    assert names(text) == set()
    known = {name for name, _, _ in Settings.load(environ={}, file=Path("/dev/null")).items()}
    written = {name for name in names(all_set(text)) if not name.startswith("strategy.")}
    assert written == known - SECRETS
    for section in text.split("\n\n"):
        lines = section.splitlines()
        for before, line in pairwise(lines):
            if re.match(r"# \w+ = ", line) and "[strategy." not in section:
                assert re.match(r"# (?!\w+ = )", before), f"nothing explains {line!r}: give it a text in settings.py"


def test_what_it_says_holds_without_it_does(tmp_path: Path):
    loaded, default = load(all_set(as_toml({})), tmp_path), Settings.load(environ={}, file=Path("/dev/null"))
    assert {n: v for n, v, _ in loaded.items() if not n.startswith("strategy.")} == {
        n: v for n, v, _ in default.items()
    }


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_parameters_of_the_strategy_are_in_it(tmp_path: Path, name: str):
    text = as_toml({"signals.strategy": name})
    given_all = load(all_set(text), tmp_path).strategy[name]
    assert given_all == STRATEGIES[name]().parameters.model_dump()


def test_what_was_chosen_is_set_and_nothing_else(tmp_path: Path):
    chosen = {
        "lake.url": "s3://mine/{layer}",
        "s3.endpoint": "http://localhost:9000",
        "dataset.symbol": "BTC/USDT",
        "signals.chunk_rows": "500",
        "strategy.smart_momentum.ema_fast": "10",
        "notify.on": "failure",
    }
    text = as_toml(chosen)
    settings = load(text, tmp_path)
    assert {name for name, _, origin in settings.items() if origin != "default"} == set(chosen)
    assert (settings.dataset.symbol, settings.signals.chunk_rows) == ("BTCUSDT", 500)
    assert settings.strategy["smart_momentum"]["ema_fast"] == 10
    assert settings.notify.on == ("failure",)


@hypothesis(deadline=None)
@given(st.text(min_size=1).filter(lambda text: not ("://" in text and "@" in text)))
def test_any_text_comes_back(text: str):
    try:
        made = as_toml({"archive.url": text})
    except (UnicodeEncodeError, SettingsError):  # no file can hold it, or no address may
        return
    assert tomllib.loads(made)["archive"]["url"] == text


def test_secrets_are_never_written():
    annotated = {
        f"{section}.{key}"
        for section, node in Settings()
        if hasattr(type(node), "model_fields")
        for key, field in type(node).model_fields.items()
        if "SecretStr" in str(field.annotation)
    }
    assert annotated == SECRETS
    text = as_toml({})
    for name in SECRETS:
        assert f"HERMES_{name.upper().replace('.', '__')}" in text
        assert name not in names(all_set(text))
    with pytest.raises(UsageError, match="secret") as refused:
        as_toml({"s3.access_key": "AKIA123", "s3.secret_key": "s3cr3t"})
    assert "s3cr3t" not in str(refused.value)


@pytest.mark.parametrize(
    ("chosen", "error"),
    [
        ({"dataset.interval": "5h"}, NameRefused),
        ({"lake.url": "./lake"}, SettingsError),
        ({"lake.uri": "x"}, SettingsError),
        ({"signals.strategy": "nope"}, StrategyError),
        ({"strategy.smart_momentum.nope": 1}, StrategyError),
    ],
)
def test_what_cannot_be_is_refused(chosen: dict, error: type):
    with pytest.raises(error):
        as_toml(chosen)


def test_a_file_that_is_there_stays(tmp_path: Path):
    path = tmp_path / "hermes.toml"
    path.write_text("mine")
    with pytest.raises(UsageError, match="there already"):
        write(path, "new", replace=False)
    assert path.read_text() == "mine"
    write(path, "new", replace=True)
    assert path.read_text() == "new"
    assert [each.name for each in tmp_path.iterdir()] == ["hermes.toml"]


def test_a_folder_that_cannot_be_written():
    with pytest.raises(SettingsError, match="cannot be written"):
        write(Path("/proc/hermes.toml"), "new", replace=False)
