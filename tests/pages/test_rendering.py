"""How pages are made: everything is escaped, and nothing runs or is fetched but what the page itself brought."""

import ast
import json
import re
from importlib.resources import files
from pathlib import Path

import polars as pl
import pytest
from jinja2 import UndefinedError

from hermes.pages.compare import compare_page
from hermes.pages.rendering import asset, data, policy, render

PAGES = Path(str(files("hermes.pages").joinpath()))
TEMPLATES = sorted(path.name for path in (PAGES / "templates").iterdir())
EVIL = "</script><script>alert(1)</script>\"'&<!--"


def test_without_scripts_nothing_runs_and_nothing_is_fetched():
    assert policy([]) == "default-src 'none'; base-uri 'none'; form-action 'none'; style-src 'unsafe-inline'"


def test_each_script_is_named_by_its_hash():
    # From the content security policy specification, level 3, of the script alert('Hello, world.');
    known = "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
    assert f"; script-src {known}" in policy(["alert('Hello, world.');"])
    assert policy(["1", "alert('Hello, world.');"], "data:").endswith(f" {known}; img-src data:")
    assert "unsafe-inline" not in policy(["1"]).partition("script-src")[2]


def test_json_cannot_end_its_script_element():
    text = data({"name": EVIL})
    assert "<" not in text
    assert json.loads(text) == {"name": EVIL}


def test_what_a_template_is_given_is_escaped():
    table = render("card_table.html", heads=[EVIL], rows=[(EVIL, [(EVIL, [EVIL])])])
    assert "<script" not in table
    assert table.count("&lt;script&gt;") == 4


def test_a_value_that_a_template_lacks_is_an_error():
    with pytest.raises(UndefinedError):
        render("card_more.html", title="more")


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_template_turns_escaping_off(name):
    text = (PAGES / "templates" / name).read_text("utf-8")
    assert not re.search(r"\|\s*safe\b|autoescape|<script(?! type=\"application/json\"|>\{\{ script \}\})", text)


def test_only_fixed_texts_are_called_markup():
    """`Markup(text)` says that a text needs no escaping: outside `rendering`, only what stands in the source may."""
    for path in PAGES.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Markup" and path.stem != "rendering":
                assert all(isinstance(each, ast.Constant) for each in node.args), (path.name, node.lineno)


def test_scripts_are_shipped():
    assert asset("theme.js").startswith('"use strict"')


def test_every_page_has_one_policy_and_escapes_its_title():
    side = {"name": EVIL, "strategy": EVIL, "parameters": {EVIL: EVIL}, "feature_set": None, "features_version": None}
    names = ("total_return_pct", "sharpe", "max_drawdown_pct", "trades", "win_rate_pct", "exposure_pct", "fees_paid")
    side["metrics"] = dict.fromkeys(names) | {"trades": 3}
    curve = pl.DataFrame({"datetime": ["2024-01-01", "2024-01-02"], "first": [1.0, 2.0], "second": [1.0, 0.5]})
    curve = curve.with_columns(pl.col("datetime").str.to_datetime())
    html = compare_page({"first": side, "second": side, "verdict": EVIL, "difference": None}, curve, EVIL)
    assert html.count("Content-Security-Policy") == 1
    assert html.count("<script") == html.count("</script>") == 1
    assert f"<script>{asset('theme.js')}</script>" in html
