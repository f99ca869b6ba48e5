"""Debian's Chromium, driven over its DevTools protocol: opens a page, runs scripts, remembers its complaints."""

import asyncio
import base64
import json
import subprocess
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest
from tornado.websocket import websocket_connect

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--enable-unsafe-swiftshader", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
    "--remote-debugging-port=0",
)  # fmt: skip
NEEDED = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason=f"needs Debian's chromium at {CHROMIUM}"),
]
OFFLINE = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}


class Browser:
    """One browser with one page; `with` closes it.

    Attributes:
        requests: addresses that the page asked for.
        complaints: errors and warnings on the console, and uncaught exceptions.
    """

    def __init__(self, width: int = 1280, height: int = 900, *flags: str) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        self._loaded = False
        self._loop = asyncio.new_event_loop()
        self._profile = tempfile.TemporaryDirectory(prefix="hermes-browser", ignore_cleanup_errors=True)
        self._process = subprocess.Popen(
            [
                str(CHROMIUM),
                *FLAGS,
                f"--user-data-dir={self._profile.name}",
                f"--window-size={width},{height}",
                *flags,
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._last = 0
        try:
            self._run(self._connect())
        except BaseException:
            self.close()
            raise
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> "Browser":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self._loop.close()
        self._profile.cleanup()

    def open(self, page: Path | str) -> None:
        """Open a file, or an address, and wait until it has loaded."""
        self._loaded = False
        self.call("Page.navigate", url=page if isinstance(page, str) else page.resolve().as_uri())
        while not self._loaded:
            self._run(self._receive())

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One command of the protocol and its answer."""
        return self._run(self._call(method, params))

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(answer["exceptionDetails"]["exception"].get("description", script))
        return answer["result"].get("value")

    def wait(self, condition: str) -> None:
        """Until a JavaScript expression is true; 20 seconds at most."""
        late = "Date.now() > until ? fail(new Error('still waiting'))"
        look = f"const look = () => ({condition}) ? done() : {late} : setTimeout(look, 20)"
        self.run(f"new Promise((done, fail) => {{ const until = Date.now() + 20000; {look}; look() }})")

    def frame(self) -> None:
        """Until the page has been painted again."""
        self.run("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def drag(self, x: float, y: float, by: float) -> None:
        """Press at a point of the window, move sideways, release."""
        steps = (("mouseMoved", x), ("mousePressed", x), ("mouseMoved", x + by / 2), ("mouseMoved", x + by),
                 ("mouseReleased", x + by))  # fmt: skip
        for kind, at in steps:
            self.call("Input.dispatchMouseEvent", type=kind, x=at, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path: Path, whole: bool = False) -> None:
        """What the window shows, or the whole page, as PNG."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return self._loop.run_until_complete(asyncio.wait_for(work, 60))

    async def _connect(self) -> None:
        port_file = Path(self._profile.name) / "DevToolsActivePort"
        while not (port_file.is_file() and len(lines := port_file.read_text().split()) == 2):
            if self._process.poll() is not None:
                raise RuntimeError(f"chromium ended with {self._process.returncode}")
            await asyncio.sleep(0.02)
        address = f"ws://127.0.0.1:{lines[0]}{lines[1]}"
        self._socket = await websocket_connect(address, max_message_size=1 << 28)
        self._session: dict[str, str] = {}
        targets = await self._call("Target.getTargets", {})
        page = next(each["targetId"] for each in targets["targetInfos"] if each["type"] == "page")
        attached = await self._call("Target.attachToTarget", {"targetId": page, "flatten": True})
        self._session = {"sessionId": attached["sessionId"]}

    async def _call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        self._last += 1
        number = self._last
        await self._socket.write_message(
            json.dumps({"id": number, "method": method, "params": params, **self._session})
        )
        while (message := await self._receive()).get("id") != number:
            pass
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    async def _receive(self) -> dict[str, Any]:
        text = await self._socket.read_message()
        if text is None:
            raise RuntimeError("chromium closed the connection")
        message = json.loads(text)
        params = message.get("params", {})
        match message.get("method"):
            case "Page.loadEventFired":
                self._loaded = True
            case "Network.requestWillBeSent":
                self.requests.append(params["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(str(params["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if params["type"] in ("error", "warning", "assert"):
                self.complaints.append(str(params["args"]))
            case "Log.entryAdded" if params["entry"]["level"] in ("error", "warning"):
                self.complaints.append(params["entry"]["text"])
        return message


def opened(browser: Browser, path: Path | str) -> None:
    """Open one of our pages without a network, and wait until its script is done."""
    browser.call("Network.emulateNetworkConditions", **OFFLINE)
    browser.open(Path(path))
    browser.wait("document.documentElement.dataset.ready")


def quiet(browser: Browser) -> None:
    """No complaint on the console, and no request but for the page itself."""
    assert browser.complaints == []
    assert [url for url in browser.requests if not url.startswith(("file:", "data:", "blob:"))] == []
