"""Every setting with its default, its names and its meaning, from the Settings model."""

from typing import Any

from pydantic import BaseModel, SecretStr

from generator.markdown import code, paragraphs, table
from hermes.cli import options
from hermes.cli.options import Flag
from hermes.settings import Settings, descriptions
from hermes.strategies.registry import STRATEGIES

_INTRODUCTION = """# Settings

Each layer is stronger than the one before it: defaults, `AWS_*` and `MINIO_*` variables, `hermes.toml` (or the file
given with `--config`), `HERMES_*` variables, flags. `hermes config` shows every setting with its value and the place
it came from; secrets are masked.

A setting has the same name everywhere: `[signals] chunk_rows` in the file, `HERMES_SIGNALS__CHUNK_ROWS` in the
environment, `--chunk-rows` on the line, `settings.signals.chunk_rows` in Python. A name that is not on this page is
refused, with the nearest one that is.
"""

_ELSEWHERE = """
## What other S3 tools read

| variable | sets |
| --- | --- |
| `AWS_ACCESS_KEY_ID` and `AWS_SECRET_ACCESS_KEY` | `s3.access_key` and `s3.secret_key`, as a pair |
| else `MINIO_ROOT_USER` and `MINIO_ROOT_PASSWORD` | the same, as a pair |
| `AWS_ENDPOINT_URL_S3`, or `AWS_ENDPOINT_URL` | `s3.endpoint` |
| `AWS_REGION`, or `AWS_DEFAULT_REGION` | `s3.region` |
"""


def page() -> str:
    """The page."""
    flags = {each.setting: each.option for each in _flags()}
    parts = [_INTRODUCTION]
    for section, field in Settings.model_fields.items():
        node = getattr(Settings(), section)
        if isinstance(node, dict):
            parts.append(_strategies())
            continue
        parts += [f"\n## [{section}]\n\n{_first_paragraph(type(node))}\n\n", _section(section, node, flags)]
        assert field is not None
    return "".join([*parts, _ELSEWHERE])


def _section(section: str, node: Any, flags: dict[str, str]) -> str:
    rows = []
    for name, meaning in descriptions(type(node)).items():
        dotted = f"{section}.{name}"
        variable = f"HERMES_{section}__{name}".upper()
        if not meaning:
            raise RuntimeError(f"setting {dotted} has no text below it in {type(node).__name__}: say what it means")
        rows.append((code(name), _shown(getattr(node, name)), code(variable), code(flags.get(dotted, "")), meaning))
    return table(("name", "default", "variable", "flag", "meaning"), rows)


def _strategies() -> str:
    rows = []
    for name, strategy in STRATEGIES.items():
        for parameter, rules in strategy.parameters_type.model_json_schema()["properties"].items():
            bounds = ", ".join(f"{sign} {rules[key]:g}" for key, sign in _SIGNS.items() if key in rules)
            rows.append((code(f"[strategy.{name}] {parameter}"), code(rules.get("default", "")), bounds))
    return (
        "\n## [strategy.NAME]\n\nThe parameters of each strategy, `--set NAME=VALUE` on the line. "
        "Those of the shipped ones:\n\n"
        + table(("name", "default", "bounds"), rows)
        + "\nA strategy of your own has its section as well: see [](../strategies.md).\n"
    )


_SIGNS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}


def _flags() -> list[Flag]:
    groups = [group for group in vars(options).values() if isinstance(group, tuple)]
    return [flag for group in groups for flag in group if isinstance(flag, Flag)]


def _first_paragraph(cls: type[BaseModel] | type) -> str:
    return paragraphs(cls.__doc__).split("\n\n", maxsplit=1)[0]


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "set"
    if isinstance(value, bool):
        return code(str(value).lower())
    return "none" if value is None else code(value)
