"""The request handlers of the server, with access checks and security headers."""

import asyncio
import json
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from ipaddress import ip_address
from typing import Any, TypeVar

from jinja2 import Environment, PackageLoader, StrictUndefined
from tornado.httputil import split_host_and_port
from tornado.iostream import StreamClosedError
from tornado.web import Application, HTTPError, RequestHandler

from hermes.errors import HermesError, MissingTable
from hermes.logs import event
from hermes.redaction import as_hermes_error, redact
from hermes.serve.reader import Reader
from hermes.serve.snapshot import RECORD, STATUS, Snapshot, take_snapshot
from hermes.serve.texts import address_of
from hermes.serve.watch import MOST_LISTENERS, Watch
from hermes.version import __version__

DEADLINE_S = 30.0  # for one answer of the lake
THREADS, WAITING = 4, 32  # that read the lake; requests that wait for one
BEAT_S = 15.0  # a listener hears from the server at least as often
_SHARED = "default-src 'none'; base-uri 'none'; form-action 'none'"
POLICY = (
    f"{_SHARED}; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; frame-src 'self'; "
    "frame-ancestors 'none'"
)
#: Pages of the lake hold their scripts and styles themselves. They run in a sandbox: a separate origin, from
#: which nothing of the server, of the lake or of the network can be reached.
PAGE_POLICY = (
    f"sandbox allow-scripts; {_SHARED}; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "frame-ancestors 'self'"
)
STATIC = {
    "base.css": ("text/css", "hermes.pages", "assets"),
    "serve.css": ("text/css", "hermes.serve", "static"),
    "live.js": ("text/javascript", "hermes.serve", "static"),
}

Answer = TypeVar("Answer")


