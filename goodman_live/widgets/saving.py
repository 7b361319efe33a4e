"""Where explorers keep what people make: as a new version, beside what there is.

An archive that is open here does it at once; one at the other end of a connection has it done by
its workers, and is asked how that goes. Both make the same products.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..access import may
from ..answers import Job
from ..catalog import FileRow
from ..errors import GoodmanError, NotFound

if TYPE_CHECKING:
    from ..blocks.dispersion import WavelengthSolution
    from ..catalog import Archive
    from ..recipes import ReductionSettings

ASK_SECONDS = 2.0  # between two answers how a job goes


class Keeper(Protocol):
    """Makes versions; a job that is not over is waited for."""

    def extract(
        self,
        row: FileRow,
        changed: Mapping[str, Any],
        moved: Mapping[int, float],
        added: Sequence[float],
    ) -> Job: ...

    def calibrate(self, row: FileRow, solution: WavelengthSolution) -> Job: ...

    def wait(self, job: Job, timeout: float) -> Job: ...

    def cancel(self, job: Job) -> Job: ...

    def told(self, job: Job) -> str: ...


def keeper_of(archive: Any, row: FileRow, by: str = "") -> Keeper | None:
    """Who keeps versions of a file in this archive; None where one may not.

    Parameters
    ----------
    archive
        An `Archive`, which believes whoever says `by` whom; or a `client.RemoteArchive`, which
        knows.
    """
    if hasattr(archive, "add_product"):  # open here; to ask for its class would load a database
        return Here(archive, by) if by else None
    if hasattr(archive, "extract") and may(archive.viewer(), "reduce file", row):
        return There(archive)
    return None


@dataclass(frozen=True)
class Here:
    """Keeps in an archive that is open here, in the name of somebody."""

    archive: Archive
    by: str

    def extract(
        self,
        row: FileRow,
        changed: Mapping[str, Any],
        moved: Mapping[int, float],
        added: Sequence[float],
    ) -> Job:
        """Extract the objects of a reduced frame again."""
        from ..rework import Objects

        return self._make(
            row, "extract", changed=dict(changed), objects=Objects(dict(moved), tuple(added))
        )

    def calibrate(self, row: FileRow, solution: WavelengthSolution) -> Job:
        """Give a spectrum the wavelengths that somebody found."""
        from ..rework import NamedLines

        return self._make(row, "calibrate", lines=NamedLines.of_solution(solution))

    def _make(self, row: FileRow, wanted: str, **more: Any) -> Job:
        from .. import versions

        rows = versions.make(
            self.archive, versions.order_of(self.archive, row.id, wanted, self.by, **more)
        )
        return Job(0, "done", file_ids=tuple(one.id for one in rows), wanted=wanted)

    def wait(self, job: Job, timeout: float) -> Job:
        """It is over."""
        return job

    def cancel(self, job: Job) -> Job:
        """It is over."""
        return job

    def told(self, job: Job) -> str:
        """What came of it."""
        return _told(self.archive, job)


@dataclass(frozen=True)
class There:
    """Has it kept by the server of an archive."""

    archive: Any

    def extract(
        self,
        row: FileRow,
        changed: Mapping[str, Any],
        moved: Mapping[int, float],
        added: Sequence[float],
    ) -> Job:
        """Have the objects of a reduced frame extracted again."""
        return self.archive.extract(row.id, changed, moved=moved, added=added)

    def calibrate(self, row: FileRow, solution: WavelengthSolution) -> Job:
        """Have a spectrum calibrated by the lines that somebody named."""
        return self.archive.calibrate(row.id, solution=solution)

    def wait(self, job: Job, timeout: float) -> Job:
        """The job when it is over, or as it stands."""
        return self.archive.wait(job, timeout)

    def cancel(self, job: Job) -> Job:
        """Stop it."""
        return self.archive.cancel(job)

    def told(self, job: Job) -> str:
        """What came of it."""
        return _told(self.archive, job)


def _told(archive: Any, job: Job) -> str:
    """A sentence about a job that is over.

    Raises
    ------
    GoodmanError
        If it failed.
    """
    if job.state == "failed":
        raise GoodmanError(job.message or "It could not be done; the log of the server says why.")
    if job.state == "cancelled":
        return "Stopped; nothing was saved."
    rows = [archive.file(file_id) for file_id in job.file_ids]
    names = ", ".join(row.file_name for row in rows)
    return f"Saved as version {rows[0].version}: {names}." if rows else "Saved."


def can_make_default(archive: Any, row: FileRow) -> bool:
    """Whether somebody may choose the settings of the proposal of a file here."""
    return bool(
        row.proposal
        and hasattr(archive, "save_settings")
        and may(archive.viewer(), "edit settings", row)
    )


def make_default(archive: Any, row: FileRow, settings: ReductionSettings) -> str:
    """Choose settings for the proposal of a file: those that differ from what it has now."""
    try:
        now = archive.settings(row.proposal).to_dict()
    except NotFound as error:
        raise GoodmanError(
            f"The proposal {row.proposal} must be known before it has settings of its own. "
            "Staff add it on the page Management."
        ) from error
    changed = {name: value for name, value in settings.to_dict().items() if value != now[name]}
    if not changed:
        return f"{row.proposal} has these settings already."
    history = archive.history_of_settings(row.proposal)
    chosen = dict(history[0].values) if history else {}
    archive.save_settings(row.proposal, chosen | changed)
    labels = ", ".join(settings.param[name].label for name in changed)
    return f"From now on the settings of {row.proposal}: {labels}."


def progress_of(job: Job) -> str:
    """How a job that is not over goes."""
    if job.state == "queued":
        return job.progress or "It waits for a worker…"
    return f"It is being made: {job.progress}…" if job.progress else "It is being made…"


async def follow(keeper: Keeper, job: Job, tell: Callable[[Job], None]) -> Job:
    """Wait for a job without stopping the page; how it goes is told."""
    while not job.is_over:
        tell(job)
        job = await asyncio.to_thread(keeper.wait, job, ASK_SECONDS)
    return job
