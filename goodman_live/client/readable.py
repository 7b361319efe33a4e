"""What pages and notebooks ask of any archive, near or far."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

from ..catalog import Event, FileRow, Filter, Page, Run


class ReadableArchive(Protocol):
    """What pages and notebooks ask an archive: `ArchiveFor` at the archive, or a `RemoteArchive`.

    Files are rows (`FileRow`), named by their ids; what somebody may not see is `NotFound`.
    """

    def page(
        self,
        which: Filter,
        *,
        order: str = "newest",
        limit: int = 20,
        offset: int = 0,
    ) -> Page: ...

    def files(
        self, which: Filter, *, order: str = "newest", limit: int = 20, offset: int = 0
    ) -> list[FileRow]: ...

    def count(self, which: Filter) -> int: ...

    def choices(self, column: str, which: Filter | None = None) -> dict[Any, int]: ...

    def frames(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        calibrations: bool | None = False,
        search: str = "",
    ) -> list[FileRow]: ...

    def n_frames(self, *, calibrations: bool | None = False, search: str = "") -> int: ...

    def masters(self, *, limit: int = 100, offset: int = 0) -> list[FileRow]: ...

    def file(self, file_id: int) -> FileRow: ...

    def path(self, row: FileRow) -> Path: ...

    def children(self, file_id: int, *, current_only: bool = False) -> list[FileRow]: ...

    def runs(self, file_id: int, *, limit: int = 100) -> list[Run]: ...

    def last_event(self) -> int: ...

    def events_since(self, number: int, limit: int = 1000) -> list[Event]: ...

    def follow(self, since: int, stop: threading.Event | None = None) -> Iterator[Event]: ...
