"""The application: its endpoints, what every answer has, and errors as sentences."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import anyio.to_thread
import sqlalchemy as sa
from fastapi import APIRouter, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, JSONResponse
from fastapi.staticfiles import StaticFiles
from starlette.exceptions import HTTPException

from .. import __version__
from ..catalog import Archive
from ..errors import Away, Forbidden, GoodmanError, NotFound, SignInNeeded
from ..people.attempts import TooManyAttempts
from ..people.people import People
from . import contents, events, files, members, nights, passwords, proposals, reductions, rows
from .caller import Service, service_of
from .feed import Feed, TooManyStreams
from .guard import Guard
from .jobs import Jobs, TooManyJobs
from .models import Problem, Status
from .told import without_paths

DEFAULT_PREFIX = "/api"
API_VERSION = "1.0"
_ABOUT = (
    "Frames, spectra and reductions of the Goodman spectrograph. Send your key with every "
    "request, as the header `Authorization: Token KEY`: click *Authorize* and enter `Token KEY` "
    "to try the requests out on this page."
)
_REASONS = {
    400: "What was asked for breaks a rule.",
    401: "There is no key, or it does not hold.",
    403: "Whoever asks may see it, but not do this.",
    404: "There is no such thing, or not for whoever asks.",
    409: "This is never done.",
    413: "What was sent is too large.",
    416: "The file has no such bytes.",
    422: "A parameter is not as it must be.",
    429: "Too much at a time. Try again later.",
    503: "The archive's database, or the hub, does not answer. Try again later.",
}
PROBLEMS = {code: {"model": Problem, "description": text} for code, text in _REASONS.items()}
_STATUS_OF: tuple[tuple[type[Exception], int], ...] = (
    (NotFound, 404),
    (Forbidden, 403),
    (SignInNeeded, 401),
    (Away, 503),
    (TooManyAttempts, 429),
    (TooManyJobs, 429),
    (TooManyStreams, 429),
    (files.NeverDone, 409),
)
_PARTS = (
    contents,
    reductions,
    files,
    rows,
    events,
    nights,
    proposals,
    members,
    passwords,
)
_log = logging.getLogger("goodman_live")


def make_app(
    archive: Archive, people: People, *, prefix: str = DEFAULT_PREFIX, n_workers: int = 1
) -> FastAPI:
    """The application for one archive.

    Parameters
    ----------
    archive, people
        What is told of, and to whom; whoever made them closes them.
    prefix
        Path under which all of it is, such as '/api' or '/gsp/api'.
    n_workers
        Processes for the reductions that people ask for.
    """
    prefix = "/" + prefix.strip("/")
    service = Service(archive, people, Jobs(archive, n_workers), Feed(archive), prefix)
    app = FastAPI(
        title="Goodman archive",
        version=__version__,
        description=_ABOUT,
        openapi_url=f"{prefix}/openapi.json",
        docs_url=None,
        redoc_url=None,
        responses=PROBLEMS,
        lifespan=_lifespan,
        redirect_slashes=True,
    )
    app.state.service = service
    router = APIRouter(prefix=prefix)
    router.get("/", tags=["api"], summary="What answers here")(_status)
    # Of two that match an address the first one answers: files/header/ before files/NUMBER/.
    for part in _PARTS:
        router.include_router(part.router)
    app.include_router(router)
    _add_documentation(app, prefix)
    app.add_exception_handler(GoodmanError, _tell_error)
    app.add_exception_handler(RequestValidationError, _tell_invalid)
    app.add_exception_handler(HTTPException, _tell_http)
    app.add_exception_handler(sa.exc.OperationalError, _tell_away)
    app.add_exception_handler(Exception, _tell_bug)
    app.add_middleware(Guard, prefix=prefix)
    return app


@contextlib.asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    # More threads than cores can feed only get into each other's way.
    anyio.to_thread.current_default_thread_limiter().total_tokens = 4 * (os.cpu_count() or 1) + 4
    reader = threading.Thread(target=_read_names, args=(service.archive,))
    reader.start()
    service.jobs.start()
    service.feed.start()
    try:
        yield
    finally:
        service.feed.stop()
        service.jobs.close()
        reader.join()
        service.archive.keep_names()


def _read_names(archive: Archive) -> None:
    """Of a million files this may take a while; a database that is away is asked again later."""
    with contextlib.suppress(sa.exc.OperationalError):
        archive.read_names()


def _status(request: Request) -> Status:
    """Whether the API works, and its versions. Needs no key."""
    return Status(
        api_version=API_VERSION,
        pipeline_version=__version__,
        documentation=f"{service_of(request).prefix}/docs",
    )


def _add_documentation(app: FastAPI, prefix: str) -> None:
    """The page to read about and try requests; all it needs comes from here."""
    import fastapi_offline

    static = Path(fastapi_offline.__file__).parent / "static"
    app.mount(f"{prefix}/docs/static", StaticFiles(directory=static), name="documentation")

    def page(request: Request) -> HTMLResponse:
        root = request.scope.get("root_path", "").rstrip("/")
        assets = f"{root}{prefix}/docs/static"
        return get_swagger_ui_html(
            openapi_url=f"{root}{app.openapi_url}",
            title=app.title,
            swagger_js_url=f"{assets}/swagger-ui-bundle.js",
            swagger_css_url=f"{assets}/swagger-ui.css",
            swagger_favicon_url=f"{assets}/favicon.png",
            swagger_ui_parameters={"persistAuthorization": False, "validatorUrl": None},
        )

    app.add_api_route(f"{prefix}/docs", page, include_in_schema=False)


# Errors as sentences


def _problem(status: int, detail: str, headers: dict[str, str] | None = None) -> JSONResponse:
    safe = without_paths(detail).encode("utf-8", "replace").decode()
    return JSONResponse({"detail": safe}, status, headers)


def _tell_error(_: Request, error: GoodmanError) -> JSONResponse:
    status = next((code for kind, code in _STATUS_OF if isinstance(error, kind)), 400)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = "Token"
    if status == 429:
        headers["Retry-After"] = str(max(round(getattr(error, "seconds", 5)), 1))
    return _problem(status, str(error), headers)


def _tell_invalid(_: Request, error: RequestValidationError) -> JSONResponse:
    """Names and rules only: what was sent is not sent back."""
    sentences = []
    for fault in error.errors():
        name = ".".join(str(part) for part in fault["loc"][1:]) or "The body"
        sentences.append(f"{name[:100]}: {fault['msg'].removeprefix('Value error, ')}.")
    return _problem(422, " ".join(dict.fromkeys(sentences)))


def _tell_http(_: Request, error: HTTPException) -> JSONResponse:
    sentences = {404: "There is no such page.", 405: "This method is not for this page."}
    return _problem(
        error.status_code, sentences.get(error.status_code, error.detail), error.headers
    )


def _tell_away(_: Request, error: sa.exc.OperationalError) -> JSONResponse:
    _log.error("The database does not answer: %s", error.orig)
    return _problem(503, "The archive's database does not answer. Try again later.")


def _tell_bug(request: Request, error: Exception) -> JSONResponse:
    _log.error("%s %s", request.method, request.url.path, exc_info=error)
    return _problem(500, "Something is wrong here; it was written to the server's log.")
