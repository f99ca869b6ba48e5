"""The JSON documents, as the commands print them for the demo's market."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from generator.demo import document, folder
from generator.markdown import fenced

_INTRODUCTION = """# JSON documents

`--json` puts one document on stdout and nothing else there; progress and errors stay on stderr. Commands that work on
datasets give one object for each under `datasets`; a dataset that failed stands under `errors`, with the error and
its cure, and the exit code is not 0. A figure that is undefined is `null`; NaN and infinity never stand in a
document. Times are UTC.

The documents below are what the commands printed about the demo's **simulated** market when this page was built. Long
lists and texts are cut with `…`.
"""

_COMMANDS = (
    ("demo",),
    ("ingest", "SIMUSDT", "--archive", "lake/archive"),
    ("refine", "SIMUSDT"),
    ("features", "SIMUSDT"),
    ("signals", "SIMUSDT", "--start", "2023-01-01"),
    ("backtest", "SIMUSDT"),
    ("run", "SIMUSDT", "SIM1USDT", "--archive", "lake/archive", "--no-report"),
    ("audit", "SIMUSDT", "--cuts", "3"),
    ("audit", "--bytes"),
    ("doctor",),
    ("prune", "--keep", "1"),
    ("report", "SIMUSDT"),
    ("sweep", "SIMUSDT", "--set", "ema_fast=8,12"),
    ("walkforward", "SIMUSDT", "--set", "ema_fast=8,12", "--train", "1y"),
    ("ls",),
    ("show", "SIMUSDT"),
    ("sql", "select datetime, close from signals_SIMUSDT_4h where buy_signal limit 2"),
    ("strategies", "donchian_breakout"),
    ("config",),
)
_MOST = 3
_LONGEST = 90


def page() -> str:
    """The page."""
    parts = [_INTRODUCTION]
    for words in _COMMANDS:
        written = " ".join(f"'{word}'" if " " in word else word for word in words)
        shown = json.dumps(_cut(document(*words)), indent=2, ensure_ascii=False)
        title = f"{words[0]} --bytes" if "--bytes" in words else words[0]
        parts += [f"\n## {title}\n\n", fenced("text", f"hermes {written} --json"), "\n", fenced("json", shown)]
    return "".join(parts)


def _cut(value: Any) -> Any:
    """Short enough to read, and without this machine's paths."""
    if isinstance(value, Mapping):
        cut = {key: _cut(each) for key, each in list(value.items())[: 40 if len(value) > 60 else None]}
        return cut if len(cut) == len(value) else {**cut, "…": "…"}
    if isinstance(value, str):
        text = value.replace(f"{folder()}/", "./")
        return text if len(text) <= _LONGEST or "/" in text else f"{text[:_LONGEST]}…"
    if isinstance(value, Sequence):
        return [_cut(each) for each in value[:_MOST]] + (["…"] if len(value) > _MOST else [])
    return value
