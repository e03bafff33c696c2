"""The site: which addresses there are, who may see them without a session, and how a page is made.

Everything is made on the server, and works without scripts. What comes from users is escaped by the templates, all of
it: nothing is marked as safe.
"""

from __future__ import annotations

import re
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from importlib import resources
from typing import Any, NamedTuple
from urllib.parse import urlencode

import jinja2
from starlette.applications import Starlette
from starlette.datastructures import URL
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from penstock.client.command_line import Desk
from penstock.client.records import BatchStatus, Failures, PipelineStatus
from penstock.errors import ConfigError, NoPipeline, NoSuchBatch, PenstockError, ProtocolError, Refused
from penstock.job.display import printable
from penstock.job.filters import Filter
from penstock.version import VERSION
from penstock.web import metrics
from penstock.web.doors import Doors
from penstock.web.sessions import SESSION_TIME, Sessions
from penstock.web.stations import Stations

WITHOUT_SESSION = frozenset({"/login", "/healthz", "/readyz", "/static/style.css"})
"""What says nothing of the pipeline but that it answers."""
FORWARDED = frozenset({"forwarded", "via", "x-forwarded-for", "x-real-ip"})
"""What proxies say: who comes through one may be anywhere."""
STATUS_OF = {Refused: 403, NoSuchBatch: 404, NoPipeline: 503}
"""Of the answer where the stations answer with an error; of others 502."""


NEWEST = 10
"""Batches on the overview."""
BATCHES = 50
"""On a page of them."""
PAGE_NUMBER = re.compile(r"[1-9]\d{0,2}")
"""Of a page of batches: who looks for one that is older names it."""
BATCH_ID = re.compile(r"[0-9a-f]{32}")
WORKERS = 500
"""On a page."""
JOBS = 50
"""On a page."""
EVENTS = 100
"""On a page."""
EVENT_NUMBER = re.compile(r"[1-9]\d{0,17}")


class Finding(NamedTuple):
    """Something that is wrong with the pipeline: ``warn`` or ``wrong``, and what that means."""

    state: str
    said: str


class Settings(NamedTuple):
    """What whoever starts the site decides."""

    port: int
    hosts: frozenset[str]
    """The names, without a port, by which browsers know it."""
    is_near: bool
    """Whether it is reached from this machine only, as far as it knows: no proxy is named."""
    metrics_token: str | None
    """What gives the metrics to whoever has no session; None: who is near needs none."""
    judge: Callable[[PipelineStatus], Iterable[Finding]]
    """Says what is wrong with a pipeline, in the words of the command line."""


