"""Exit codes and errors, from the tree of errors."""

import hermes.errors
from generator.markdown import code, paragraphs, table
from hermes.errors import HermesError

_INTRODUCTION = """# Exit codes and errors

| code | means |
| --- | --- |
| 0 | done |
| 1 | failed: nothing half done was left behind |
| 2 | wrong usage: refused before any work began |
| 3 | an audit or a quality check found what it looks for |
| 130 | interrupted with Ctrl-C; the same command goes on |

With several symbols, one that fails does not stop the others; the exit code is then 1.

An error is one line on stderr: what is wrong, what was expected, and after an arrow the cure. `-v` adds the
traceback. From Python every error is a `hermes.HermesError`, with the two parts as `message` and `cure`.

"""


def page() -> str:
    """The page."""
    kinds = [each for each in vars(hermes.errors).values() if isinstance(each, type) and issubclass(each, HermesError)]
    rows = [(code(kind.__name__), _parent(kind), str(kind.exit_code), _first_line(kind)) for kind in kinds]
    return _INTRODUCTION + table(("error", "is a", "exit code", "raised for"), rows)


def _parent(kind: type) -> str:
    return code(kind.__mro__[1].__name__) if kind is not HermesError else ""


def _first_line(kind: type) -> str:
    return " ".join(paragraphs(kind.__doc__).split("\n\n", maxsplit=1)[0].split())
