"""The rules for Prometheus, tried out by Prometheus' own tool; and every metric in them is one that Hermes writes."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from hermes.dataset import INTERVAL_SECONDS
from hermes.monitoring.metrics_file import FIGURES

RULES = Path(__file__).parents[2] / "examples" / "prometheus"
PROMTOOL = shutil.which("promtool")


@pytest.mark.parametrize("words", [("check", "rules", "hermes.rules.yml"), ("test", "rules", "hermes.rules.test.yml")])
def test_promtool_agrees(words: tuple[str, ...]):
    if PROMTOOL is None:
        pytest.skip("no promtool here: it comes with Debian's package prometheus")
    done = subprocess.run([PROMTOOL, *words], cwd=RULES, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_metric_is_one_that_hermes_writes():
    text = (RULES / "hermes.rules.yml").read_text()
    assert set(re.findall(r"\bhermes_\w+", text)) <= FIGURES.keys()


def test_every_interval_has_a_length():
    text = (RULES / "hermes.rules.yml").read_text()
    lengths = dict(re.findall(r'interval="(\w+)"\} \+ (\d+)', text))
    assert {name: int(seconds) for name, seconds in lengths.items()} == INTERVAL_SECONDS | {"1mo": 31 * 86400}
