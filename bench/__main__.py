"""`python -m bench [NAME…] [--quick]`: measure, print, and write docs/benchmarks.md."""

import argparse
from compileall import compile_dir
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.pages import page
from bench.sections import SECTIONS

SOURCES = Path(__file__).resolve().parents[1] / "src"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "benchmarks.md"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"sections to measure: {' '.join(SECTIONS)}")
    parser.add_argument("--quick", action="store_true", help="small sizes, to see that it works; writes no page")
    given = parser.parse_args()
    if unknown := set(given.names) - SECTIONS.keys():
        parser.error(f"no section {' '.join(sorted(unknown))}; there are {' '.join(SECTIONS)}")
    compile_dir(SOURCES, quiet=1)  # as pip does when it installs a package, and did with the peers
    made = []
    for name in given.names or SECTIONS:
        with TemporaryDirectory(prefix="hermes-bench-") as folder:
            print(f"{name}:", flush=True)
            made += SECTIONS[name](Path(folder), quick=given.quick)
    if given.quick:
        made = [replace(section, figures=()) for section in made]  # they are meant for the real sizes
    text = page(made, "make bench" if not given.names else f"python -m bench {' '.join(given.names)}")
    print(text)
    if not given.quick and not given.names:
        PAGE.write_text(text)
        print(f"written to {PAGE}")


main()
