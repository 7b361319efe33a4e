"""Runs: every attempt at a step, with what it was made and what came of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from typing import Any

import sqlalchemy as sa

from .. import __version__
from .database import now
from .entries import MASTER, RAW, Run, base_name
from .schema import FILES, RUNS

ENDS = ("done", "provisional", "failed", "cancelled")
_PACKAGES = ("numpy", "scipy", "astropy", "astroscrappy")


@cache
def software() -> dict[str, str]:
    """Versions of what the numbers depend on."""
    return {"goodman_live": __version__} | {name: metadata.version(name) for name in _PACKAGES}


def start(
    connection: sa.Connection,
    file_id: int | None,
    task: str,
    plan: str,
    settings: Mapping[str, Any],
) -> Run:
    """Record that a run begins; its attempt is one more than those of the same plan before."""
    same = (RUNS.c.file_id.is_not_distinct_from(file_id), RUNS.c.task == task, RUNS.c.plan == plan)
    before = connection.execute(sa.select(sa.func.max(RUNS.c.attempt)).where(*same)).scalar() or 0
    values = {
        "file_id": file_id,
        "task": task,
        "plan": plan,
        "settings": dict(settings),
        "versions": software(),
        "attempt": before + 1,
        "state": "running",
        "started": now(),
    }
    number = connection.execute(sa.insert(RUNS).values(values)).inserted_primary_key[0]
    return one(connection, number)


def finish(
    connection: sa.Connection, run_id: int, state: str, message: str, times: Mapping[str, float]
) -> Run:
    """Record what came of a run."""
    if state not in ENDS:
        raise ValueError(f"state must be one of {ENDS}, not {state!r}")
    values = {"state": state, "message": message, "times": dict(times), "ended": now()}
    connection.execute(sa.update(RUNS).where(RUNS.c.id == run_id).values(values))
    return one(connection, run_id)


def listed(connection: sa.Connection, file_id: int | None, limit: int) -> list[Run]:
    """Runs, newest first; of a raw frame, or those that made a master."""
    query = sa.select(RUNS).order_by(RUNS.c.id.desc()).limit(limit)
    if file_id is not None:
        query = query.where(_about(connection, file_id))
    return [Run(*row) for row in connection.execute(query)]


def _about(connection: sa.Connection, file_id: int) -> sa.ColumnElement:
    """What holds of the runs of a file. Those of a master have none: their plan names it."""
    which = FILES.c.id == file_id, FILES.c.data_type == MASTER
    master = connection.execute(sa.select(FILES.c.folder, FILES.c.file_name).where(*which)).first()
    if master is None:
        return RUNS.c.file_id == file_id
    named = json.dumps(f"{master.folder}/{base_name(master.file_name)}")
    return RUNS.c.file_id.is_(None) & RUNS.c.plan.contains(f'"master": {named}', autoescape=True)


def of_night(connection: sa.Connection, night: str) -> list[Run]:
    """Runs of the frames of a night, and those that made masters of it."""
    frames = sa.select(FILES.c.id).where(FILES.c.night == night, FILES.c.data_type == RAW)
    masters = sa.select(FILES.c.run_id).where(FILES.c.night == night, FILES.c.data_type == MASTER)
    query = sa.select(RUNS).where(sa.or_(RUNS.c.file_id.in_(frames), RUNS.c.id.in_(masters)))
    return [Run(*row) for row in connection.execute(query.order_by(RUNS.c.id))]


def unfinished(connection: sa.Connection) -> list[Run]:
    """Runs that began and did not end, oldest first."""
    query = sa.select(RUNS).where(RUNS.c.state == "running").order_by(RUNS.c.id)
    return [Run(*row) for row in connection.execute(query)]


def one(connection: sa.Connection, run_id: int) -> Run:
    """One run by its id; KeyError if there is none."""
    row = connection.execute(sa.select(RUNS).where(RUNS.c.id == run_id)).first()
    if row is None:
        raise KeyError(run_id)
    return Run(*row)
