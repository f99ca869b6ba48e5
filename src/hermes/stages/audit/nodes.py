"""The nodes of a serialized expression: what stands in one of them."""

from collections.abc import Iterator
from io import BytesIO
from pickle import Unpickler, UnpicklingError
from typing import Any

from hermes.stages.audit import operations as op

NARROW = 1e-3  # a range so small a share of its values finds single prices


def variant(node: Any) -> tuple[str, Any]:
    """Name and content of a node serialized as `"Name"` or `{"Name": content}`; an empty name for all else."""
    if isinstance(node, str):
        return node, None
    if isinstance(node, dict) and len(node) == 1:
        return next(iter(node.items()))
    return "", None


def expressions_in(content: Any) -> Iterator[Any]:
    """The expressions within the content of an unknown node."""
    if isinstance(content, list):
        for each in content:
            yield from expressions_in(each)
    elif isinstance(content, dict):
        if variant(content)[0] in op.EXPRESSIONS:
            yield content
        else:
            yield from expressions_in(list(content.values()))


def number(node: Any) -> float | None:
    """The value of a numeric literal, None for anything else."""
    kind, body = variant(node)
    value = variant(variant(body)[1])[1] if kind == "Literal" else None
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def numbers(node: Any) -> Iterator[float]:
    """The numeric literals that a value is calculated with; none of those that a comparison within it holds."""
    kind, body = variant(node)
    match kind:
        case "Literal":
            if (value := number(node)) is not None:
                yield value
            return
        case "Alias":
            within = body[:1]
        case "Cast":
            within = [body["expr"]]
        case "BinaryExpr" if body["op"] in op.ARITHMETIC:
            within = [body["left"], body["right"]]
        case "Ternary":
            within = [body["truthy"], body["falsy"]]
        case "Function":
            name = variant(body["function"])[0]
            # The second input of these is a number of bars.
            within = [] if name == "Boolean" else body["input"][: 1 if name in op.BY_BARS else None]
        case _:
            within = []
    for each in within:
        yield from numbers(each)


def whole(node: Any) -> int | None:
    """The number of bars that a literal gives, None for anything else."""
    kind, body = variant(node)
    if kind != "Literal":
        return None
    dtype, value = variant(variant(body)[1])
    is_whole = dtype == "Int" or dtype.startswith(("Int", "UInt"))
    return value if is_whole and isinstance(value, int) else None


def is_bars(node: Any) -> bool:
    """Whether a node is a column of the bars."""
    kind, name = variant(node)
    return kind == "Column" and name in op.BARS


class _PlainUnpickler(Unpickler):
    """Reads numbers, texts, and lists and dicts of them."""

    def find_class(self, module: str, name: str) -> Any:
        raise UnpicklingError(f"{module}.{name} is no plain value")


def window(options: Any) -> int | None:
    """The number of bars before its own that a call of TA-Lib reads, as polars-talib gives it; None if it does not."""
    try:
        given = _PlainUnpickler(BytesIO(bytes(options["kwargs"]))).load()
        return int(given["lookback"]) if given["recursive"] is False else None
    except (UnpicklingError, KeyError, TypeError, ValueError, EOFError):
        return None


def is_plugin(node: Any) -> bool:
    """Whether a node calls a plug-in."""
    kind, body = variant(node)
    return kind == "Function" and variant(body["function"])[0] == "FfiPlugin"


def is_narrow(low: Any, high: Any) -> bool:
    """Whether two literals bound a range in which hardly more than one price can lie."""
    least, most = number(low), number(high)
    return least is not None and most is not None and most - least <= NARROW * max(abs(least), abs(most))


def is_distance(value: Any, limit: Any) -> bool:
    """Whether a value is a distance, and the literal beside it so short that hardly more than one price is so near."""
    kind, body = variant(value)
    most = number(limit)
    if most is None or kind != "Function" or variant(body["function"])[0] != "Abs":
        return False
    return any(abs(most) <= NARROW * abs(price) for price in numbers(value))
