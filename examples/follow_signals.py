"""Do something of your own at each new signal: python follow_signals.py STATUS COMMAND [ARGUMENT ...]

STATUS is the file that Hermes publishes for a dataset. At each signal that is new, COMMAND is run once, with what
there is to know in its environment: HERMES_SIDE (buy, sell, short or cover), HERMES_SYMBOL, HERMES_PRICE,
HERMES_POSITION, HERMES_DATETIME and HERMES_RECORD_HEAD. What was done is remembered beside the status, in a file that
ends in .done, before the command is run: after a crash it is not run again. Hermes itself places no orders.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

SECONDS = 1


def look(path, done, command):
    """Run the command if there is a new signal; returns what is remembered from now on."""
    status = json.loads(path.read_text(encoding="utf-8"))
    signal = status["last_signal"]
    key = signal and f"{signal['datetime']} {signal['side']}"
    if not key or key == done or status["stale"]:
        return done
    path.with_suffix(".done").write_text(key, encoding="utf-8")
    if done is None:  # at the first start the last signal is old
        return key
    told = {
        "HERMES_SIDE": signal["side"],
        "HERMES_DATETIME": signal["datetime"],
        "HERMES_PRICE": str(signal["price"]),
        "HERMES_SYMBOL": status["symbol"],
        "HERMES_POSITION": str(status["position"]),
        "HERMES_RECORD_HEAD": status["record_head"] or "",
    }
    subprocess.run(command, env={**os.environ, **told}, check=False)
    return key


def main(status, *command):
    """Look at the status again and again, until it is interrupted."""
    path = Path(status)
    memory = path.with_suffix(".done")
    done = memory.read_text(encoding="utf-8") if memory.exists() else None
    while True:
        try:
            done = look(path, done, command)
        except (OSError, ValueError) as error:
            print(f"tried again in {SECONDS} s: {error}", file=sys.stderr)
        time.sleep(SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
