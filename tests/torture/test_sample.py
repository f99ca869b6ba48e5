"""A sample of every torture suite; `make torture` runs all of it."""

import pytest
from torture.runner import run, seeds

from torture import SUITES, suite

RUN = 1  # always the same cases: what a random run finds belongs in a full one


@pytest.mark.parametrize("name", [name for name in SUITES if suite(name).SAMPLE])
def test_sample(name: str):
    ran = run(name, seeds(RUN, suite(name).SAMPLE), jobs=1)
    replays = [f"python -m torture {name} --case {fault.seed}: {fault.fault}" for fault in ran.faults]
    assert not replays, "\n".join(replays)
    assert ran.cases == suite(name).SAMPLE
