"""The verdict of the last audit, kept in gold for the lineage of the next execution."""

import json
from datetime import UTC, datetime
from typing import Any

import hermes
from hermes.lake.store import Lake, fingerprint
from hermes.steps.measure import Selection


def kept_verdict(selection: Selection, lake: Lake) -> dict[str, Any] | None:
    """The verdict of the last audit, if it was made on these very features with this very strategy."""
    content = lake.gold.read(_key(selection))
    verdict = json.loads(content) if content else None
    return verdict if verdict and verdict.pop("made_from") == _made_from(selection) else None


def keep_verdict(verdict: dict[str, Any], selection: Selection, lake: Lake) -> None:
    """Store the verdict, unless the one that is there says the same of the same and was found with as many cuts."""
    kept = kept_verdict(selection, lake)
    if kept and kept["faults"] == verdict["faults"] and kept["cuts"] >= verdict["cuts"]:
        return
    verdict = verdict | {"at": datetime.now(UTC).isoformat(), "made_from": _made_from(selection)}
    lake.gold.write_bytes(_key(selection), json.dumps(verdict, indent=2).encode())


def _key(selection: Selection) -> str:
    return f"audits/{selection.settings.dataset.signals_table(selection.strategy.name)}.json"


def _made_from(selection: Selection) -> str:
    """Names the features and the rules that a verdict speaks of."""
    strategy = selection.strategy
    rules = {**strategy.conditions(), "buy": strategy.buy(), "sell": strategy.sell()}
    files = [(file.key, file.version) for file in selection.table.files]
    told = {name: str(rule) for name, rule in rules.items()}
    return fingerprint(hermes.__version__, strategy.name, selection.source, told, files)
