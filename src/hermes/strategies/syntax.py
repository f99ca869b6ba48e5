"""Static check of a strategy's source: what it does outside Polars expressions, from its syntax tree.

An expression shows what it reads, but not where its constants come from: a file, a clock, the command
line. Source that uses only what is listed here cannot reach any of these: it builds expressions from parameters and
literals, the same whenever it is asked (`state`). Everything else is reported with its line; it may be harmless, but
that is not proven.
"""

import ast
import builtins
import symtable
from collections import Counter
from collections.abc import Iterator
from importlib.util import decode_source
from typing import NamedTuple

from pydantic import BaseModel

from hermes.strategies import allowed
from hermes.strategies.state import kept_state


def outside(source: str | bytes) -> tuple[str, ...]:
    """What a strategy's source uses other than Polars expressions and plain arithmetic, with line numbers.

    Args:
        source: of a Python module.

    Returns:
        One clause for each, in order of the lines; empty if there is nothing else.
    """
    text = decode_source(source) if isinstance(source, bytes) else source
    try:
        tree = ast.parse(text)
        found = _Source(tree, symtable.symtable(text, "strategy", "exec"))
    except (SyntaxError, RecursionError, ValueError):
        return ("its source cannot be read",)
    said = dict.fromkeys(sorted(found.said(), key=lambda each: each[0]))
    return tuple(dict.fromkeys(f"{what} (line {line})" for line, what in said))


_Said = Iterator[tuple[int, str]]


class _Scope(NamedTuple):
    """The context of a node: whether in `__init__`, and the names of the strategy's parameters."""

    initial: bool
    parameters: frozenset[str]


class _Source:
    """One module: its tree, and the meaning of its names."""

    def __init__(self, tree: ast.Module, table: symtable.SymbolTable) -> None:
        self.tree, self.table = tree, table
        imported = set(_imported(tree))
        self.imported = dict(imported)  # local name → what it stands for, dots in it
        self.twice = [name for name, times in Counter(name for name, _ in imported).items() if times > 1]
        self.classes = {node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
        self.own = {name for name in _defined(tree) if name not in allowed.FOREIGN}
        self.inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}

    def said(self) -> _Said:
        """Everything that is not on the allow-list."""
        yield from ((1, f"it gives {name} two meanings") for name in self.twice)
        yield from self._globals(self.table)
        yield from kept_state(self.tree, frozenset(self.imported))
        yield from self._nodes(self.tree, _Scope(initial=False, parameters=frozenset()))

    def _globals(self, table: symtable.SymbolTable) -> _Said:
        """Names that may refer to a builtin: all but local names of functions."""
        for symbol in table.get_symbols():
            name = symbol.get_name()
            local = table.get_type() == "function" and (symbol.is_local() or symbol.is_free())
            if local or not symbol.is_referenced() or name in allowed.BUILTINS:
                continue
            if hasattr(builtins, name) or name.startswith("__"):
                yield self._line_of(name), f"it uses {name}"
        for child in table.get_children():
            yield from self._globals(child)

    def _line_of(self, name: str) -> int:
        lines = (node.lineno for node in ast.walk(self.tree) if isinstance(node, ast.Name) and node.id == name)
        return min(lines, default=1)

    def _nodes(self, node: ast.AST, scope: _Scope) -> _Said:
        """A node within a function, or the module, and all below it."""
        line = getattr(node, "lineno", 1)
        if not isinstance(node, allowed.FORMS):
            yield line, f"it uses {_form(node)}"
        yield from ((line, what) for what in self._node(node, scope))
        for said in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            if said and not self._is_type(said):
                yield line, f"it has the annotation {ast.unparse(said)}"
        if isinstance(node, ast.FunctionDef | ast.Lambda):
            scope = _Scope(getattr(node, "name", "") == "__init__", _parameter_names(node))
        for child in ast.iter_child_nodes(node):
            yield from self._nodes(child, scope)

    def _node(self, node: ast.AST, scope: _Scope) -> Iterator[str]:
        match node:
            case ast.Import() | ast.ImportFrom():
                yield from (f"it imports {name}" for name in _foreign_imports(node))
            case ast.Attribute(ctx=ast.Load()):
                if not self._is_known(node, scope):
                    dotted = self._dotted(node.value)
                    yield f"it uses {ast.unparse(node)}" if dotted else f"it uses .{node.attr}"
            case ast.Attribute():
                if not (scope.initial and ast.unparse(node.value) == "self" and node.attr in self.own):
                    yield f"it sets {ast.unparse(node)}"
            case ast.Name(id=name) if name in self.imported:
                yield from self._import_used(node)
            case ast.Name(id=name, ctx=ast.Store()) if name in self.classes:
                yield f"it gives {name} another meaning"
            case ast.arg(arg=name) | ast.ClassDef(name=name) | ast.FunctionDef(name=name) if name in self.imported:
                yield f"it gives {name} another meaning"
            case ast.ClassDef():
                yield from self._class(node)
            case ast.FunctionDef(name=name) if name.startswith("__") and name != "__init__":
                yield f"it defines {name}"
            case ast.Constant() | ast.List() | ast.Tuple() | ast.Set() | ast.Dict() if (
                _size(node) > allowed.MOST_VALUES
            ):
                yield f"it holds a literal of {_size(node):,} values"

    def _import_used(self, node: ast.Name) -> Iterator[str]:
        """Check that a module is used only through its members, and that no import is rebound."""
        if not isinstance(node.ctx, ast.Load):
            yield f"it gives {node.id} another meaning"
        elif id(node) not in self.inner and _is_package(self.imported[node.id]):
            yield f"it passes the module {node.id} on"

    def _is_type(self, node: ast.expr) -> bool:
        """Whether an annotation is made of types alone: a text, even one in a variable, would be run by pydantic."""
        match node:
            case ast.Name(id=name):
                known = name in allowed.TYPES or name in self.imported or name in self.classes
            case ast.Attribute():
                known = bool(self._dotted(node))
            case ast.Constant(value=str() as text):
                known = self._is_type(_parsed(text))
            case ast.Constant(value=value):
                known = value is None or value is ...
            case ast.BinOp(left=left, op=ast.BitOr(), right=right):
                known = self._is_type(left) and self._is_type(right)
            case ast.List(elts=parts) | ast.Tuple(elts=parts):
                known = all(map(self._is_type, parts))
            case ast.Subscript(value=outer, slice=inner):
                form = self._dotted(outer)
                first = inner.elts[0] if form == "typing.Annotated" and isinstance(inner, ast.Tuple) else inner
                known = form == "typing.Literal" or (self._is_type(outer) and self._is_type(first))
            case _:
                known = False
        return known

    def _class(self, node: ast.ClassDef) -> Iterator[str]:
        if node.keywords:
            yield f"the class {node.name} has {node.keywords[0].arg or 'keywords'}"
        for base in node.bases:
            stands_for = self._dotted(base)
            if stands_for not in allowed.BASES and not (isinstance(base, ast.Name) and base.id in self.classes):
                yield f"the class {node.name} is made from {ast.unparse(base)}"

    def _dotted(self, node: ast.AST) -> str:
        """`pl.col` → `polars.col`; empty if the name is not imported."""
        if isinstance(node, ast.Name):
            return self.imported.get(node.id, "")
        if isinstance(node, ast.Attribute):
            before = self._dotted(node.value)
            return f"{before}.{node.attr}" if before else ""
        return ""

    def _is_known(self, node: ast.Attribute, scope: _Scope) -> bool:
        """Whether an attribute is an allowed member of a module, or of a value made by such members."""
        name, base = node.attr, node.value
        before = self._dotted(base)
        if before and _is_package(before):
            return name in allowed.MODULES.get(before, ()) or _is_package(f"{before}.{name}")
        if name.startswith("__"):
            return name == "__init__" and isinstance(base, ast.Call) and ast.unparse(base) == "super()"
        if name.startswith("_") and not (isinstance(base, ast.Name) and base.id in ("self", "cls")):
            return False
        if name in allowed.ATTRIBUTES or name in self.own:
            return True
        of_parameters = _is_parameters(base) or (isinstance(base, ast.Name) and base.id in scope.parameters)
        return of_parameters and not name.startswith("_") and not hasattr(BaseModel, name)


