"""The check of the lock against known advisories: what it asks, what it makes of the answer, and no network."""

import io
import json
import re
import urllib.request

import pytest
from tools.advisories import LOCK, known, main, pinned

from tools import advisories


def answered(monkeypatch: pytest.MonkeyPatch, answer: object) -> list[dict]:
    """OSV answers this; returns what it was asked."""
    asked: list[dict] = []

    def urlopen(request: urllib.request.Request, timeout: float) -> io.BytesIO:
        asked.extend(json.loads(request.data)["queries"])
        if isinstance(answer, Exception):
            raise answer
        return io.BytesIO(json.dumps(answer(asked)).encode())

    monkeypatch.setattr(urllib.request, "urlopen", urlopen)
    return asked


def test_every_package_of_the_lock_is_asked_for(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    asked = answered(monkeypatch, lambda queries: {"results": [{}] * len(queries)})
    assert main() == 0
    names = [query["package"]["name"] for query in asked]
    assert len(names) == len(re.findall(r"^\S+==", LOCK.read_text(), re.MULTILINE)) > 20
    assert {"polars", "obstore", "duckdb", "typer"} <= set(names)
    assert all(re.fullmatch(r"\d[\w.+!-]*", query["version"]) for query in asked)
    assert "none known" in capsys.readouterr().out


def test_lines_of_a_lock():
    lock = "a-b==1.0 \\\n    --hash=sha256:x\n    # via c\nc[extra]==2.0rc1 ; python_version < '3.12' \\\n"
    assert list(pinned(lock)) == [("a-b", "1.0"), ("c", "2.0rc1")]


def test_a_known_advisory_fails_and_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    answered(monkeypatch, lambda queries: {"results": [{"vulns": [{"id": "PYSEC-1"}]}] + [{}] * (len(queries) - 1)})
    assert main() == 1
    assert "PYSEC-1" in capsys.readouterr().out


def test_an_accepted_advisory_passes(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(advisories, "ACCEPTED", {"PYSEC-1": "not reached"})
    answered(monkeypatch, lambda _: {"results": [{"vulns": [{"id": "PYSEC-1"}]}]})
    assert known([("a", "1")]) == {}


@pytest.mark.parametrize("answer", [OSError("no route"), lambda _: {}, lambda _: {"results": []}])
def test_without_an_answer_it_says_so_and_passes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, answer: object
):
    answered(monkeypatch, answer)
    assert main() == 0
    assert "not checked" in capsys.readouterr().out
