"""What somebody asked to be made: followed until it is there, with progress, cancel and undo.

The archive does the work; here its jobs are watched and told of in notices.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import Any

from ..answers import Job
from ..catalog import FileRow
from ..errors import Away, Forbidden, GoodmanError, NotFound, Refused, SignInNeeded
from .notices import Notice, Notices
from .platform import AWAY, guarded
from .tasks import Tasks

LOOK_SECONDS = 1.0
AGAIN_SECONDS = 2.0
UNDO_SECONDS = 120.0
SAID_SECONDS = 8.0
_FINAL = (NotFound, Forbidden, Refused, SignInNeeded)
_WORDS = {
    "reduce": ("Reducing", "reduced"),
    "extract": ("Extracting", "extracted"),
    "calibrate": ("Calibrating", "calibrated"),
    "master": ("Combining", "combined"),
}


class Orders:
    """The jobs of a viewer.

    Parameters
    ----------
    archive
        That does them.
    tasks
        Among which they are followed.
    is_shown
        Whether the person looks at a frame just now.
    show
        Shows a frame with what a job made of it.
    changed
        Is called when what is under way has changed.
    """

    def __init__(
        self,
        archive: Any,
        tasks: Tasks,
        is_shown: Callable[[FileRow], bool],
        show: Callable[[FileRow, Job], None],
        changed: Callable[[], None],
    ) -> None:
        self.notices = Notices(sizing_mode="stretch_width")
        self.notices.on_deed(self._answered)
        self._archive, self._tasks = archive, tasks
        self._is_shown, self._show, self._changed = is_shown, show, changed
        self._numbers = count(1)
        self._answers: dict[int, Callable[[], Any]] = {}
        self._open: dict[int, tuple[int, str]] = {}  # notice -> frame, what is made of it

    def under_way(self, file_id: int) -> list[str]:
        """What is being made of a frame just now."""
        return [wanted for frame, wanted in self._open.values() if frame == file_id]

    # Jobs

    def begin(self, frame: FileRow, wanted: str, ask: Callable[[], Job]) -> None:
        """Ask for a job, in a thread, and follow it; what was said of earlier ones is read."""
        for row in self.notices.rows:
            if row["kind"] in ("good", "bad") and not row["deed"]:
                self.forget(row["id"])
        self._tasks.begin(self._follow, frame, wanted, ask)

    def resume(self) -> None:
        """Follow again the jobs that one left under way when the page was closed."""
        if hasattr(self._archive, "jobs"):
            self._tasks.begin(self._resume)

    async def _resume(self) -> None:
        for job in await asyncio.to_thread(self._archive.jobs):
            await self._take_up(job)

    def take_up(self, job: Job) -> None:
        """Follow a job that was asked for elsewhere."""
        self._tasks.begin(self._take_up, job)

    async def _take_up(self, job: Job) -> None:
        if job.file_id is not None:
            frame = await asyncio.to_thread(self._archive.file, job.file_id)
            self.begin(frame, job.wanted, lambda: job)

    async def _follow(self, frame: FileRow, wanted: str, ask: Callable[[], Job]) -> None:
        number = next(self._numbers)
        doing, done = _WORDS[wanted]
        notice = Notice(number, f"{doing} {frame.file_name}", detail="asking for it")
        self._open[number] = frame.id, wanted
        self.notices.put(notice)
        self._changed()
        try:
            job = await asyncio.to_thread(ask)
            job = await self._until_over(job, replace(notice, deed="Cancel"))
        except GoodmanError as error:
            text = f"{frame.file_name} could not be {done}"
            why = AWAY if isinstance(error, Away) else str(error)
            self.notices.put(replace(notice, kind="bad", text=text, detail=why))
        else:
            self._end(frame, job, notice, done)
        finally:
            del self._open[number]
            self._changed()

    async def _until_over(self, job: Job, notice: Notice) -> Job:
        self._answers[notice.id] = lambda: self._tasks.begin(self._cancel, job.id)
        while not job.is_over:
            said = job.progress or ("waiting for its turn" if job.state == "queued" else "")
            self.notices.put(replace(notice, detail=said))
            try:
                job = await asyncio.to_thread(self._archive.wait, job.id, LOOK_SECONDS)
            except _FINAL:
                raise
            except GoodmanError:  # the archive is away: the job is not
                self.notices.put(replace(notice, detail="the archive does not answer just now"))
                await asyncio.sleep(AGAIN_SECONDS)
        return job

    async def _cancel(self, job_id: int) -> None:
        await asyncio.to_thread(self._archive.cancel, job_id)

    def _end(self, frame: FileRow, job: Job, notice: Notice, done: str) -> None:
        self._answers.pop(notice.id, None)
        name = frame.file_name
        if job.state == "cancelled":
            self._say(replace(notice, kind="good", text=f"Cancelled: {name}", detail=""))
        elif job.state != "done":
            text = f"{name} could not be {done}"
            self.notices.put(replace(notice, kind="bad", text=text, detail=job.message))
        else:
            self._made(frame, job, replace(notice, text=f"{name} was {done}", detail=job.message))

    def _made(self, frame: FileRow, job: Job, notice: Notice) -> None:
        """Show it, unless the person looks at something else by now: then offer it."""
        if self._is_shown(frame):
            self._show(frame, job)
            self._say(replace(notice, kind="provisional" if job.message else "good"))
            return
        self._answers[notice.id] = lambda: (self.forget(notice.id), self._show(frame, job))
        self.notices.put(replace(notice, kind="good", deed="Show"))

    # Deleting

    def delete(
        self, row: FileRow, gone: Callable[[], None], restored: Callable[[FileRow], None]
    ) -> None:
        """Delete a product; `restored` is called with it if somebody wants it back."""
        self._tasks.begin(self._delete, row, gone, restored)

    async def _delete(
        self, row: FileRow, gone: Callable[[], None], restored: Callable[[FileRow], None]
    ) -> None:
        await asyncio.to_thread(self._archive.delete_product, row.id)
        gone()
        number = next(self._numbers)
        if not hasattr(self._archive, "restore_product"):
            self._say(Notice(number, f"Deleted {row.file_name}", "good"))
            return
        notice = Notice(number, f"Deleted {row.file_name}", "good", deed="Undo")
        self._answers[number] = lambda: self._tasks.begin(self._restore, notice, row, restored)
        self._say(notice, UNDO_SECONDS)

    async def _restore(
        self, notice: Notice, row: FileRow, restored: Callable[[FileRow], None]
    ) -> None:
        self.forget(notice.id)
        back = await asyncio.to_thread(self._archive.restore_product, row.id)
        self._say(Notice(next(self._numbers), f"{row.file_name} is back", "good"))
        restored(back)

    # Notices

    def _say(self, notice: Notice, seconds: float = SAID_SECONDS) -> None:
        """Show a notice for a while; one with something to read stays until it is dismissed."""
        self.notices.put(notice)
        if not notice.detail:
            asyncio.get_running_loop().call_later(seconds, guarded(self.forget), notice.id)

    def forget(self, number: int) -> None:
        """Take a notice away, and what its button would do."""
        self._answers.pop(number, None)
        self.notices.drop(number)

    def _answered(self, deed: dict[str, Any]) -> None:
        if "notice" in deed:
            self._answers.get(deed["notice"], lambda: None)()
        elif "dismiss" in deed:
            self.forget(deed["dismiss"])
