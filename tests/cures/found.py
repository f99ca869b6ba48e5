"""Every cure in the source: the second text of an error, with … for what is filled in."""

import ast
import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from functools import cache
from pathlib import Path

import hermes
from hermes import errors

SOURCES = Path(hermes.__file__).parent
KINDS = {name for name, each in vars(errors).items() if isinstance(each, type) and issubclass(each, errors.HermesError)}
#: Other calls that carry a cure: name → position of the argument.
CARRIERS = dict.fromkeys(KINDS, 1) | {"_Fault": 1, "read_json": 2}
#: Tables of cures, whose last text in each row is one.
TABLES = {"_CAUSES", "_CURES"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def cures() -> dict[str, str]:
    """Cure → where it is written."""
    modules = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(SOURCES.rglob("*.py"))}
    constants = {path: _constants(tree.body) for path, tree in modules.items()}
    shared = {name: value for each in constants.values() for name, value in each.items()}
    found: dict[str, str] = {}
    for path, tree in modules.items():
        known = _Texts(shared | constants[path], {n.name: n for n in ast.walk(tree) if isinstance(n, Function)})
        for line, node, function in _carried(tree):
            for cure in known.of(node, function):
                if cure.strip("… "):
                    found.setdefault(cure, f"{path.relative_to(SOURCES)}:{line}")
    return found


def pattern(cure: str) -> re.Pattern[str]:
    """What the texts look like that are made of a cure."""
    return re.compile(".*?".join(re.escape(part) for part in cure.split("…")), re.S)


def commands(cure: str) -> list[str]:
    """What is between backticks, without the leading `hermes`."""
    return re.findall(r"`hermes ([^`]+)`", cure)


def options(cure: str) -> list[str]:
    """Options outside backticks, each with its value where the text gives one."""
    return re.findall(r"(?<![\w-])--[a-z][a-z-]+(?: [^\s;,`()]+)?", re.sub(r"`[^`]*`", "", cure))


def typed() -> dict[str, str]:
    """The cures that name a command or an option, and where each is written; the others are words for people."""
    return {cure: where for cure, where in cures().items() if commands(cure) or options(cure)}


def in_source(cure: str, known: Iterable[str]) -> str:
    """The cure of the source that a scenario means: a word of it may have changed, what is typed may not."""
    if cure in known:
        return cure
    alike = [each for each in known if _what_is_typed(each) == _what_is_typed(cure)]
    near = get_close_matches(cure, alike, n=1, cutoff=0.5)
    return near[0] if near else cure


def _what_is_typed(cure: str) -> tuple[list[str], list[str]]:
    return commands(cure), [option.partition(" ")[0] for option in options(cure)]


def _carried(tree: ast.AST, inside: Function | None = None) -> Iterator[tuple[int, ast.expr, Function | None]]:
    """The expressions that are cures, with the function that they stand in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            position = CARRIERS.get(name)
            if position is not None and len(node.args) > position:
                yield node.lineno, node.args[position], inside
        elif isinstance(node, ast.Assign) and {getattr(each, "id", "") for each in node.targets} & TABLES:
            rows = node.value.values if isinstance(node.value, ast.Dict) else getattr(node.value, "elts", [])
            for row in rows:
                yield row.lineno, row.elts[-1] if isinstance(row, ast.Tuple) else row, None
        yield from _carried(node, node if isinstance(node, Function) else inside)


def _constants(body: list[ast.stmt]) -> dict[str, ast.expr]:
    """The names that a module gives to values."""
    return {
        target.id: node.value
        for node in body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


class _Texts:
    """The texts that expressions can have: constants, what functions return and what names were set to are followed."""

    def __init__(self, constants: dict[str, ast.expr], functions: dict[str, Function]) -> None:
        self._constants = constants
        self._functions = functions

    def of(self, node: ast.expr, function: Function | None, depth: int = 0) -> list[str]:
        """All texts; … stands for what only a run can tell."""
        if depth > 5:
            return ["…"]

        def below(other: ast.expr, where: Function | None = function) -> list[str]:
            return self.of(other, where, depth + 1)

        match node:
            case ast.Constant(value=value):
                return [str(value)]
            case ast.JoinedStr(values=parts):
                return _joined([below(part.value) if isinstance(part, ast.FormattedValue) else below(part)
                                for part in parts])  # fmt: skip
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _joined([below(left), below(right)])
            case ast.IfExp(body=yes, orelse=no):
                return [*below(yes), *below(no)]
            case ast.BoolOp(values=values):
                return [text for value in values for text in below(value)]
            case ast.Name(id=name):
                set_to = _set_to(name, function) if function else []
                if set_to:
                    return [text for value in set_to for text in below(value)]
                return below(self._constants[name], None) if name in self._constants else ["…"]
            case ast.Call(func=ast.Name(id=name)) if name in self._functions:
                made = self._functions[name]
                returned = [each.value for each in ast.walk(made) if isinstance(each, ast.Return) and each.value]
                return [text for value in returned for text in below(value, made)]
        return ["…"]


def _set_to(name: str, function: Function) -> list[ast.expr]:
    return [
        node.value
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and name in {getattr(each, "id", "") for each in node.targets}
    ]


def _joined(parts: list[list[str]]) -> list[str]:
    texts = [""]
    for part in parts:
        texts = [re.sub("…+", "…", before + each) for before in texts for each in dict.fromkeys(part)]
    return texts
