"""The charts of a page: Bokeh's JSON, with a title and a legend for each panel."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from bokeh.document import Document
from bokeh.embed.util import standalone_docs_json_and_render_items
from bokeh.plotting import figure
from bokeh.resources import Resources
from markupsafe import Markup

from hermes.pages.rendering import asset, embedded, page


class Key(NamedTuple):
    """One entry of a legend; `kind` is its CSS class, `shape` the character for a marker."""

    label: str
    color: str
    kind: str = "line"
    shape: str = ""


class Drawn(NamedTuple):
    """A finished panel; the page's script and style refer to the name of its plot."""

    plot: figure
    title: str
    note: str
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart: its name, the element it is drawn into, its title with a note, and its legend."""

    name: str
    element: str
    title: str
    note: str
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Charts:
    """All panels in order, and the JSON that the page's script passes to Bokeh."""

    panels: Sequence[Panel]
    json: Markup


def scripts() -> list[str]:
    """The scripts of a page with charts: Bokeh, embedded so that the page loads nothing, and Hermes' own."""
    bokeh = Resources(mode="inline", components=["bokeh", "bokeh-gl"], log_level="error").js_raw
    return [*bokeh, asset("charts.js")]


def chart_page(template: str, title: str, drawn: Sequence[Drawn], **values: Any) -> str:
    """A whole page with charts, see `rendering.page`."""
    made = assemble(drawn)
    return page(template, title, scripts(), "data: blob:", panels=made.panels, charts_json=made.json, **values)


def assemble(drawn: Sequence[Drawn]) -> Charts:
    """The charts of one page, in this order."""
    document = Document()
    for each in drawn:
        document.add_root(each.plot)
    documents, items = standalone_docs_json_and_render_items(document)
    item: dict[str, Any] = items[0].to_json()
    panels = [
        Panel(str(each.plot.name), item["roots"][each.plot.id], each.title, each.note, each.keys) for each in drawn
    ]
    return Charts(panels, embedded(json.dumps({"documents": documents, "items": [item]}, separators=(",", ":"))))
