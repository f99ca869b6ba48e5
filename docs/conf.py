"""Sphinx's settings: `make docs`. The site's root is the project's: links are the same there and in the sources."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

from generator import write_pages  # noqa: E402
from hermes import __version__ as release  # noqa: E402

project, author, copyright = "Hermes", "the Hermes authors", ""
version = release
language = "en"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
root_doc = "docs/index"
include_patterns = ["*.md", "docs/**"]
exclude_patterns = ["docs/generator"]

myst_heading_anchors = 4
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r".*")]  # types of other libraries: there is no network to look them up
add_module_names = False  # people import from hermes itself
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"

smartquotes_action = "q"  # a dash in --bytes is a dash

html_theme = "furo"
html_title = f"Hermes {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_copyright = html_show_sphinx = False
html_copy_source = html_show_sourcelink = False


def setup(app):
    """The reference is made from the code before the pages are read; the site's front door leads to its contents."""
    app.connect("config-inited", lambda *_: write_pages(HERE / "reference"))
    app.connect("autodoc-process-docstring", _whole_sentence, priority=900)  # after Napoleon
    app.connect("build-finished", lambda app, error: error or _front_door(Path(app.outdir)))


def _whole_sentence(app, what, name, thing, options, lines: list[str]) -> None:
    """Napoleon takes what stands before a colon in an attribute's text for its type: put it back."""
    if what in ("attribute", "property") and lines and lines[-1].startswith(":type: "):
        said = " ".join(line for line in lines[:-1] if line)
        lines[:] = [f"{lines[-1].removeprefix(':type: ')}: {said}"]


def _front_door(site: Path) -> None:
    target = f"{root_doc}.html"
    (site / "index.html").write_text(
        f'<!doctype html><meta charset="utf-8"><title>{html_title}</title>'
        f'<meta http-equiv="refresh" content="0; url={target}"><a href="{target}">{html_title}</a>\n'
    )
