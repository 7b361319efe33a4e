"""Having things made, and changing what there is, from elsewhere."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from ..answers import Job
from ..catalog import FileRow
from .connection import given
from .reading import Reading

if TYPE_CHECKING:
    from ..blocks.dispersion import WavelengthSolution

_ASK_SECONDS = 20.0
_LONGEST_NOTEBOOK = 60


def this_notebook() -> str:
    """Name of the notebook in which this runs, as a header can hold it; '' outside of one."""
    path = PurePath(os.environ.get("JPY_SESSION_NAME", ""))
    if path.suffix != ".ipynb":
        return ""
    name = "".join(sign if " " <= sign <= "~" else "?" for sign in path.name)
    return name[-_LONGEST_NOTEBOOK:]


class Doing(Reading):
    """Jobs, and changes to files; what one may not do is refused by the server."""

    # Jobs

    def reduce(
        self, file_id: int, settings: Mapping[str, Any] | None = None, *, notebook: str = ""
    ) -> Job:
        """Reduce a frame again from raw to spectrum, as a new version.

        Parameters
        ----------
        settings
            Those that differ from the settings of the frame's proposal.
        notebook
            Name of the notebook that asks, told in the products' headers; by default that of
            the notebook in which this runs, where Jupyter says it.
        """
        return self._order("files/reduce/", file_id, settings, notebook)

    def extract(
        self,
        file_id: int,
        settings: Mapping[str, Any] | None = None,
        *,
        moved: Mapping[int, float] | None = None,
        added: Sequence[float] = (),
        trace_of: int | None = None,
        notebook: str = "",
    ) -> Job:
        """Extract the spectra of a reduced frame again, as a new version.

        Parameters
        ----------
        file_id
            The frame, raw or any product of it.
        settings
            Those that differ from the settings that the frame was reduced with; what was done
            before the extraction stays as it is.
        moved
            By how much the objects that are found are moved along the slit [detector rows], by
            their number from 0.
        added
            Objects that are not found: centres in the frame's middle column [detector rows].
        trace_of
            A spectrum whose trace all objects borrow, such as that of a brighter frame.
        """
        objects = given(trace_of=trace_of)
        objects |= {"moved": {str(n): rows for n, rows in moved.items()}} if moved else {}
        objects |= {"added": list(added)} if added else {}
        return self._order("files/spectrum/extract/", file_id, settings, notebook, **objects)

    def calibrate(
        self,
        file_id: int,
        arc_id: int | Sequence[int] | None = None,
        settings: Mapping[str, Any] | None = None,
        *,
        solution: WavelengthSolution | None = None,
        notebook: str = "",
    ) -> Job:
        """Calibrate the wavelengths of a spectrum again, as a new version.

        Parameters
        ----------
        file_id
            A spectrum, or its frame: then all spectra of it.
        arc_id
            An arc to use, or several; without, those of the frame's reduction.
        solution
            By whose lines, degree and camera the wavelengths are found anew: those that somebody
            named in the wavelength explorer; all others do not count. The file must be one
            spectrum then, of an arc or of an object.
        """
        arcs = [arc_id] if isinstance(arc_id, int) else list(arc_id or ())
        chosen = {"arc_file_ids": arcs} if arcs else {}
        chosen |= {} if solution is None else _named(solution)
        address = "files/spectrum/calibrate/wavelength/"
        return self._order(address, file_id, settings, notebook, **chosen)

    def calibrations(
        self, file_id: int, settings: Mapping[str, Any] | None = None, *, notebook: str = ""
    ) -> Job:
        """Make a master again with other settings; for staff."""
        return self._order("files/calibrations/", file_id, settings, notebook)

    def _order(
        self,
        address: str,
        file_id: int,
        settings: Mapping[str, Any] | None,
        notebook: str,
        **more: Any,
    ) -> Job:
        body = {"file_id": file_id, "settings": dict(settings or {}), **more}
        notebook = notebook or this_notebook()
        body |= {"notebook": notebook} if notebook else {}
        return job_of(self._do("POST", address, json=body))

    def job(self, job_id: int) -> Job:
        """A job as it stands."""
        return job_of(self._ask(f"jobs/{job_id}"))

    def jobs(self) -> list[Job]:
        """One's own jobs that are not over, the newest first."""
        return [job_of(told) for told in self._ask("jobs/")]

    def wait(self, job: Job | int, timeout: float = 600.0) -> Job:
        """The job when it is over, or as it stands after `timeout` seconds."""
        job_id = job if isinstance(job, int) else job.id
        until = time.monotonic() + timeout
        while True:
            left = max(until - time.monotonic(), 0.0)
            told = self._ask(f"jobs/{job_id}", {"wait": f"{min(left, _ASK_SECONDS):.1f}"})
            found = job_of(told)
            if found.is_over or time.monotonic() >= until:
                return found

    def cancel(self, job: Job | int) -> Job:
        """Stop a job; one that is over stays as it is."""
        job_id = job if isinstance(job, int) else job.id
        return job_of(self._do("POST", f"jobs/{job_id}/cancel"))

    # Files

    def reclassify(self, file_id: int, kind: str | None = None) -> FileRow:
        """Say what kind of frame a raw frame is; without `kind`, by its header anew."""
        self._do("POST", "files/reclassify/", json={"file_id": file_id} | given(kind=kind))
        return self.file(file_id)

    def delete_product(self, file_id: int) -> None:
        """Delete a product; `restore_product` brings it back. Raw frames are never deleted."""
        self._do("DELETE", f"files/{file_id}/")

    def restore_product(self, file_id: int) -> FileRow:
        """Bring a deleted product back."""
        self._do("POST", f"files/{file_id}/restore")
        return self.file(file_id)

    def dismiss(self, file_id: int) -> FileRow:
        """Note that a file that cannot be read is known of; for staff."""
        self._do("POST", f"files/{file_id}/dismiss")
        return self.file(file_id)

    def assign(self, file_id: int, soar_id: str) -> FileRow:
        """Give a raw frame, and all made of it, to a proposal."""
        self._do("PUT", f"files/{file_id}/proposal", json={"proposal_id": soar_id})
        return self.file(file_id)


def _named(solution: WavelengthSolution) -> dict[str, Any]:
    """What a solution rests on."""
    blends = solution.blends or (0.0,) * len(solution.columns)
    names = solution.columns, solution.wavelengths, solution.ions, blends
    lines = [
        {"column": column, "wavelength": wavelength, "ion": ion, "blend": blend}
        for column, wavelength, ion, blend in zip(*names, strict=True)
    ]
    figures = {name: getattr(solution, name) for name in ("offset", "scale", "scatter")}
    told = {name: value for name, value in figures.items() if math.isfinite(value)}
    return {"lines": lines, "order": solution.order, "lamps": list(solution.lamps)} | told


def job_of(told: Mapping[str, Any]) -> Job:
    """A job as the API tells of it; what is provisional is done, its message says what lacks."""
    state = "done" if told["state"] == "provisional" else told["state"]
    return Job(
        id=told["id"],
        state=state,
        progress=told["progress"],
        message=told["message"],
        file_ids=tuple(told["product_ids"]),
        file_id=told["file_id"],
        wanted=told["wanted"],
        username=told["username"],
        settings=told["settings"],
        started=told["started"],
        ended=told["ended"],
    )
