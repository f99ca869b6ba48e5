"""Shell completion of option values, from names that are known without heavy imports."""

from collections.abc import Callable, Sequence
from pathlib import Path

from hermes.dataset import INTERVAL_SECONDS

Choices = Callable[[str], Sequence[str]]


def choices(setting: str) -> Choices | None:
    """What completes the value of a setting from its first letters; None where nothing is known."""
    known = _KNOWN.get(setting)
    return (lambda incomplete: [name for name in known() if name.startswith(incomplete)]) if known else None


def _strategies() -> list[str]:
    """The shipped ones are each in a module of their name; the registry would load Polars to say so."""
    from importlib.metadata import entry_points  # noqa: PLC0415 - slow to load, and only shells ask

    modules = Path(__file__).parents[1].joinpath("strategies").glob("*.py")
    shipped = {path.stem for path in modules if "(base.Strategy)" in path.read_text(encoding="utf-8")}
    return sorted(shipped | {point.name for point in entry_points(group="hermes.strategies")})


_KNOWN: dict[str, Callable[[], Sequence[str]]] = {
    "dataset.interval": lambda: tuple(INTERVAL_SECONDS),
    "signals.strategy": _strategies,
}
