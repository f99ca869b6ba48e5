"""Known vulnerabilities of everything in requirements.lock, asked of OSV (osv.dev), which knows PyPI's advisories.

`make lint` runs it. No advisory database comes as a package, so this needs the network: where OSV cannot be reached it
says so and passes. Exit code 1 where an advisory is known that `ACCEPTED` does not name.
"""

import json
import re
import sys
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

OSV = "https://api.osv.dev/v1/querybatch"
LOCK = Path(__file__).parents[1] / "requirements.lock"
TIMEOUT_S = 10
#: Advisory → why it does not matter here.
ACCEPTED: Mapping[str, str] = {}


def pinned(lock: str) -> Iterator[tuple[str, str]]:
    """Name and version of every package in a lock file."""
    yield from re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^\]]*\])?==([^\s;\\]+)", lock, re.MULTILINE)


def known(packages: list[tuple[str, str]], url: str = OSV) -> dict[tuple[str, str], list[str]]:
    """The advisories of each package that has any.

    Raises:
        OSError: OSV cannot be reached. ValueError: it answers something else.
    """
    queries = [{"package": {"ecosystem": "PyPI", "name": name}, "version": version} for name, version in packages]
    body = json.dumps({"queries": queries}).encode()
    request = urllib.request.Request(url, data=body, headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        results = json.load(answer).get("results", [])
    if len(results) != len(packages):
        raise ValueError(f"{len(results)} answers to {len(packages)} questions")
    found = {
        package: sorted({each["id"] for each in result.get("vulns", [])} - ACCEPTED.keys())
        for package, result in zip(packages, results, strict=True)
    }
    return {package: ids for package, ids in found.items() if ids}


def main() -> int:
    """Check the lock; returns the exit code."""
    packages = list(pinned(LOCK.read_text()))
    try:
        found = known(packages)
    except (OSError, ValueError) as error:
        print(f"advisories: not checked, osv.dev cannot be asked ({error})")
        return 0
    for (name, version), ids in found.items():
        print(f"advisories: {name} {version}: {' '.join(ids)} (see https://osv.dev/vulnerability/{ids[0]})")
    if not found:
        print(f"advisories: none known for the {len(packages)} packages of {LOCK.name}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
