"""Known vulnerabilities of the packages in requirements.lock, found by pip-audit; `make lint` runs it.

Without an advisory service nothing can be said: it says so, and passes.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

LOCK = Path(__file__).parents[1] / "requirements.lock"
COMMAND = (
    "pip_audit", "--requirement", str(LOCK), "--require-hashes", "--disable-pip", "--format", "json",
    "--progress-spinner", "off", "--timeout", "10",
)  # fmt: skip


def verdict(answer: str) -> tuple[int, str]:
    """Exit code and one line for pip-audit's JSON, which is empty where the service cannot be reached."""
    try:
        packages: list[dict[str, Any]] = json.loads(answer)["dependencies"]
    except (ValueError, KeyError):
        return 0, "vulnerabilities: not checked, the advisory service cannot be reached"
    found = [f"{each['name']} {each['version']}: {one['id']}" for each in packages for one in each.get("vulns", [])]
    if found:
        return 1, "\n".join(["vulnerabilities:", *found])
    checked = sum("vulns" in each for each in packages)
    if not checked:
        return 0, "vulnerabilities: not checked, the advisory service knows none of the packages"
    return 0, f"vulnerabilities: none known for {checked} of the {len(packages)} packages in {LOCK.name}"


def main() -> int:
    """Run pip-audit; returns the exit code."""
    done = subprocess.run([sys.executable, "-m", *COMMAND], capture_output=True, text=True, check=False)
    code, said = verdict(done.stdout)
    print(said)
    return code


if __name__ == "__main__":
    sys.exit(main())
