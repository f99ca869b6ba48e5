"""What `make lint` makes of pip-audit's answer."""

import json

import pytest
from tools.vulnerabilities import verdict

SOUND = {"name": "polars", "version": "2.1.0", "vulns": []}
SKIPPED = {"name": "duckdb", "skip_reason": "not found"}
BAD = {"name": "numpy", "version": "1.0", "vulns": [{"id": "PYSEC-1"}, {"id": "PYSEC-2"}]}


@pytest.mark.parametrize(
    ("packages", "code", "said"),
    [
        ([SOUND, SKIPPED], 0, "none known for 1 of the 2 packages"),
        ([SOUND, BAD], 1, "numpy 1.0: PYSEC-1\nnumpy 1.0: PYSEC-2"),
        ([SKIPPED], 0, "not checked"),
    ],
)
def test_what_it_says(packages: list[dict], code: int, said: str):
    found = verdict(json.dumps({"dependencies": packages}))
    assert found[0] == code
    assert said in found[1]


@pytest.mark.parametrize("answer", ["", "Traceback", "{}"])
def test_offline_it_says_so_and_passes(answer: str):
    code, said = verdict(answer)
    assert code == 0
    assert "not checked" in said
