"""A commented `hermes.toml`: every setting, explained, and never a secret.

The text is generated from the model of the settings, so the two cannot differ.
"""

import inspect
import json
import os
import textwrap
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, SecretStr

from hermes.errors import SettingsError, UsageError
from hermes.settings import Settings, descriptions
from hermes.strategies import find_strategy

_WIDTH = 110
_HEAD = """\
# Hermes settings. Lines that begin with # show the defaults; remove the # to change one.
# Environment variables (HERMES_SIGNALS__CHUNK_ROWS …) override this file, options (--chunk-rows …) override
# both; `hermes config` shows every value and its origin. Do not put secrets here: set them in the environment."""


def as_toml(chosen: Mapping[str, Any]) -> str:
    """The text of a settings file.

    Args:
        chosen: dotted name → value to set; every other setting is commented out.

    Raises:
        SettingsError, NameRefused, StrategyError: a value is impossible, or a name unknown.
        UsageError: a secret is among them.
    """
    settings = Settings.load(chosen, environ={}, file=Path(os.devnull))
    if secrets := sorted(name for name, _ in settings.secrets()):
        raise UsageError(
            f"{secrets[0]} is a secret, which does not belong in a file", f"set {_variable(secrets[0])} instead"
        )
    found = find_strategy(settings.signals.strategy)
    own = found.make(settings.strategy.get(found.kind.name, {})).parameters
    parts = [_HEAD]
    for name in Settings.model_fields:
        if name == "strategy":
            section, kind = f"strategy.{found.kind.name}", type(own)
            text, node = [f"Parameters of the strategy; `hermes strategies {found.kind.name}` tells their bounds."], own
        else:
            node = getattr(settings, name)
            section, kind = name, type(node)
            text = [(inspect.getdoc(kind) or "").partition("\n\n")[0].replace("\n", " ")]
        lines = [_remark(each) for each in text] + [f"[{section}]"]
        for key, meaning in descriptions(kind).items():
            lines += _setting(f"{section}.{key}", key, getattr(node, key), kind, meaning, chosen)
        parts.append("\n".join(lines))
    made = "\n\n".join(parts) + "\n"
    assert dict(_flat(tomllib.loads(made))).keys() == set(chosen), "what is written is what was chosen"
    return made


def write(path: Path, text: str, *, replace: bool) -> None:
    """Write the file atomically.

    Raises:
        UsageError: the file exists and `replace` is false.
        SettingsError: the file cannot be written.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        try:
            if replace:
                beside.replace(path)
            else:
                os.link(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except FileExistsError:
        raise UsageError(f"{path} is there already", "--force replaces it; --config names another one") from None
    except OSError as error:
        raise SettingsError(
            f"{path} cannot be written: {error.strerror}", "choose another place with --config"
        ) from None


def _setting(
    name: str, key: str, value: Any, kind: type, meaning: str, chosen: Mapping[str, Any]
) -> Iterator[str] | list[str]:
    if _is_secret(kind, key):
        return [_remark(f"{key}: {meaning}"), _remark(f"  Not here: set {_variable(name)}.")]
    line = f"{key} = {_toml(value)}"
    return [*([_remark(meaning)] if meaning else []), line if name in chosen else f"# {line}"]


def _variable(name: str) -> str:
    return f"HERMES_{name.upper().replace('.', '__')}"


def _is_secret(kind: type, key: str) -> bool:
    if not issubclass(kind, BaseModel):
        return False
    annotation = kind.model_fields[key].annotation
    return SecretStr in (annotation, *get_args(annotation))


def _remark(text: str) -> str:
    return textwrap.fill(text, _WIDTH, initial_indent="# ", subsequent_indent="# ", break_on_hyphens=False)


def _toml(value: Any) -> str:
    """One value; an unset value is an empty string, which means the same."""
    if value is None:
        return '""'
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def _flat(node: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
