"""Markdown, and what the source says about its own names."""

import ast
import inspect
import textwrap
from collections.abc import Iterable, Sequence


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; bars inside a cell are escaped, line breaks become spaces."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(_cell(cell) for cell in line)} |" for line in lines) + "\n"


def code(text: object) -> str:
    """As code, or nothing where there is nothing."""
    return f"`{text}`" if str(text) else ""


def fenced(language: str, text: str) -> str:
    """A block of code."""
    return f"```{language}\n{text.rstrip()}\n```\n"


def paragraphs(docstring: str | None) -> str:
    """The text of a docstring."""
    return inspect.cleandoc(docstring or "")


def attribute_texts(cls: type) -> dict[str, str]:
    """The string that stands below each attribute of a class: Python itself does not keep it."""
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
    assert isinstance(body, ast.ClassDef)
    found = {}
    for line, below in zip(body.body, body.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
            match below:
                case ast.Expr(value=ast.Constant(value=str(text))):
                    found[line.target.id] = paragraphs(text)
    return found


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
