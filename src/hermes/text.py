"""Numbers, counts and choices as people read them."""

from collections.abc import Iterable
from decimal import Decimal

_WRITTEN_OUT = 1e15  # numbers beyond have more digits before the point than a float keeps

#: What a column `position` says, in words.
POSITIONS = {1: "long", 0: "flat", -1: "short"}


def fixed(value: float, decimals: int = 2) -> str:
    """`-1234.5` → `-1,234.50`, `-0.001` → `0.00`, `1.3e30` → `1.3 × 10^30`."""
    return f"{value:z,.{decimals}f}" if abs(value) < _WRITTEN_OUT else power_of_ten(value)


def signed(value: float, decimals: int = 2) -> str:
    """A difference, with its sign unless it is written as zero: `+0.12`, `-0.12`, `0.00`."""
    return f"{'+' if round(value, decimals) > 0 else ''}{fixed(value, decimals)}"


def exact(value: float, digits: int = 0) -> str:
    """A number to its last digit, or to so many digits: `0.00075`, `1,000,000`."""
    rounded = float(f"{value:.{digits}g}") if digits else value
    return f"{Decimal(repr(rounded)).normalize() + 0:,f}" if abs(rounded) < _WRITTEN_OUT else power_of_ten(rounded)


def power_of_ten(value: float) -> str:
    """A large number: `2.5 × 10^7`."""
    factor, exponent = f"{value:.2e}".split("e")
    return f"{float(factor):g} × 10^{int(exponent)}"


def counted(count: float, noun: str, plural: str = "", form: str = ",") -> str:
    """`1 file`, `1,200 files`, `2 entries`.

    Args:
        count: how many.
        noun: the singular.
        plural: by default the noun with an s.
        form: how the count is formatted.
    """
    text = format(count, form)
    return f"{text} {noun if text == '1' else plural or f'{noun}s'}"


def span(days: float) -> str:
    """A length of time below 1,000 days, in its largest unit: `66.7 days`, `4 hours`, `1 second`."""
    for unit, each in (("day", 1), ("hour", 24), ("minute", 1440)):
        if days * each >= 1:
            return counted(days * each, unit, form=".3g")
    return counted(days * 86_400, "second", form=".3g")


def one_of(choices: Iterable[object]) -> str:
    """`archive, bronze, silver or gold`."""
    *others, last = [str(each) for each in choices]
    return f"{', '.join(others)} or {last}" if others else last


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can hold a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
