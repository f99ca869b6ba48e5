"""Keep a freqtrade bot at the position that Hermes holds: python freqtrade_bridge.py STATUS PAIR [--once]

STATUS is the file that Hermes publishes for a dataset, such as lake/gold/status/trading_signals_….json, PAIR is what
freqtrade calls it, such as BTC/USDT. The bot needs its REST server (`api_server`) and `force_entry_enable`; its address
and account are read from FREQTRADE_URL, FREQTRADE_USER and FREQTRADE_PASSWORD. Start with freqtrade's dry run.

Hermes places no orders and holds no keys of an exchange: this script asks your bot, and your bot trades. It compares
the position that is wanted with the trades that are open, so it may be stopped and started at any time. It does
nothing on a status that is stale, and nothing twice.
"""

import base64
import json
import os
import sys
import time
import urllib.request
from pathlib import Path

SECONDS = 5  # between two looks at the status


def ask(path, token, body=None):
    """One request to the bot; returns its JSON."""
    url = os.environ["FREQTRADE_URL"].rstrip("/") + "/api/v1/" + path
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": token, "Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers, method="GET" if body is None else "POST")
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def login():
    """The token of a session, which freqtrade lets live for a quarter of an hour."""
    account = f"{os.environ['FREQTRADE_USER']}:{os.environ['FREQTRADE_PASSWORD']}"
    basic = "Basic " + base64.b64encode(account.encode()).decode()
    return "Bearer " + ask("token/login", basic, {})["access_token"]


def follow(status, pair):
    """Bring the bot to the wanted position; returns what was asked of it, or why nothing was."""
    if status["stale"]:
        return f"the status is stale: its newest bar is {status['newest_bar']}"
    wanted = {1: "long", -1: "short", 0: None}[status["position"]]
    token = login()
    trades = [trade for trade in ask("status", token) if trade["pair"] == pair]
    wrong = [trade for trade in trades if wanted != ("short" if trade.get("is_short") else "long")]
    for trade in wrong:
        ask("forceexit", token, {"tradeid": str(trade["trade_id"])})
    if wanted and len(trades) == len(wrong):
        ask("forceenter", token, {"pair": pair, "side": wanted})
        return f"entered {pair} {wanted}"
    return f"left {pair}" if wrong else f"{pair} is {wanted or 'flat'} as it should be"


def main(path, pair, *options):
    """Look at the status again and again; a bot or a file that is away is tried again."""
    said = None
    while True:
        try:
            done = follow(json.loads(Path(path).read_text(encoding="utf-8")), pair)
        except (OSError, ValueError) as error:
            done = f"tried again in {SECONDS} s: {error}"
        if done != said:
            print(done, flush=True)
        said = done
        if "--once" in options:
            return
        time.sleep(SECONDS)


if __name__ == "__main__":
    main(*sys.argv[1:])
