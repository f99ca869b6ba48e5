"""The fresh process: `python -m bench.worker module:function '{"its": "arguments"}'` prints one JSON line."""

import json
import resource
import sys
from importlib import import_module
from time import perf_counter


def main() -> None:
    where, given = sys.argv[1:]
    module, function = where.split(":")
    work = getattr(import_module(f"bench.{module}"), function)(**json.loads(given))  # imports and preparations
    started = perf_counter()
    facts = work()
    seconds = perf_counter() - started
    peak = facts.pop("peak", None) or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024  # of its own workers
    print(json.dumps({"seconds": seconds, "peak": peak, "facts": facts}))


if __name__ == "__main__":  # what it spawns imports it again
    main()
