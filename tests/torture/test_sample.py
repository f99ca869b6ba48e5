"""A sample of every torture suite; `make torture` runs all of it."""

import pytest
from torture.runner import run, seeds

from torture import SUITES, suite

RUN = 1  # always the same cases: what a random run finds belongs in a full one
#: Every so manieth case of a sample. The steps have no factor in common with the number of steps, faults, kinds of
#: request and kinds of trouble that a suite counts through, so that each of these is still met.
STRIDES = {"s3_faults": 5, "io": 4, "kill": 5, "parquet": 3, "secrets": 3, "snapshot": 3, "stores": 2}


@pytest.mark.parametrize("name", [name for name in SUITES if suite(name).SAMPLE])
def test_sample(name: str):
    cases = seeds(RUN, suite(name).SAMPLE)[:: STRIDES.get(name, 1)]
    ran = run(name, cases, jobs=1)
    replays = [f"python -m torture {name} --case {fault.seed}: {fault.fault}" for fault in ran.faults]
    assert not replays, "\n".join(replays)
    assert ran.cases == len(cases)
