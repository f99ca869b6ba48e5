"""The public Python API, from its docstrings."""

import inspect

import hermes

_INTRODUCTION = """# Python

What `import hermes` offers. The single steps of the road are functions of `hermes.pipeline`, which take the same settings.

"""


def page() -> str:
    """The page."""
    parts = []
    for name in hermes.__all__:
        thing = getattr(hermes, name)
        if inspect.isclass(thing):
            directive, options = "autoclass", "   :members:\n"
        elif inspect.isroutine(thing):
            directive, options = "autofunction", ""
        else:
            continue
        parts.append(f".. {directive}:: {thing.__module__}.{thing.__qualname__}\n{options}\n")
    return f"{_INTRODUCTION}```{{eval-rst}}\n{''.join(parts)}```\n"
