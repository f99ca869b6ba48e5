"""The list of strategies."""

from typing import Any

from hermes.errors import HermesError
from hermes.settings import descriptions
from hermes.strategies.contract import check_strategy
from hermes.strategies.registry import KIND, STRATEGIES, find_strategy


def listed(specs: list[str]) -> list[dict[str, Any]]:
    """Each strategy by name; without any, all that are shipped and installed.

    Returns:
        `name, source, does, parameters` (JSON Schema of each), and with default parameters `columns, look_back,
        conditions`. An installed one that cannot be loaded has an `error` instead.

    Raises:
        StrategyError: one that was asked for cannot be loaded, or does not keep its contract.
    """
    if specs:
        return [_described(spec) for spec in specs]
    found = []
    for name in (*STRATEGIES, *KIND.installed()):
        try:
            found.append(_described(name))
        except HermesError as error:
            found.append({"name": name, "source": "", "error": str(error)})
    return found


def _described(spec: str) -> dict[str, Any]:
    found = find_strategy(spec)
    kind = found.kind
    schema = kind.parameters_type.model_json_schema().get("properties", {})
    for name, text in descriptions(kind.parameters_type).items():
        if text and name in schema:
            schema[name]["description"] = text
    described: dict[str, Any] = {
        "name": kind.name,
        "source": found.source,
        "does": (kind.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " "),
        "parameters": {name: {k: v for k, v in rules.items() if k != "title"} for name, rules in schema.items()},
    }
    if any(field.is_required() for field in kind.parameters_type.model_fields.values()):
        return described  # nothing more can be said without values
    strategy = found.make({})
    check_strategy(strategy)
    return described | {
        "columns": list(strategy.columns),
        "look_back": strategy.look_back,
        "conditions": list(strategy.conditions()),
    }
