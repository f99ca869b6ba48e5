"""Why a value was refused, in one line: its name, the value, where it came from, what was expected, the cure."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic import ValidationError as PydanticError
from pydantic.fields import FieldInfo

from hermes.errors import SettingsError, first_line
from hermes.settings.sources import _CREDENTIALS
from hermes.settings.values import carries_secrets

_SECRETS = (*_CREDENTIALS, "notify.url", "notify.urls", "notify.secret", "live.proxy")
_LONGEST = 80  # characters of a value that are shown
_OWN = "value_error"  # of a validator, which says what it expected
#: How pydantic begins the names of its errors, and what it expected.
_WORDS = {"int": "a whole number", "float": "a number", "bool": "true or false", "string_type": "a text"}
_NUMBERS = ("greater_than", "less_than", "finite_number")
_LIMITS = {"ge": "from {:,}", "gt": "above {:,}", "le": "up to {:,}", "lt": "and below {:,}"}


def explained(error: PydanticError, values: Mapping[str, tuple[Any, str]], kind: type[BaseModel]) -> SettingsError:
    """The first complaint as one line.

    Args:
        values: dotted name → what was given, and where.
        kind: the class of all settings.
    """
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    value, origin = values.get(name, (first["input"], "default"))
    is_secret = name in _SECRETS or (isinstance(value, str) and carries_secrets(value))
    given = "" if is_secret else f" = {short(value)}"
    section, _, key = name.partition(".")
    node = kind.model_fields[section].default if section in kind.model_fields else None
    field = type(node).model_fields.get(key) if isinstance(node, BaseModel) else None
    return SettingsError(f"{name}{given} ({origin}): {expected(error, field)}", instead(field))


def expected(error: PydanticError, field: FieldInfo | None) -> str:
    """What was expected by the first complaint, in words; those of a validator as they are."""
    first = error.errors(include_url=False)[0]
    kind, said = first["type"], first["msg"].removeprefix("Value error, ")
    if kind == _OWN:
        return f"{said[:1].lower()}{said[1:]}"
    if kind == "literal_error":
        return f"expected {first['ctx']['expected']}"
    word = next((word for begun, word in _WORDS.items() if kind.startswith(begun)), "")
    if field is not None and (word in (_WORDS["int"], _WORDS["float"]) or kind.startswith(_NUMBERS)):
        word = " ".join([_WORDS["int" if field.annotation is int else "float"], *_limits(field)])
    return f"expected {word}" if word else said.lower()


def instead(field: FieldInfo | None) -> str:
    """What to do about a value that was refused."""
    usual = None if field is None or field.is_required() else field.get_default(call_default_factory=False)
    if usual is None and field is not None and field.is_required():
        return "correct it"
    text = ",".join(usual) if isinstance(usual, tuple) else "" if usual is None else str(usual)
    return "correct it, or leave it out" + (f": then it is {first_line(text)}" if text else "")


def _limits(field: FieldInfo) -> Iterator[str]:
    for each in field.metadata:
        for name, text in _LIMITS.items():
            limit = getattr(each, name, None)
            if limit is not None:
                yield text.format(limit)


def short(value: Any) -> str:
    """A value as Python writes it, cut off where it is long."""
    try:
        text = repr(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return "a number of thousands of digits"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