def _parsed(text: str) -> ast.expr:
    """The expression that a text is; that of an empty tuple's call, which is no type, where it is none."""
    try:
        return ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError):
        return ast.Call(ast.Tuple([], ast.Load()), [], [])


def _imported(tree: ast.AST) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for each in node.names:
                yield (each.asname, each.name) if each.asname else (each.name.split(".")[0],) * 2
        elif isinstance(node, ast.ImportFrom):
            for each in node.names:
                yield each.asname or each.name, f"{node.module}.{each.name}"


def _foreign_imports(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    if isinstance(node, ast.Import):
        yield from (each.name for each in node.names if each.name not in allowed.MODULES)
    elif node.level or not node.module or node.module not in allowed.MODULES:
        yield "." * node.level + (node.module or "")
    else:
        yield from (
            f"{node.module}.{each.name}" for each in node.names if each.name not in allowed.MODULES[node.module]
        )


def _is_package(dotted: str) -> bool:
    """Whether it is a module on the list, or a package with one."""
    return any(each == dotted or each.startswith(f"{dotted}.") for each in allowed.MODULES)


def _defined(tree: ast.AST) -> Iterator[str]:
    """Names that can be attributes of what the source defines: methods, fields, what `__init__` sets."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name):
                yield name
            case ast.ClassDef():
                pass
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name


def _is_parameters(node: ast.AST) -> bool:
    return isinstance(node, ast.Attribute) and node.attr == "parameters" and ast.unparse(node.value) == "self"


def _parameter_names(function: ast.AST) -> frozenset[str]:
    """Names in a function that only refer to the strategy's parameters."""
    nodes = list(ast.walk(function))
    stored = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store))
    stored.update(node.arg for node in nodes if isinstance(node, ast.arg))
    given = Counter(
        target.id
        for node in nodes
        if isinstance(node, ast.Assign) and _is_parameters(node.value)
        for target in node.targets
        if isinstance(target, ast.Name)
    )
    return frozenset(name for name, times in given.items() if times == stored[name])


def _size(node: ast.AST) -> int:
    """How many values a literal counts for: extra digits of a number count, a text on its own does not."""
    match node:
        case ast.Constant(value=int() as value) if value.bit_length() > 64:
            return value.bit_length()
        case ast.Constant(value=bytes() as value):
            return len(value)
        case ast.List(elts=held) | ast.Tuple(elts=held) | ast.Set(elts=held):
            return len(held)
        case ast.Dict(keys=keys):
            return len(keys)
    return 0


def _form(node: ast.AST) -> str:
    """AsyncFunctionDef → async function def."""
    return "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in type(node).__name__).strip()
