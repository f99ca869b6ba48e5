"""`python -m torture [SUITE…]`: run torture suites, print what they found, and write docs/torture.md."""

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from random import SystemRandom

from bench.pages import table

from torture import SUITES, mutants, suite
from torture.page import HEADER, page, rows
from torture.runner import Ran, run, seeds

PAGE = Path(__file__).resolve().parents[1] / "docs" / "torture.md"


def main() -> int:
    """Parse, run, print; 1 where a case failed."""
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SUITE", help=f"suites to run: {' '.join(SUITES)}")
    parser.add_argument("--sample", action="store_true", help="the few cases that the tests run; writes no page")
    parser.add_argument("--cases", type=int, help="as many cases of each suite; writes no page")
    parser.add_argument("--seed", type=int, default=None, help="number of the run, below 10000; default a random one")
    parser.add_argument("--case", type=int, metavar="SEED", help="replay one case alone")
    parser.add_argument("--jobs", type=int, default=2, help="processes at once")
    parser.add_argument("--mutant", metavar="NAME", help="plant a fault first (see --list): the suite must fail")
    parser.add_argument("--mutants", action="store_true", help="plant every fault in turn: each must be found")
    parser.add_argument("--list", action="store_true", help="list the suites")
    given = parser.parse_args()
    if unknown := set(given.names) - set(SUITES):
        parser.error(f"no suite {' '.join(sorted(unknown))}; there are {' '.join(SUITES)}")
    names = given.names or SUITES
    if given.list:
        print(_listed())
        return 0
    if (given.case is not None or given.mutant) and len(given.names) != 1:
        parser.error("--case and --mutant need the one suite that they belong to")
    if given.mutant:
        if given.mutant not in mutants.mutants_of(names[0]):
            parser.error(f"{names[0]} has no mutant {given.mutant}; see --list")
        os.environ[mutants.VARIABLE] = f"{names[0]}:{given.mutant}"

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that servers and mounts go, too
    number = SystemRandom().randrange(1, 10_000) if given.seed is None else given.seed
    if given.mutants:
        return _prove(names, number, given.jobs)
    made = []
    for name in names:
        module = suite(name)
        count = given.cases or (module.SAMPLE if given.sample else module.FULL)
        cases = [given.case] if given.case is not None else seeds(number, count)
        if not cases:
            continue  # it has no sample
        made.append(run(name, cases, given.jobs, _progress(len(cases))))
        _report(made[-1])
    print(table(HEADER, rows(made)))
    whole = not (given.names or given.sample or given.cases or given.mutant)
    if whole:
        PAGE.write_text(page(made, given.jobs), encoding="utf-8")
        print(f"written to {PAGE}")
    return 1 if any(each.faults for each in made) else 0


def _prove(names: Sequence[str], number: int, jobs: int) -> int:
    """Run each suite with each of its mutants until one case fails; 1 where none does."""
    proofs = []
    for name in names:
        for mutant in mutants.mutants_of(name):
            os.environ[mutants.VARIABLE] = f"{name}:{mutant}"
            ran = run(name, seeds(number, suite(name).FULL), jobs, enough=lambda ran: bool(ran.faults))
            first = ran.faults[0].fault.partition("\n")[0] if ran.faults else "NOT FOUND"
            proofs.append((name, mutant, f"{ran.cases:,}", first[:160]))
            print(" | ".join(proofs[-1]), flush=True)
    return 1 if any(found == "NOT FOUND" for *_, found in proofs) else 0


def _progress(cases: int) -> Callable[[Ran], None]:
    """Prints how far a suite is: in place on a terminal, every tenth part elsewhere."""
    live = sys.stderr.isatty()

    def told(ran: Ran) -> None:
        if live or ran.cases % max(1, cases // 10) == 0 or ran.cases == cases:
            text = f"{ran.name}: {ran.cases:,} of {cases:,} cases, {len(ran.faults)} failed, {ran.seconds:,.0f} s"
            print(f"\r{text}" if live else text, end="" if live and ran.cases < cases else "\n", file=sys.stderr)

    return told


def _report(ran: Ran) -> None:
    """What a suite says of itself, and its faults, each with the command that replays it."""
    for note in ran.notes:
        print(f"{ran.name}: {note}")
    for outcome in ran.faults:
        replay = f"python -m torture {ran.name} --case {outcome.seed}"
        print(f"\nFAILED {ran.name}, replay with: {replay}\n{outcome.fault}", flush=True)


def _listed() -> str:
    """The suites and the mutants that prove their oracles."""
    suites = [(name, f"{suite(name).FULL:,}", f"{suite(name).SAMPLE:,}", suite(name).ABOUT) for name in SUITES]
    planted = [
        (name, mutant, (plant.__doc__ or "").partition("\n")[0])
        for name in SUITES
        for mutant, plant in mutants.mutants_of(name).items()
    ]
    return (
        table(("suite", "full", "sample", "about"), suites)
        + "\n\n"
        + table(("suite", "mutant", "what it breaks"), planted)
    )


if __name__ == "__main__":
    sys.exit(main())
