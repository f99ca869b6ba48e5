"""The examples for bots, against a server that answers as freqtrade's REST API does."""

import base64
import importlib.util
import json
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
STATUS = {
    "symbol": "BTCUSDT", "market": "spot", "interval": "4h", "strategy": "smart_momentum", "stale": False,
    "newest_bar": "2026-11-25T08:00:00", "position": 0, "record_head": "ab" * 32,
    "last_signal": {"datetime": "2026-11-25T08:00:00", "side": "sell", "price": 91311.5},
}  # fmt: skip


def example(name: str):
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Bot:
    """What freqtrade would hold."""

    def __init__(self) -> None:
        self.trades: list[dict] = []
        self.asked: list[str] = []


@pytest.fixture
def bot(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bot]:
    bot = Bot()

    class Handler(BaseHTTPRequestHandler):
        def answer(self, content: object, status: int = 200) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def allowed(self) -> bool:
            login = "Basic " + base64.b64encode(b"me:pw").decode()
            return self.headers["Authorization"] == (login if self.path.endswith("login") else "Bearer T")

        def do_GET(self) -> None:
            self.answer(bot.trades if self.allowed() else {"detail": "Unauthorized"}, 200 if self.allowed() else 401)

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.allowed():
                self.answer({}, 401)
            elif self.path == "/api/v1/token/login":
                self.answer({"access_token": "T", "refresh_token": "R"})
            elif self.path == "/api/v1/forceenter":
                bot.asked.append(f"enter {body['pair']} {body['side']}")
                bot.trades.append({"trade_id": 7, "pair": body["pair"], "is_short": body["side"] == "short"})
                self.answer(bot.trades[-1])
            elif self.path == "/api/v1/forceexit":
                bot.asked.append(f"exit {body['tradeid']}")
                bot.trades[:] = [trade for trade in bot.trades if str(trade["trade_id"]) != body["tradeid"]]
                self.answer({"result": "Created exit order"})
            else:
                self.answer({}, 404)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        monkeypatch.setenv("FREQTRADE_URL", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("FREQTRADE_USER", "me")
        monkeypatch.setenv("FREQTRADE_PASSWORD", "pw")
        yield bot
        server.shutdown()


def test_bridge_brings_the_bot_to_the_position_and_does_nothing_twice(bot: Bot):
    bridge = example("freqtrade_bridge")
    bot.trades.append({"trade_id": 3, "pair": "ETH/USDT", "is_short": False})  # somebody else's business
    for position in (0, 1, 1, -1, -1, 0, 0):
        bridge.follow(STATUS | {"position": position}, "BTC/USDT")
    assert bot.asked == ["enter BTC/USDT long", "exit 7", "enter BTC/USDT short", "exit 7"]
    assert len(bot.trades) == 1


def test_bridge_does_nothing_on_a_stale_status(bot: Bot):
    said = example("freqtrade_bridge").follow(STATUS | {"position": 1, "stale": True}, "BTC/USDT")
    assert "stale" in said
    assert bot.asked == []


def test_bridge_survives_a_bot_and_a_file_that_are_away(bot: Bot, tmp_path: Path, monkeypatch, capsys):
    bridge = example("freqtrade_bridge")
    path = tmp_path / "status.json"
    bridge.main(str(path), "BTC/USDT", "--once")
    path.write_text(json.dumps(STATUS | {"position": 1}))
    monkeypatch.setenv("FREQTRADE_PASSWORD", "wrong")
    bridge.main(str(path), "BTC/USDT", "--once")
    monkeypatch.setenv("FREQTRADE_PASSWORD", "pw")
    bridge.main(str(path), "BTC/USDT", "--once")
    assert bot.asked == ["enter BTC/USDT long"]
    missing, refused, done = capsys.readouterr().out.splitlines()
    assert "No such file" in missing
    assert "401" in refused
    assert done == "entered BTC/USDT long"


def test_follower_runs_its_command_once_for_each_new_signal(tmp_path: Path):
    follower = example("follow_signals")
    path, log = tmp_path / "status.json", tmp_path / "log"
    write = f"import os; open({str(log)!r}, 'a').write(os.environ['HERMES_SIDE'] + os.environ['HERMES_PRICE'] + ' ')"
    command = [sys.executable, "-c", write]

    def look(done: str | None, **changed: object) -> str | None:
        path.write_text(json.dumps(STATUS | changed))
        return follower.look(path, done, command)

    old = look(None)
    assert not log.exists(), "a signal from before the first start is old"
    buy = {"datetime": "2026-11-25T12:00:00", "side": "buy", "price": 90000.0}
    assert look(old, last_signal=buy, stale=True) == old
    new = look(old, last_signal=buy)
    assert look(new, last_signal=buy) == new
    assert log.read_text() == "buy90000.0 "
    assert (tmp_path / "status.done").read_text() == new
    assert look(None, last_signal=None) is None


def test_follower_remembers_before_it_acts(tmp_path: Path, monkeypatch):
    follower = example("follow_signals")
    path = tmp_path / "status.json"
    path.write_text(json.dumps(STATUS))

    def crash(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(follower.subprocess, "run", crash)
    with pytest.raises(KeyboardInterrupt):
        follower.look(path, "something older", ["true"])
    assert (tmp_path / "status.done").read_text() == "2026-11-25T08:00:00 sell"
