"""The reference pages of the documentation, made from the code each time the site is built."""

from collections.abc import Callable, Mapping
from pathlib import Path

from generator import columns, command_line, documents, errors, measures, names, python, settings

#: Page → what makes it, in the order of the contents.
PAGES: Mapping[str, Callable[[], str]] = {
    "command-line": command_line.page,
    "settings": settings.page,
    "columns": columns.page,
    "paths": names.page,
    "measures": measures.page,
    "json": documents.page,
    "errors": errors.page,
    "python": python.page,
}


def write_pages(folder: Path) -> None:
    """Write every page; one that is as it was is left alone, so that Sphinx need not read it again."""
    folder.mkdir(exist_ok=True)
    for name, make in PAGES.items():
        path, text = folder / f"{name}.md", make()
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
