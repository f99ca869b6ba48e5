"""Rendering of pages: autoescaped Jinja2 templates, and the content security policy.

A page fetches nothing. Its content security policy names the hash of each of its scripts, so that no other runs,
whatever markup gets into the page.
"""

import json
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Any, NamedTuple

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hermes.pages import format
from hermes.text import counted
from hermes.version import __version__

_POLICY = "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"


class Tile(NamedTuple):
    """One figure of a headline: label, value, and a note below; `kind` is `main`, `warn` or empty."""

    label: str
    figure: str
    note: str | Markup
    kind: str = ""


def page(template: str, title: str, scripts: Sequence[str] = (), images: str = "", **values: Any) -> str:
    """A whole page.

    Args:
        template: one that extends `base.html`.
        title: of the window.
        scripts: run in this order, after that of the button for light or dark.
        images: where images may come from, as sources of a content security policy; without any, none is shown.
        values: variables of the template.
    """
    every = [asset("theme.js"), *scripts]
    shown = {"title": title, "scripts": [Markup(each) for each in every], "policy": policy(every, images)}
    return str(render(template, **shown, **values))


def render(template: str, **values: Any) -> Markup:
    """Render a template; the result is not escaped again in another template."""
    return Markup(_environment().get_template(template).render(**values))


def asset(name: str) -> str:
    """The text of a style sheet or a script in `assets/`."""
    return files("hermes.pages").joinpath("assets", name).read_text("utf-8")


def policy(scripts: Sequence[str], images: str = "") -> Markup:
    """The content security policy that allows only these inline scripts and no requests."""
    hashes = " ".join(f"'sha256-{b64encode(sha256(each.encode()).digest()).decode()}'" for each in scripts)
    parts = [_POLICY, *([f"script-src {hashes}"] if scripts else []), *([f"img-src {images}"] if images else [])]
    return Markup("; ".join(parts))


def data(value: Any) -> Markup:
    """A value as JSON for a script element; `<` is escaped, as it could end the element or begin a comment."""
    return embedded(json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")))


def embedded(text: str) -> Markup:
    """JSON for a script element, see `data`."""
    return Markup(text.replace("<", "\\u003c"))


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("hermes.pages"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(_FILTERS)
    environment.globals.update(version=__version__, asset=lambda name: Markup(asset(name)), THIN=format.THIN)
    return environment


def _or_dash(write: Callable[..., str]) -> Callable[..., str]:
    """A filter that shows a dash for a missing value."""
    return lambda value, *args, **kwargs: "–" if value is None else write(value, *args, **kwargs)


_FILTERS: Mapping[str, Callable[..., Any]] = {
    "number": _or_dash(format.number),
    "percent": _or_dash(format.percent),
    "change": _or_dash(format.change),
    "count": _or_dash(format.count),
    "amount": _or_dash(format.amount),
    "moment": _or_dash(format.moment),
    "day": _or_dash(format.day),
    "plain": format.plain,
    "spaced": format.spaced,
    "strategy": format.title,
    "indicator": format.indicator,
    "terms": format.terms,
    "plural": counted,
    "feature_set": format.feature_set,
    "few_trades": format.few_trades,
    "sentence": format.sentence,
}
