"""Static check of a strategy's source for state that outlives a call: rules that depend on it differ from call to call.

A list that a function appends to, a dict that it writes to, an iterator that is kept: each lets a strategy give honest
rules when it is first asked, and others later. What a function makes itself it may change: it is new each time.
"""

import ast
from collections.abc import Iterator

import polars as pl

_CHANGING = frozenset({"add", "append", "extend", "setdefault", "update"})  # allowed attributes that change their value
_ITERATORS = frozenset({"enumerate", "filter", "map", "reversed", "zip"})  # builtins that give something used up once
_USING_UP = frozenset({"all", "any", "dict", "frozenset", "list", "max", "min", "set", "sorted", "sum", "tuple"})
_MAKING = frozenset(  # builtins that give something new
    {"abs", "bool", "dict", "divmod", "float", "frozenset", "int", "isinstance", "len", "list", "pow", "range", "repr",
     "round", "set", "sorted", "str"}
)  # fmt: skip
_OF_VALUES = frozenset(name for kind in (dict, list, set, str, tuple) for name in dir(kind))
_OF_EXPRESSIONS = frozenset(dir(pl.Expr)) - _OF_VALUES
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_NEW = (
    ast.Constant, ast.List, ast.Dict, ast.Set, ast.Tuple, ast.ListComp, ast.SetComp, ast.DictComp, ast.JoinedStr,
    ast.BinOp, ast.UnaryOp, ast.Compare, ast.arg,
)  # fmt: skip

_Said = Iterator[tuple[int, str]]


def kept_state(tree: ast.Module, imported: frozenset[str]) -> _Said:
    """Every place where a function changes what it did not make itself, and every iterator that is kept.

    Args:
        tree: of a module.
        imported: local names of modules and of what is imported from them.

    Returns:
        Line and clause of each.
    """
    return _State(tree, imported).said()


class _State:
    def __init__(self, tree: ast.Module, imported: frozenset[str]) -> None:
        self.tree, self.imported = tree, imported
        self.parents = {id(child): node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        self.defined = set(_defined(tree))
        self.has_sets = any(_makes_set(node) for node in ast.walk(tree))

    def said(self) -> _Said:
        for node in ast.walk(self.tree):
            match node:
                case ast.Attribute(attr=name, value=base) if name in _CHANGING:
                    # `add` is a method of expressions, too.
                    if (name != "add" or self.has_sets) and not self._is_own(base, node):
                        yield node.lineno, f"it changes {ast.unparse(base)} with .{name}, which outlives the call"
                case ast.Subscript(ctx=ast.Store(), value=base) if not self._is_own(base, node):
                    yield node.lineno, f"it changes {ast.unparse(base)}, which outlives the call"
                case ast.AugAssign(target=ast.Name() as base) if not self._is_own(base, node):
                    yield node.lineno, f"it changes {base.id} in place, which may outlive the call"
                case ast.GeneratorExp() if not self._is_used_up(node):
                    yield node.lineno, f"it keeps the iterator {ast.unparse(node)[:60]}"
                case ast.Name(id=name) if name in _ITERATORS and not self._is_used_up(node):
                    yield node.lineno, f"it keeps an iterator of {name}"

    def _function(self, node: ast.AST) -> ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | None:
        """The innermost function around a node; None in code that runs once, when the module is loaded."""
        inner, outer = node, self.parents.get(id(node))
        while outer is not None:
            if isinstance(outer, _FUNCTIONS) and _is_within_body(inner, outer):
                return outer
            inner, outer = outer, self.parents.get(id(outer))
        return None

    def _is_own(self, base: ast.AST, node: ast.AST) -> bool:
        """Whether what is changed was made by the same call, or is changed only while the module is loaded."""
        function = self._function(node)
        if function is None:
            return True
        if not isinstance(base, ast.Name):
            return self._is_new(base) if isinstance(base, ast.Call) else False
        arguments = function.args
        given = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        if base.id in {each.arg for each in given}:
            return False
        values: list[ast.AST | None] = [arguments.kwarg] if arguments.kwarg and arguments.kwarg.arg == base.id else []
        for each in ast.walk(function):
            if each is not function and self._function(each) is not function:
                continue
            match each:
                case ast.Assign(targets=targets, value=value) if any(_is_name(one, base.id) for one in targets):
                    values.append(value)
                case ast.AnnAssign(target=target, value=value) if _is_name(target, base.id):
                    values.append(value)
                case ast.NamedExpr(target=target, value=value) if _is_name(target, base.id):
                    values.append(value)
                case ast.Name(id=base.id, ctx=ast.Store()) if not isinstance(
                    self.parents[id(each)], ast.Assign | ast.AnnAssign | ast.NamedExpr | ast.AugAssign
                ):
                    return False  # from a loop or out of something else
        return bool(values) and all(value is not None and self._is_new(value) for value in values)

    def _is_new(self, node: ast.AST) -> bool:
        """Whether an expression gives a value that nothing else refers to, or one that cannot be changed."""
        match node:
            case ast.IfExp(body=one, orelse=other):
                return self._is_new(one) and self._is_new(other)
            case ast.BoolOp(values=values):
                return all(map(self._is_new, values))
            case ast.Call(func=ast.Name(id=name)):
                return (name in _MAKING or name in self.imported) and name not in self.defined
            case ast.Call(func=ast.Attribute(attr=name, value=base)):
                of_module = isinstance(base, ast.Name) and base.id in self.imported
                return of_module or (name in _OF_EXPRESSIONS and name not in self.defined)
        return isinstance(node, _NEW)

    def _is_used_up(self, node: ast.AST) -> bool:
        """Whether an iterator, or what the builtin function of this name makes, is used up where it is made."""
        parent = self.parents[id(node)]
        if isinstance(node, ast.Name):
            return isinstance(parent, ast.Call) and parent.func is node and self._is_used_up(parent)
        match parent:
            case ast.Call(func=ast.Name(id=name)) if name in _ITERATORS:
                return True  # which is looked at itself
            case ast.Call(func=ast.Name(id=name)):
                return name in _USING_UP or name in self.imported
            case ast.Call(func=ast.Attribute(attr=name, value=base)):
                of_module = isinstance(base, ast.Name) and base.id in self.imported
                return of_module or name in ("join", "update", "extend")
            case ast.Assign(targets=targets):
                return all(isinstance(target, ast.Tuple | ast.List) for target in targets)
        return isinstance(parent, ast.For | ast.comprehension | ast.Starred)


def _defined(tree: ast.AST) -> Iterator[str]:
    """Names of functions, classes and what is assigned in the body of a class."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        if isinstance(node, ast.ClassDef):
            yield from (each.id for line in node.body for each in ast.walk(line)
                        if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store))  # fmt: skip


def _is_within_body(node: ast.AST, function: ast.AST) -> bool:
    """Whether a child of a function runs with each call: defaults and decorators do not."""
    body = getattr(function, "body", [])
    return node is body if isinstance(body, ast.expr) else any(node is each for each in body)


def _is_name(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Name) and node.id == name


def _makes_set(node: ast.AST) -> bool:
    return isinstance(node, ast.Set | ast.SetComp) or (isinstance(node, ast.Name) and node.id == "set")
