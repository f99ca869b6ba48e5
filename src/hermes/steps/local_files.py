"""Pages that are written to a local file instead of the lake."""

from pathlib import Path

from hermes.errors import StoreError, UsageError
from hermes.files import replacing

_PAGES = (".html", ".htm")


def page_path(out: Path, symbol: str = "") -> Path:
    """The path of a page; a symbol is appended to its name, so that each symbol has its own page.

    Raises:
        UsageError: the name is not that of an HTML file.
    """
    if out.suffix.lower() not in _PAGES:
        raise UsageError(f"--out {out} is not the name of an HTML file", f"name it like {out.stem or 'report'}.html")
    return out.with_stem(f"{out.stem}_{symbol}") if symbol else out


def write_text(path: Path, text: str) -> str:
    """Write a local file atomically; returns its absolute path.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        with replacing(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path}: {error.strerror or error}", "name another file with --out") from error
    return str(path.resolve())
