"""In each user's notebook server: notebooks on a frame or a proposal, and the launcher's entries.

It runs as the user, in their sandbox, and asks the API with their token, as their notebooks do.
"""

from __future__ import annotations

import asyncio
import json
import os
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from tornado import web

from ..errors import GoodmanError, NotFound
from .notebooks import (
    TUTORIALS,
    copy_tutorials,
    frame_notebook,
    free_name,
    proposal_notebook,
    tutorials_folder,
    word_of,
)

DASHBOARDS_VARIABLE = "GOODMAN_DASHBOARDS_URL"
FOLDER = "notebooks"


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": __name__}]


def _load_jupyter_server_extension(server: Any) -> None:
    root = Path(server.root_dir)
    base = partial(url_path_join, server.web_app.settings["base_url"], "goodman-live")
    server.web_app.add_handlers(
        ".*$",
        [
            (base("frame", r"(\d{1,18})"), FrameHandler, {"root": root}),
            (base("proposal", r"([\w.%-]{1,192})"), ProposalHandler, {"root": root}),
            (base("entries"), EntriesHandler),
            (base("ended"), EndedHandler),
        ],
    )
    try:
        copy_tutorials(tutorials_folder(), root / TUTORIALS)
    except OSError as error:  # a full disk must not keep somebody from their notebooks
        server.log.warning("The tutorials cannot be copied: %s", error)


class _MakesNotebook(JupyterHandler):
    """Makes a notebook, or finds the one of before, and opens it."""

    def initialize(self, root: Path) -> None:
        self.root = root

    async def open(self, name: str, content: dict[str, Any], *, anew: bool) -> None:
        """Send to a notebook of a name; to one more of that name, if wanted."""
        folder = self.root / FOLDER
        folder.mkdir(exist_ok=True)
        path = folder / (free_name(folder, name) if anew else f"{name}.ipynb")
        if not path.exists():
            path.write_text(json.dumps(content, indent=1), encoding="utf-8")
        relative = path.relative_to(self.root).as_posix()
        if anew:
            self.finish({"path": relative})
        else:
            self.redirect(url_path_join(self.base_url, "lab/tree", relative))


class FrameHandler(_MakesNotebook):
    """A notebook with a file of the archive loaded."""

    @web.authenticated
    async def get(self, file_id: str) -> None:
        """Open it."""
        name = await asyncio.to_thread(_file_name, int(file_id))
        # Frames of two nights may have one name.
        wanted = f"{word_of(Path(name).stem)}_{int(file_id)}"
        await self.open(wanted, frame_notebook(int(file_id), name), anew=False)


class ProposalHandler(_MakesNotebook):
    """A notebook that begins with the frames of a proposal."""

    @web.authenticated
    async def get(self, soar_id: str) -> None:
        """Open it; with `?new`, one more."""
        anew = self.get_query_argument("new", None) is not None
        await self.open(word_of(soar_id), proposal_notebook(soar_id), anew=anew)


class EntriesHandler(JupyterHandler):
    """What the launcher shows."""

    @web.authenticated
    async def get(self) -> None:
        """As JSON."""
        pages = os.environ.get(DASHBOARDS_VARIABLE, "/services/dashboards/")
        live = {
            "label": "Live dashboard",
            "caption": "Frames as they arrive",
            "page": f"{pages}live",
        }
        entries = [live]
        for soar_id in await asyncio.to_thread(_proposals):
            about = {"label": f"Notebook on {soar_id}", "caption": f"A new notebook on {soar_id}"}
            entries.append(about | {"make": f"goodman-live/proposal/{quote(soar_id)}?new"})
        self.finish(json.dumps(entries))


class EndedHandler(JupyterHandler):
    """What of one's notebooks the hub has ended for want of room, with their names."""

    @web.authenticated
    async def get(self) -> None:
        """As JSON, the newest last."""
        sessions = await self.session_manager.list_sessions()
        names = {each["kernel"]["id"]: each["path"] for each in sessions}
        found = await asyncio.to_thread(_ended)
        for each in found:
            each["notebooks"] = [names[kernel] for kernel in each["kernels"] if kernel in names]
        self.finish(json.dumps(found))


def _ended() -> list[dict[str, Any]]:
    """As the hub tells it; nothing while it does not answer."""
    import httpx

    address = f"{os.environ.get('JUPYTERHUB_API_URL', '')}/goodman-live/ended"
    headers = {"Authorization": f"token {os.environ.get('JUPYTERHUB_API_TOKEN', '')}"}
    try:
        return httpx.get(address, headers=headers, trust_env=False).raise_for_status().json()
    except (httpx.HTTPError, httpx.InvalidURL, ValueError):
        return []


def _file_name(file_id: int) -> str:
    from ..client import connect

    try:
        with connect() as archive:
            return archive.file(file_id).file_name
    except NotFound:
        raise web.HTTPError(404, f"There is no file {file_id}.") from None
    except GoodmanError as error:
        raise web.HTTPError(503, str(error)) from error


def _proposals() -> list[str]:
    """One's proposals; none while the archive does not answer."""
    from ..client import connect

    try:
        with connect() as archive:
            return [proposal.soar_id for proposal in archive.proposals()]
    except GoodmanError:
        return []