class Site:
    """State shared by all handlers.

    Args:
        hosts: allowed host names; any_address: whether any IP address is allowed.
    """

    def __init__(self, reader: Reader, hosts: frozenset[str], *, any_address: bool) -> None:
        self.reader = reader
        self.watch = Watch(self.snapshot)
        self._hosts, self._any_address = hosts, any_address
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="hermes-serve")
        self._asked = 0
        self.templates = Environment(
            loader=PackageLoader("hermes.serve"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
        )
        self.templates.globals.update(lake=reader.address, version=__version__, address_of=address_of)

    def is_called(self, host: str) -> bool:
        """Whether a Host header names this server, against DNS rebinding."""
        name, _ = split_host_and_port(host.lower())
        if name in self._hosts:
            return True
        try:
            address = ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self._any_address or address.is_loopback

    async def ask(self, question: Callable[..., Answer], *values: Any) -> Answer:
        """Call `question` with these values in a separate thread.

        Raises:
            HTTPError: 503 if too many requests wait, 504 after the deadline.
        """
        if self._asked >= WAITING:
            raise HTTPError(503, "too many requests wait for the lake")
        self._asked += 1
        try:
            return await asyncio.wait_for(
                asyncio.get_running_loop().run_in_executor(self._pool, question, *values), DEADLINE_S
            )
        except TimeoutError:
            raise HTTPError(504, f"the lake did not answer within {DEADLINE_S:.0f} s") from None
        finally:
            self._asked -= 1

    async def snapshot(self) -> Snapshot:
        """The current status."""
        return await self.ask(take_snapshot, self.reader.settings, self.reader.lake)

    def close(self) -> None:
        """Shut down without waiting for reads in progress."""
        self.watch.close()
        self._pool.shutdown(wait=False, cancel_futures=True)


class Handler(RequestHandler):
    """Answers GET and HEAD requests to an allowed host name."""

    SUPPORTED_METHODS: tuple[str, ...] = ("GET", "HEAD")
    site: Site

    def initialize(self, site: Site) -> None:
        """See Tornado."""
        self.site = site

    def set_default_headers(self) -> None:
        """The headers of all answers, including errors."""
        self.clear_header("Server")
        for name, value in {
            "Content-Security-Policy": POLICY,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cache-Control": "no-store",
        }.items():
            self.set_header(name, value)

    def prepare(self) -> None:
        """Refuse host names that are not the server's, against DNS rebinding."""
        called = self.request.headers.get_list("Host")
        if len(called) != 1 or not self.site.is_called(called[0]):
            raise HTTPError(403, "this host name is not allowed; start the server with --allow-host NAME to allow it")

    async def head(self, *values: str) -> None:
        """Answer as GET does, without a body."""
        if answer := self.get(*values):
            await answer

    def show(self, template: str, **values: Any) -> None:
        """Render one page."""
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(self.site.templates.get_template(template).render(**values))

    def write_error(self, status_code: int, **about: Any) -> None:
        """One line with the cure; never a traceback."""
        error = about.get("exc_info", (None, None))[1]
        message, cure = self._reason, ""
        if isinstance(error, HTTPError):
            message = error.log_message or message
        elif isinstance(error, Exception):
            known = as_hermes_error(error)
            message, cure = redact(known.message), known.cure
        self.show("error.html", status=status_code, message=message, cure=cure)

    def send_error(self, status_code: int = 500, **about: Any) -> None:
        """A missing table is not a server error."""
        error = about.get("exc_info", (None, None))[1]
        super().send_error(404 if isinstance(error, MissingTable) else status_code, **about)

    def log_exception(self, kind: Any, error: Any, trace: Any) -> None:
        """Log one line for the operator."""
        if not isinstance(error, HTTPError | MissingTable | StreamClosedError):
            known = as_hermes_error(error)
            event("serve", level=logging.WARNING, message=f"{self.request.path}: {known}")


class Overview(Handler):
    """The current status, the newest decisions, and all tables."""

    async def get(self) -> None:
        """See Tornado."""
        tables = await self.site.ask(self.site.reader.tables)
        try:
            found = await self.site.snapshot()
        except HermesError as error:
            found = Snapshot(notes=[redact(str(error))])
        self.show("overview.html", snapshot=found, tables=tables, status_heads=STATUS, record_heads=RECORD)


class Table(Handler):
    """One table."""

    async def get(self, name: str) -> None:
        """See Tornado."""
        self.show("table.html", **await self.site.ask(self.site.reader.table, name))


class Execution(Handler):
    """One execution."""

    async def get(self, name: str, execution: str) -> None:
        """See Tornado."""
        self.show("execution.html", **await self.site.ask(self.site.reader.execution, name, execution))


class Framed(Handler):
    """The page of an execution, in a frame."""

    async def get(self, name: str, execution: str) -> None:
        """See Tornado."""
        self.show("page.html", **await self.site.ask(self.site.reader.execution, name, execution))


class Page(Handler):
    """The page of an execution itself, in its sandbox."""

    async def get(self, name: str, execution: str) -> None:
        """See Tornado."""
        made = await self.site.ask(self.site.reader.page, name, execution)
        self.set_header("Content-Security-Policy", PAGE_POLICY)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(made)


class Static(Handler):
    """A static file of the server."""

    async def get(self, name: str) -> None:
        """See Tornado."""
        if name not in STATIC:
            raise HTTPError(404)
        kind, package, folder = STATIC[name]
        self.set_header("Content-Type", f"{kind}; charset=utf-8")
        self.write(files(package).joinpath(folder, name).read_bytes())


class Events(Handler):
    """Server-sent events: `status`, `record` and `trouble`, whenever one of them changes."""

    SUPPORTED_METHODS = ("GET",)

    async def get(self) -> None:
        """See Tornado."""
        if self.site.watch.listeners >= MOST_LISTENERS:
            raise HTTPError(503, f"{MOST_LISTENERS} listen already")
        self.set_header("Content-Type", "text/event-stream")
        said: dict[str, str] = {}
        with self.site.watch.listening() as queue:
            self._queue = queue
            await self._say("retry: 3000\n\n")
            while True:
                try:
                    events = await asyncio.wait_for(queue.get(), BEAT_S)
                except TimeoutError:
                    await self._say(": alive\n\n")
                    continue
                if not events:
                    return
                for name, content in events:
                    shown = json.dumps({**content, "datasets": None}, default=str)  # ages grow, and are no news
                    if said.get(name) != shown:
                        said[name] = shown
                        await self._say(f"event: {name}\ndata: {json.dumps(content, default=str)}\n\n")

    async def _say(self, text: str) -> None:
        self.write(text)
        await asyncio.wait_for(self.flush(), DEADLINE_S)

    def on_connection_close(self) -> None:
        """End the stream."""
        if queue := getattr(self, "_queue", None):
            while not queue.empty():
                queue.get_nowait()
            queue.put_nowait([])


class NotFound(Handler):
    """Any other address."""

    async def get(self, *_: str) -> None:
        """See Tornado."""
        raise HTTPError(404)


def application(site: Site) -> Application:
    """The application with all routes."""
    shared = {"site": site}
    one = "([^/]+)"
    return Application(
        [
            ("/", Overview, shared),
            ("/events", Events, shared),
            (f"/static/{one}", Static, shared),
            (f"/tables/{one}", Table, shared),
            (f"/tables/{one}/{one}", Execution, shared),
            (f"/tables/{one}/{one}/page", Framed, shared),
            (f"/tables/{one}/{one}/report.html", Page, shared),
        ],
        default_handler_class=NotFound,
        default_handler_args=shared,
        log_function=lambda handler: None,
    )