class Site:
    """Its pages. Each is a coroutine that Starlette calls with a request."""

    def __init__(self, stations: Stations, sessions: Sessions, settings: Settings) -> None:
        self._stations = stations
        self._sessions = sessions
        self._settings = settings
        self._cookie = f"penstock_{settings.port}"  # browsers tell servers of one host apart by nothing else
        self._style = resources.files("penstock.web").joinpath("static", "style.css").read_text()
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("penstock.web"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            finalize=lambda value: printable(value) if type(value) is str else value,  # what is HTML is a Markup
        )
        self._templates.filters |= FILTERS

    def app(self) -> ASGIApp:
        """As uvicorn serves it."""
        routes = [
            Route("/", self.overview),
            Route("/batches", self.batches),
            Route("/batches/{batch}", self.batch),
            Route("/jobs", self.jobs),
            Route("/events", self.events),
            Route("/workers", self.workers),
            Route("/login", self.login),
            Route("/logout", self.logout, methods=["POST"]),
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
            Route("/static/style.css", self.style),
        ]
        handlers: dict[Any, Any] = {PenstockError: self._on_error, HTTPException: self._on_http_error}
        app = Starlette(routes=routes, exception_handlers=handlers)
        return Doors(app, self._settings.hosts, self._may_pass, self._log_in_first)

    # ------------------------------------------------------------------------------------------ who gets in

    def _may_pass(self, request: HTTPConnection) -> bool:
        path = request.scope["path"]
        if path in WITHOUT_SESSION or self._sessions.is_open(request.cookies.get(self._cookie, "")):
            return True
        return path == "/metrics" and self._may_scrape(request)

    def _may_scrape(self, request: HTTPConnection) -> bool:
        """Whoever has the token; where there is none, and nobody else gets here, who is on this machine."""
        if (token := self._settings.metrics_token) is not None:
            said = request.headers.get("authorization", "").removeprefix("Bearer ")
            return secrets.compare_digest(said.encode(errors="backslashreplace"), token.encode())
        return self._settings.is_near and not FORWARDED & set(request.headers)

    def _log_in_first(self) -> Response:
        return self._page("login.html", 401, is_in=False)

    async def login(self, request: Request) -> Response:
        """Exchange a token for a session."""
        cookie = self._sessions.log_in(request.query_params.get("token", ""))
        if cookie is None:
            return self._page("login.html", 403, is_in=False)
        page = self._page("login.html", is_in=True)  # no redirect: SameSite=Strict would not send it the cookie
        page.set_cookie(self._cookie, cookie, int(SESSION_TIME), httponly=True, samesite="strict")
        return page

    async def logout(self, request: Request) -> Response:
        """End the session."""
        self._sessions.log_out(request.cookies.get(self._cookie, ""))
        answer = RedirectResponse(URL("/"), 303)
        answer.delete_cookie(self._cookie, httponly=True, samesite="strict")
        return answer

    # ------------------------------------------------------------------------------------------ health

    async def healthz(self, _: Request) -> Response:
        """This process answers."""
        return PlainTextResponse("ok\n")

    async def readyz(self, _: Request) -> Response:
        """The ventilator answers, too."""
        try:
            await self._status()
        except PenstockError:
            return PlainTextResponse("not ready\n", 503)
        return PlainTextResponse("ok\n")

    async def metrics(self, _: Request) -> Response:
        """For Prometheus; without a pipeline it says that there is none."""
        try:
            seen = metrics.Seen(*await self._stations.ask("metrics", lambda desk: desk.metrics()))
        except PenstockError:
            return Response(metrics.text(None), media_type=metrics.CONTENT_TYPE)
        return Response(metrics.text(seen), media_type=metrics.CONTENT_TYPE)

    # ------------------------------------------------------------------------------------------ pages

    async def style(self, _: Request) -> Response:
        """The one style sheet."""
        return Response(self._style, media_type="text/css")

    async def overview(self, request: Request) -> Response:
        """How the pipeline stands."""
        status = await self._status()
        found = await self._stations.ask(("batches", NEWEST), lambda desk: desk.batches(NEWEST))
        return self._page(
            "overview.html", request=request, status=status, findings=list(self._settings.judge(status)), found=found
        )

    async def batches(self, request: Request) -> Response:
        """All of them, in pages, the newest first."""
        said = request.query_params.get("page", "1")
        page = int(said) if PAGE_NUMBER.fullmatch(said) else 1
        limit = page * BATCHES + 1
        found = (await self._stations.ask(("batches", limit), lambda desk: desk.batches(limit)))[(page - 1) * BATCHES :]
        return self._page(
            "batches.html", request=request, found=found[:BATCHES], page=page, is_more=len(found) > BATCHES
        )

    async def batch(self, request: Request) -> Response:
        """One, and the errors of its failed jobs."""
        name = str(request.path_params["batch"])
        if not BATCH_ID.fullmatch(name):
            raise HTTPException(404)
        status, failures = await self._stations.ask(("batch", name), partial(_batch, name))
        return self._page("batch.html", request=request, batch=status, failures=failures)

    async def jobs(self, request: Request) -> Response:
        """Those that fit a filter, in pages, those of the newest batch first."""
        where, after = (request.query_params.get(name, "") for name in ("where", "after"))
        try:
            Filter.parse(where)
            behind = after or None
            found = await self._stations.ask(("jobs", where, after), lambda desk: desk.jobs(where, behind, JOBS + 1))
        except (ConfigError, ValueError) as error:
            return self._page("jobs.html", 400, request, where=where, found=[], more=None, wrong=str(error))
        more = found[JOBS - 1].id if len(found) > JOBS else None
        return self._page("jobs.html", request=request, where=where, found=found[:JOBS], more=more, wrong="")

    async def events(self, request: Request) -> Response:
        """What has happened, in pages, the newest first."""
        said = request.query_params.get("before", "")
        before = int(said) if EVENT_NUMBER.fullmatch(said) else None
        found = await self._stations.ask(("events", before), lambda desk: desk.events(before, EVENTS))
        return self._page("events.html", request=request, found=found[::-1])

    async def workers(self, request: Request) -> Response:
        """Those that are connected."""
        status = await self._status()
        shown = sorted(status.workers, key=lambda worker: (worker.host, worker.name))[:WORKERS]
        hosts = len({worker.host for worker in status.workers})
        return self._page("workers.html", request=request, status=status, shown=shown, hosts=hosts)

    async def _status(self) -> PipelineStatus:
        return await self._stations.ask("status", lambda desk: desk.status())

    def _page(self, template: str, code: int = 200, request: Request | None = None, **values: Any) -> Response:
        """Of a template; with the `request` that it answers it is one that can be refreshed."""
        path = again = "" if request is None else request.url.path
        live = None if request is None else "live" in request.query_params
        if request is not None:
            asked = [(name, value) for name, value in request.query_params.multi_items() if name != "live"]
            again = f"{path}?{urlencode([*asked, *[('live', '1')] * (not live)])}".rstrip("?")
        known = {"url": self._stations.url, "version": VERSION, "now": time.time()}
        known |= {"again": again, "here": path, "live": live}
        return HTMLResponse(self._templates.get_template(template).render(known | values), code)

    async def _on_error(self, _: Request, error: Exception) -> Response:
        code = next((code for kind, code in STATUS_OF.items() if isinstance(error, kind)), 502)
        return self._page("error.html", code, said=str(error), is_away=code != STATUS_OF[NoSuchBatch])

    async def _on_http_error(self, _: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        return self._page("error.html", error.status_code, said=error.detail, is_away=False)


def _batch(name: str, desk: Desk) -> tuple[BatchStatus, Failures | None]:
    """The state of a batch, and its failed jobs by their error; None: the sink is away, or of an earlier release."""
    status = desk.attach(name).status()
    if not status.unsuccessful:
        return status, Failures()
    try:
        return status, desk.failures(name)
    except (NoPipeline, ProtocolError):
        return status, None


def _state(batch: BatchStatus) -> str:
    """How a batch stands, in one word."""
    return "done" if batch.done else "paused" if batch.paused else "working" if batch.leased else "waiting"


FILTERS: dict[str, Callable[..., Any]] = {
    "utc": lambda at: f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M:%S} UTC",
    "count": "{:,}".format,
    "state": _state,
    "state_of_worker": metrics.state_of,
}
"""Of the templates."""
