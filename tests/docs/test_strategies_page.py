"""What docs/strategies.md says about settings and shipped strategies; its commands are run by test_pages.py."""

import tomllib

from tests.docs.pages import blocks, text

from hermes.settings import Settings
from hermes.strategies import STRATEGIES

PAGE = "docs/strategies.md"


def test_the_settings():
    package, settings = (tomllib.loads(block.text) for block in blocks(PAGE) if block.language == "toml")
    assert list(package["project"]["entry-points"]) == ["hermes.strategies"]
    flat = {f"signals.{name}": value for name, value in settings["signals"].items()}
    flat |= {f"strategy.{s}.{name}": v for s, part in settings["strategy"].items() for name, v in part.items()}
    Settings.load(flat, environ={})


def test_every_shipped_strategy_is_named():
    assert [name for name in STRATEGIES if name != "smart_momentum" and f"`{name}`" not in text(PAGE)] == []
