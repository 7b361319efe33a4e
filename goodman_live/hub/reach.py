"""Whether what a site needs answers: its databases, its mail server, its Dask cluster."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlsplit

import sqlalchemy as sa

from ..catalog.database import database_url
from ..errors import GoodmanError
from ..mail import mailer_of

_SECONDS = 5
_MAIL_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_DASK_PORT = 8786


def why_no_database(url: str) -> str:
    """Why nobody can connect to a PostgreSQL, in words; '' if one can."""
    try:
        parsed = database_url(Path(), url)
        options = {"connect_timeout": _SECONDS} if parsed.get_backend_name() != "sqlite" else {}
        engine = sa.create_engine(parsed, connect_args=options)
        try:
            engine.connect().close()
        finally:
            engine.dispose()
    except ImportError:
        return "it needs a package: pip install 'goodman_live[postgresql]'"
    except GoodmanError as error:
        return str(error).rstrip(".")
    except sa.exc.SQLAlchemyError as error:
        told = str(getattr(error, "orig", None) or error).strip().splitlines()
        return told[0].rstrip(".") if told else type(error).__name__
    return ""


def wrong_mail(url: str) -> str:
    """What is wrong with where mails go, in a sentence; '' if it is an address of that kind."""
    try:
        mailer_of(url)
    except GoodmanError as error:
        return str(error).partition(" Look at")[0]
    return ""


def why_no_mail(url: str) -> str:
    """Why no mail can be sent, in words; '' if a server answers."""
    parts = urlsplit(url)
    if parts.scheme == "file":
        return ""
    return _why_no_answer(parts.hostname or "", parts.port or _MAIL_PORTS[parts.scheme])


def why_no_scheduler(address: str) -> str:
    """Why a Dask cluster cannot be had, in words; '' if its scheduler answers."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    return _why_no_answer(parts.hostname or "", parts.port or _DASK_PORT)


def _why_no_answer(host: str, port: int) -> str:
    try:
        socket.create_connection((host, port), _SECONDS).close()
    except OSError as error:
        return f"{host}:{port} does not answer: {error.strerror or error}"
    return ""
