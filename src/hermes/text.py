"""Counts and choices for sentences."""

from collections.abc import Iterable

#: What a column `position` says, in words.
POSITIONS = {1: "long", 0: "flat", -1: "short"}


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
