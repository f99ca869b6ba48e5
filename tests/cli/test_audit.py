"""The four words as people and programs meet them: on the command line, in JSON, in the lineage, on the page."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hermes.strategies.starter import write_starter

PEEKS = ("close > average) & (close.shift(1)", "close > average) & (close.shift(-1)")
RANKS = ("close > average) & (close.shift(1)", "close.rank() > 0) & (close.shift(1)")


@pytest.fixture
def lake(simulated_lake: Path, tmp_path: Path) -> list[str]:
    shutil.copytree(simulated_lake, tmp_path / "lake", dirs_exist_ok=True)
    return ["SIMUSDT", "--lake", f"{tmp_path}/lake/{{layer}}"]


@pytest.fixture
def strategy(tmp_path: Path) -> Callable[[str, str], list[str]]:
    def write(before: str, after: str) -> list[str]:
        file, _ = write_starter("changed", tmp_path)
        text = file.read_text()
        assert before in text
        file.write_text(text.replace(before, after))
        return ["--strategy", str(file)]

    return write


def test_an_audit_says_how_each_check_ended(hermes, lake: list[str]) -> None:
    said = hermes("audit", *lake, "--cuts", "20")
    assert said.code == 0
    assert "Audit of SIMUSDT 4h with smart_momentum: tested" in said.out
    told = " ".join(said.out.split())
    assert all(words in told for words in ("rules proven: 6 rules", "cuts tested: ", "warm up not checked: "))
    assert "none" not in said.out
    (made,) = hermes("audit", *lake, "--cuts", "20", "--json").json["datasets"]
    assert made["verdict"] == "tested"
    assert {name: check["verdict"] for name, check in made["checks"].items()} == {
        "rules": "proven",
        "cuts": "tested",
        "columns": "tested",
        "warm_up": "not_checked",
        "continuity": "tested",
    }


def test_a_fault_ends_with_three_and_makes_no_signals(hermes, lake: list[str], strategy, tmp_path: Path) -> None:
    peeks = strategy(*PEEKS)
    audited = hermes("audit", *lake, *peeks, "--cuts", "20")
    assert audited.code == 3
    assert "rules: cross_up: shift(-1) looks at later bars" in audited.err
    ran = hermes("run", *lake, *peeks, "--from", "gold", "--no-report")
    assert (ran.code, ran.error.startswith("error: SIMUSDT 4h: rules: cross_up: shift(-1)")) == (3, True)
    many = hermes("run", *lake, "--interval", "4h", "--workers", "1", *peeks, "--from", "gold", "--no-report")
    assert many.code == 3
    assert not list((tmp_path / "lake" / "gold").glob("trading_signals_changed*"))


def test_what_is_only_tested_is_told_wherever_its_signals_are_shown(hermes, lake, strategy, tmp_path: Path) -> None:
    ranks = strategy(*RANKS)
    (made,) = hermes("run", *lake, *ranks, "--from", "gold", "--json").json["datasets"]
    assert made["audit"] == "tested"
    reason = "cross_up: rank() compares a bar with all others"
    assert reason in made["checks"]["rules"]["detail"]
    lineage = json.loads(Path(made["path"].removeprefix("file://")).with_name("run.json").read_text())
    assert lineage["audit"]["checks"] == made["checks"]
    page = Path(made["report"].removeprefix("file://")).read_text()
    assert "<dt>Audit: rules</dt><dd>tested: not proven: cross_up: rank() compares" in page
    shown = hermes("show", *lake, *ranks)
    assert reason in " ".join(shown.out.split())
    said = hermes("run", *lake, *ranks, "--from", "gold", "--no-report")
    assert "Audit before these signals: tested" in said.out
    assert reason in " ".join(said.out.split())


def test_signals_without_an_audit_say_so(hermes, lake: list[str]) -> None:
    (made,) = hermes("run", *lake, "--from", "gold", "--no-audit", "--json").json["datasets"]
    assert (made["audit"], made["checks"]) == (None, None)
    page = Path(made["report"].removeprefix("file://")).read_text()
    assert "<dt>Audit</dt><dd>not checked: no audit of these rules and parameters on these bars</dd>" in page
    assert "Audit before these signals: not checked" in hermes("show", *lake).out


PATCHES = """\
import hermes.stages.audit.causality as causality
from hermes.stages.audit.checks import Judgement
import hermes.steps.audit as step
import hermes.strategies.registry as registry
import hermes.strategies.syntax as syntax

causality.judge = lambda *given: Judgement("proven", 0)
causality.judge_rules = step.judge_rules = lambda *given: causality.Rules(Judgement("proven", 0), {})
syntax.outside = registry.outside = lambda source: ()
"""


def test_code_that_patches_the_audit_is_not_called_proven(lake: list[str], strategy, tmp_path: Path) -> None:
    """In a process of its own, which it spoils."""
    words = strategy("from pydantic import Field", f"from pydantic import Field\n{PATCHES}")
    hermes = Path(sys.executable).with_name("hermes")
    command = [hermes, "audit", *lake, *words, "--cuts", "3", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    (made,) = json.loads(done.stdout)["datasets"]
    assert made["checks"]["rules"]["verdict"] == "tested"
    assert "it imports hermes.stages.audit.causality" in made["checks"]["rules"]["detail"]
