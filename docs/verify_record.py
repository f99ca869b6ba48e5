"""Check an exported record of Hermes, without Hermes: python verify_record.py FILE [HASH ...]

FILE is what `hermes record export` wrote, CSV or Parquet (which needs pyarrow). Each HASH is one that was kept from
`hermes record head`: it must still be in the file. Without one, nothing tells whether the newest rows were cut off, or
all was written anew. Exit code 0: no trace of a change; 3: a change, which is named; 1: FILE cannot be read.
"""

import csv
import hashlib
import sys
from decimal import Decimal
from pathlib import Path


def text(value):
    """A typed value as the record writes it: what docs/record-format.md calls its canonical text."""
    if value is None or isinstance(value, str):
        return value or ""
    if hasattr(value, "isoformat"):
        return value.isoformat(timespec="microseconds") + "Z"
    written = str(value).lower() if isinstance(value, bool) else format(Decimal(repr(value)), "f")
    return written.removesuffix(".0")


def read(path):
    """The rows of a file, one by one, every value as text."""
    if not path.endswith(".parquet"):
        with Path(path).open(newline="", encoding="utf-8") as file:
            yield from csv.DictReader(file)
        return
    import pyarrow.parquet  # noqa: PLC0415 - a CSV needs no library

    for batch in pyarrow.parquet.ParquetFile(path).iter_batches():
        yield from ({name: text(value) for name, value in row.items()} for row in batch.to_pylist())


def digest(row):
    """The SHA-256 of a row's canonical text."""
    lines = [f"{name}={row[name]}\n" for name in sorted(row) if row[name] != ""]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def main(path, *kept):
    """Print where each chain ends and everything that is wrong; returns the exit code."""
    ends, lost, faults = {}, set(kept), []
    for row in read(path):
        chain = " ".join(row[name] for name in ("provider", "market", "symbol", "interval", "strategy"))
        where, number, last = f"{chain}, row {row['sequence']}", int(row["sequence"]), ends.get(chain)
        if digest({name: row[name] for name in row if name != "hash"}) != row["hash"]:
            faults.append(f"{where}: its values are not those that were hashed")
        if last and number != int(last["sequence"]) + 1:
            faults.append(f"{where}: it comes after row {last['sequence']}: rows were removed, added or moved")
        elif row["previous_hash"] != (last["hash"] if last else row["previous_hash"] if number else "0" * 64):
            faults.append(f"{where}: it does not follow from the row before it")
        elif last:
            bar = {name: row[name] for name in ("datetime", "open", "high", "low", "close", "volume")}
            if digest({**bar, "bars_sha256": last["bars_sha256"]}) != row["bars_sha256"]:
                faults.append(f"{where}: the digest of its bars does not follow from the one before it")
        ends[chain], lost = row, lost - {row["hash"]}
    faults += [f"{head}: this hash was kept, and is not in the record" for head in lost]
    faults += [] if ends else [f"{path}: there is no row in it"]
    for chain, last in ends.items():
        print(f"{chain}: up to row {last['sequence']}, bar {last['datetime']}, head {last['hash']}")
    proven = f"all {len(kept)} kept hashes are there: no row up to them was changed or removed" if kept else ""
    print("\n".join(faults) or proven or "no trace of a change; only a hash that was kept proves more")
    return 3 if faults else 0


if __name__ == "__main__":
    sys.excepthook = lambda kind, error, _: print(f"cannot check: {kind.__name__}: {error}", file=sys.stderr)
    sys.exit(main(*sys.argv[1:]))
