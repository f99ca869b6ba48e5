"""Where indicators come from: this package, the entry points of installed packages, and files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from hermes.dataset import expanded
from hermes.errors import IndicatorError
from hermes.indicators.definition import Family
from hermes.indicators.shipped import SHIPPED
from hermes.plugins import Kind
from hermes.version import __version__

INDICATORS = Kind("indicator", IndicatorError, "hermes.indicators", SHIPPED)


@dataclass(frozen=True, slots=True)
class Known:
    """All indicators that are available.

    Attributes:
        families: by name.
        sources: name → Hermes or a package with its version, or a file with the first digits of its SHA-256.
        code: name → content of the file, for those that come from one.
    """

    families: Mapping[str, Family]
    sources: Mapping[str, str]
    code: Mapping[str, bytes] = field(default_factory=dict)


def known_indicators(files: Sequence[str] = ()) -> Known:
    """The shipped indicators, those of installed packages, and those that `files` define.

    Args:
        files: Python files whose top-level `@indicator` functions are taken.

    Raises:
        IndicatorError: a file or package cannot be loaded, holds no indicator, or uses a name that is taken.
    """
    families, sources = dict(SHIPPED), dict.fromkeys(SHIPPED, f"hermes {__version__}")
    for point in INDICATORS.installed().values():
        found, origin, package = INDICATORS.load(point)
        if not isinstance(found, Family):
            raise IndicatorError(f"{origin} is not an indicator", "decorate it with hermes.indicators.indicator")
        if found.name != point.name:
            raise IndicatorError(f"{origin} calls itself {found.name!r}", "its entry point must have the same name")
        families[found.name], sources[found.name] = found, package
    code: dict[str, bytes] = {}
    for name in files:
        path = expanded(name)
        content = INDICATORS.read_file(path)
        module, digest = INDICATORS.run_file(path, content)
        own = [each for each in vars(module).values() if isinstance(each, Family) and each not in SHIPPED.values()]
        own = [each for each in own if each.expression.__module__ == module.__name__]
        if not own:
            raise IndicatorError(f"{path} holds no indicator", "decorate a function with hermes.indicators.indicator")
        for family in own:
            if family.name in families:
                rival = sources[family.name]
                raise IndicatorError(f"{path} takes the name {family.name!r}, which {rival} has", "rename its function")
            families[family.name], sources[family.name] = family, f"{path} (sha256 {digest[:16]})"
            code[family.name] = content
    return Known(families, sources, code)
