"""A strategy's source that can reach more than its expressions is named, line by line; none of it is run here."""

from pathlib import Path

import pytest

import hermes.strategies
from hermes.strategies.allowed import MODULES
from hermes.strategies.registry import STRATEGIES
from hermes.strategies.starter import _STRATEGY
from hermes.strategies.syntax import outside

HEAD = """\
import polars as pl
from pydantic import Field
from hermes.strategies.base import Parameters, Strategy
C = pl.col("close")
"""
#: What stands at the top of a module, or (indented) in `conditions`, and what must be said of it.
REACHES = {
    "reads a table": ('FRAME = pl.read_parquet("gold.parquet")', "pl.read_parquet"),
    "scans a table": ('PEAK = pl.scan_parquet("x").select(pl.col("high").max()).collect().item()', "pl.scan_parquet"),
    "opens a file": ('DATES = open("dates.txt").read()', "open"),
    "the lake": ("from hermes import read_features", "it imports hermes ("),
    "the pipeline": ("from hermes.pipeline import run", "hermes.pipeline"),
    "the command line": ("import sys", "sys"),
    "sys by way of typing": ("import typing\nARGS = typing.sys.argv", "typing.sys"),
    "sys from typing": ("from typing import sys", "typing.sys"),
    "polars by way of hermes": (
        "from hermes.strategies import base\nFRAME = base.pl.read_parquet('x')", "base.pl"
    ),
    "builtins by way of polars": ("X = pl.col.__globals__", "__globals__"),
    "a module passed on": ("def f(module):\n    return module.read_parquet('x')\nX = f(pl)", "passes the module pl on"),
    "another name for a module": ("p = pl", "passes the module pl on"),
    "getattr": ('X = getattr(pl, "read_" + "parquet")', "getattr"),
    "eval": ('X = eval("1")', "eval"),
    "exec": ('exec("import os")', "exec"),
    "__import__": ('X = __import__("os")', "__import__"),
    "__builtins__": ("X = __builtins__", "__builtins__"),
    "a builtin until it has another meaning": ("X = open('x')\nopen = C", "open"),
    "globals": ("X = globals()", "globals"),
    "a file's own name": ("X = __file__", "__file__"),
    "vars": ("X = vars(Strategy)", "vars"),
    "format": ('X = "{0.__class__}".format(C)', ".format"),
    "dunder": ("X = ().__class__.__base__.__subclasses__()", "__subclasses__"),
    "an exception's frames": ("def f(e):\n    return e.__traceback__.tb_frame", "tb_frame"),
    "a patched Polars": ("pl.Expr.shift = lambda self, n: self", "sets pl.Expr.shift"),
    "a patched Hermes": (
        "from hermes.strategies import base\nbase.Strategy.look_back = 9", "sets base.Strategy.look_back"
    ),
    "a patched audit": (
        "import hermes.stages.audit.causality as c\nc.judge = lambda *a: None", "hermes.stages.audit.causality"
    ),
    "an expression of its own": ("class E(pl.Expr):\n    pass", "made from pl.Expr"),
    "a metaclass": ("class M(Strategy, metaclass=type):\n    pass", "metaclass"),
    "a method of the language": ("class M(Strategy):\n    def __getattr__(self, n):\n        return 1", "__getattr"),
    "global": ("COUNT = 0\ndef f():\n    global COUNT\n    COUNT = 1", "global"),
    "with": ("def f(x):\n    with x:\n        pass", "with"),
    "an import with another meaning": ("def f(pl):\n    return pl.col", "gives pl another meaning"),
    "everything of a module": ("from polars import *", "polars.*"),
    "a file beside it": ("from .helpers import score", ".helpers"),
    "numpy": ("import numpy as np", "numpy"),
    "what pydantic imports": ("from pydantic import ImportString", "ImportString"),
    "what pydantic reads": ("X = Parameters.parse_file('x')", ".parse_file"),
    "a name defined to hide another": (
        "class P(Parameters):\n    parse_file: int = 1\nX = Parameters.parse_file('x')", ".parse_file"
    ),
    "an annotation that runs": ("class P(Parameters):\n    x: \"__import__('os')\" = 1", "annotation"),
    "an annotation that calls": ("class P(Parameters):\n    x: 'open(1)' = 1", "annotation"),
    "an annotation in a variable": ("T = '__import__(1)'\nclass P(Parameters):\n    x: T = 1", "annotation T"),
    "an annotation in a subscript": ("class P(Parameters):\n    x: 'list[open(1)]' = 1", "annotation"),
    "an annotation that is called": ("T = str\nclass P(Parameters):\n    x: T('f()') = 1", "annotation T('f()')"),
    "a class that becomes a text": ("class T(Parameters):\n    pass\nT = 'f()'", "gives T another meaning"),
    "two modules by one name": ("import math as m\nimport polars as m", "gives m two meanings"),
    "what an expression hides": ("class A(Strategy):\n    _pyexpr = 1\nX = C._pyexpr", "._pyexpr"),
    "a Python function": ("X = C.map_batches(lambda s: s)", ".map_batches"),
    "an expression read from bytes": ("X = pl.Expr.deserialize(b'')", ".deserialize"),
    "an expression written": ("X = C.meta", ".meta"),
    "a series": ("X = pl.Series([1])", "pl.Series"),
    "an eager select": ("X = pl.select(C)", "pl.select"),
    "a long list": (f"X = {list(range(101))}", "literal of 101 values"),
    "a long number": (f"X = {1 << 300}", "literal of 301 values"),
    "the clock": ("from datetime import datetime", "datetime"),
    "randomness": ("import random", "random"),
    "a plug-in": ("from polars.plugins import register_plugin_function", "polars.plugins"),
    "an attribute set in a loop": ("for pl.Expr.shift in [1]:\n    pass", "sets pl.Expr.shift"),
    "an attribute set in passing": ("pl.Expr.shift, y = 1, 2", "sets pl.Expr.shift"),
    "a function called __init__": ("def __init__(self):\n    self.shift = 1\n__init__(pl.Expr)", "__init__"),
    "another spelling": ("ｏｐｅｎ('x')", "uses open"),
    "a default value": ("f = lambda x=__import__('os'): x", "__import__"),
    "an f-string that opens": ("X = f\"{open('x')}\"", "open"),
    "not while types are checked": ("if 1:\n    import os", "imports os"),
    "another module of a package": ("import hermes.strategies.base\nX = hermes.settings", "hermes.settings"),
    "a method's function": ("X = Strategy.buy.__func__", "__func__"),
    "what a model keeps": ("class P(Parameters):\n    a: int = 1\nP.model_fields['a'].default = 3", ".model_fields"),
    "a builtin's module": ("X = ''.join.__self__", "__self__"),
    "a list that outlives a call": ("D = []\ndef f():\n    D.append(1)\n    return len(D)", "changes D with .append"),
    "a list by another name": ("D = []\ndef f():\n    d = D\n    d += [1]", "changes d in place"),
    "a default that is kept": ("def f(seen={}):\n    seen[len(seen)] = 1", "changes seen"),
    "a list of a class": (
        "class A(Strategy):\n    calls = []\n    def f(self):\n        self.calls.extend([1])", "changes self.calls"
    ),
    "a list of a strategy": (
        "class A(Strategy):\n    def __init__(self):\n        self.d = []\n    def f(self):\n        self.d.append(1)",
        "changes self.d",
    ),
    "a method passed on": ("D = []\nF = D.append\ndef f():\n    add = D.append\n    add(1)", "changes D with .append"),
    "a builtin's method": ("D = {}\ndef f():\n    dict.update(D, a=1)", "changes dict with .update"),
    "a set": ("D = {1}\ndef f():\n    D.add(2)", "changes D with .add"),
    "what another function gives": ("D = []\ndef g():\n    return D\ndef f():\n    g().append(1)", "changes g()"),
    "of a conditional": ("D = []\ndef f():\n    d = D or []\n    d.append(1)", "changes d with .append"),
    "in a loop": ("D = [[]]\ndef f():\n    for d in D:\n        d += [1]", "changes d in place"),
    "in a closure": (
        "def g():\n    d = []\n    return lambda: d.append(1)\nF = g()", "changes d with .append"
    ),
    "within a new one": ("D = []\ndef f():\n    d = [D]\n    d[0].append(1)", "changes d[0] with .append"),
    "a method by an expression's name": (
        "D = []\nclass A(Strategy):\n    def sub(self):\n        return D\n    def f(self):\n"
        "        d = self.sub()\n        d.append(1)",
        "changes d with .append",
    ),
    "a generator that is kept": ("IT = (x for x in [1])\ndef f():\n    return any(IT)", "keeps the iterator"),
    "a map that is kept": ("IT = map(int, [1])\ndef f():\n    return any(IT)", "keeps an iterator of map"),
    "a zip by another name": ("Z = zip\nIT = Z([1], [2])", "keeps an iterator of zip"),
    "a generator that is returned": ("def f():\n    return (x for x in [1])\nIT = f()", "keeps the iterator"),
    "not Python": ("def", "cannot be read"),
    "a NUL": ("X = 1\0", "cannot be read"),
}  # fmt: skip
PLAIN = {
    "names of prices": "open, high, low = (pl.col(name) for name in ('open', 'high', 'low'))\ndef f():\n    return C",
    "a function's own open": "def f():\n    open = pl.col('open')\n    return open > C",
    "a dict made in steps": "def f():\n    r = {}\n    r['a'] = C > 1\n    r.update(b=C)\n    return r",
    "fields called as methods are": "class A(Strategy):\n    def f(s, self):\n        return self.parameters.limit",
    "parameters, renamed": "class A(Strategy):\n    def f(self):\n        p = self.parameters\n        return p.head",
    "tables made while loading": "R = {}\nfor n in (1, 2):\n    R[n] = C.shift(n)\nL = []\nL.append(C)",
    "a sum of conditions": "def f():\n    all_ = pl.lit(True)\n    for n in (1, 2):\n        all_ &= C.shift(n) > 1\n"
    "    score = 0\n    score += (C > 1).cast(pl.Int8)\n    return all_ & (score > 0)",
    "lists made in a call": "def f(n):\n    a = [C.shift(k) for k in range(n)]\n    a.append(C)\n    b = list(a)\n"
    "    b[0] = C\n    b += a\n    return pl.max_horizontal(*b)",
    "keywords with defaults": "class A(Strategy):\n    def __init__(self, **v):\n        v.setdefault('fast', 3)\n"
    "        super().__init__(**v)",
    "iterators used up": "a, b = (pl.col(n) for n in ('x', 'y'))\nR = dict(zip(['a'], [a]))\n"
    "X = [x for _, x in enumerate(map(abs, [1]))]\nY = pl.any_horizontal(C > k for k in (1, 2))",
    "an expression that adds": "def f():\n    return C.add(1)",
    "__init__": "class A(Strategy):\n    def __init__(self, **v):\n        super().__init__(**v)\n        self.w = 1",
    "a class of its own": "class A(Strategy):\n    pass\nclass B(A):\n    pass",
    "a shipped one": "from hermes.strategies.ma_cross import MovingAverageCross\nclass A(MovingAverageCross): pass",
    "math": "import math\nX = math.sqrt(2)",
    "choices": "from typing import Literal\nclass P(Parameters):\n    kind: Literal['a', 'b (c)'] = 'a'",
    "a type's name as text": "class P(Parameters):\n    x: 'int | None' = Field(default=1, ge=0)",
    "an f-string": "X = f'ema_{12:d}'",
    "TA-Lib": "import polars_talib as ta\nX = ta.ema(C, 12)",
}  # fmt: skip


@pytest.mark.parametrize("name", REACHES)
def test_what_reaches_beyond_expressions_is_named(name: str) -> None:
    source, said = REACHES[name]
    found = outside(HEAD + source)
    assert any(said in each for each in found), found


def test_its_line_is_named() -> None:
    assert outside(HEAD + "\nimport os\n") == ("it imports os (line 6)",)


@pytest.mark.parametrize("name", PLAIN)
def test_plain_source_is_left_alone(name: str) -> None:
    assert outside(HEAD + PLAIN[name]) == ()


def test_the_shipped_strategies_and_the_starter_use_nothing_else() -> None:
    folder = Path(hermes.strategies.__file__).parent
    for module in {kind.__module__.rpartition(".")[2] for kind in STRATEGIES.values()}:
        assert outside((folder / f"{module}.py").read_bytes()) == ()
    assert outside(_STRATEGY.substitute(name="mine", class_name="Mine", title="Mine")) == ()


def test_every_member_on_the_list_is_there() -> None:
    """A name that a library no longer has would hide a mistake in the list."""
    from importlib import import_module

    for module, names in MODULES.items():
        assert not [name for name in names if not hasattr(import_module(module), name)], module
