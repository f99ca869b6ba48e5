"""Grids of parameters: `8:20:4` and `20,26,50` → all combinations, or a random sample."""

import random
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal, InvalidOperation
from math import prod
from typing import Any

from hermes.errors import UsageError

MOST = 100_000  # combinations of one search


def values(name: str, text: Any) -> list[Any]:
    """The values of one parameter.

    Args:
        name: of the parameter.
        text: a range `low:high:step`, both ends included, a list `a,b,c`, or one value; what is no text stands for
            itself.

    Raises:
        UsageError: a range that is not numeric, empty, or has more than `MOST` values.
    """
    if not isinstance(text, str):
        return [text]
    if ":" not in text:
        return list(dict.fromkeys(part.strip() for part in text.split(",")))
    try:
        low, high, step = (Decimal(part) for part in text.split(":"))
        count = int((high - low) / step) + 1 if step > 0 else 0
    except (ValueError, InvalidOperation, OverflowError):
        count = 0
    if count > MOST:
        raise UsageError(f"{name}={text} is {count:,} values, more than {MOST:,}", "take a larger step")
    if count < 1:
        raise UsageError(f"{name}={text} is not a range low:high:step", f"write it like {name}=8:20:4, or as 8,12,16")
    return [str(low + i * step) for i in range(count)]


def combinations(
    given: Mapping[str, Sequence[Any]], sample: int | None = None, seed: int = 0
) -> Iterator[dict[str, Any]]:
    """Every combination of the values, the last name's changing fastest, or `sample` different ones at random.

    Raises:
        UsageError: more than `MOST`.
    """
    total = prod(map(len, given.values()))
    count = total if sample is None else min(sample, total)
    if count > MOST:
        raise UsageError(f"{count:,} combinations are more than {MOST:,}", "try fewer values, or --random 1000")
    picked = range(total) if count == total else sorted(random.Random(seed).sample(range(total), count))
    for number in picked:
        left, chosen = number, {}
        for name, each in reversed(list(given.items())):
            left, place = divmod(left, len(each))
            chosen[name] = each[place]
        yield {name: chosen[name] for name in given}
