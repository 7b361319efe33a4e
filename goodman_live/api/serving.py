"""Serving the application with uvicorn."""

from __future__ import annotations

import contextlib
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from ..catalog import Archive
from ..people.people import People
from .app import DEFAULT_PREFIX, make_app

DEFAULT_PORT = 8867
# Event streams have no end: they are not waited for longer than this.
_END_SECONDS = 2
_MOST_CONNECTIONS = 1000


def server_of(
    app: FastAPI, host: str = "127.0.0.1", port: int = DEFAULT_PORT, *, root_path: str = ""
) -> uvicorn.Server:
    """A server; `run` serves until it is told to stop."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        root_path=root_path,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_END_SECONDS,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=30,
    )
    return uvicorn.Server(config)


def serve(
    root: Path,
    database: str | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = DEFAULT_PORT,
    prefix: str = DEFAULT_PREFIX,
    root_path: str = "",
    n_workers: int = 1,
) -> None:
    """Serve an archive until the process is told to stop."""
    with (
        contextlib.closing(Archive(root, database)) as archive,
        contextlib.closing(People.of(archive)) as people,
    ):
        app = make_app(archive, people, prefix=prefix, n_workers=n_workers)
        server_of(app, host, port, root_path=root_path).run()
