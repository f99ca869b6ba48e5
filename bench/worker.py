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
    before, started = resource.getrusage(resource.RUSAGE_SELF), perf_counter()
    facts = work()
    seconds, after = perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF)
    peak = facts.pop("peak", None) or after.ru_maxrss * 1024  # of its own workers
    cpu = facts.pop("cpu", 0.0) + after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "facts": facts}))


if __name__ == "__main__":  # what it spawns imports it again
    main()
