"""Rows of the archive and its people as the API tells them.

No path of the server is told, and of calibrations that serve everybody not whose they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, replace
from typing import Any

from pydantic import BaseModel
from starlette.responses import Response

from ..access import Viewer, may
from ..calibrations import NOBODYS
from ..catalog import Archive, Event, FileRow, Run
from ..metadata import CALIBRATION_KINDS
from ..people.entries import Added, Comment, Proposal, Token, User
from .models import CommentOut, FileObject
from .people_models import (
    AddedCollaborator,
    AddedUser,
    Collaborators,
    ProposalOut,
    TokenOut,
    UserDetail,
    UserOut,
)

_PATH = re.compile(r"(?<![\w.:/])/(?:[^\s/'\"]+/)+")
_TECHNIQUES = {"spectroscopy": "Spectroscopy", "imaging": "Imaging"}


def without_paths(text: str) -> str:
    """A message in which files are called by their names only."""
    return _PATH.sub("", text)


def is_hidden(proposal: str, viewer: Viewer) -> bool:
    """Whether somebody must not know that there is such a proposal."""
    return proposal not in NOBODYS and not may(viewer, "see proposal", proposal)


def answer(model: BaseModel) -> Response:
    """An answer made of a model that holds only what the model allows: it is not checked again."""
    return Response(model.model_dump_json(by_alias=True), media_type="application/json")


# Files


def row_for(row: FileRow, viewer: Viewer) -> FileRow:
    """A row as it may be told."""
    folder = "" if row.folder.startswith("/") else row.folder
    changed: dict[str, Any] = {"message": without_paths(row.message), "folder": folder}
    if row.kind in CALIBRATION_KINDS and is_hidden(row.proposal, viewer):
        unknown = dict.fromkeys(("block", "observation", "configuration"), "")
        changed |= {"proposal": "", **unknown}
    return replace(row, **changed)


def file_objects(archive: Archive, rows: Iterable[FileRow], viewer: Viewer) -> list[FileObject]:
    """Files as programs know them, with the names of what they were made of."""
    rows = [row_for(row, viewer) for row in rows]
    made_of = {number for row in rows for number in (row.original_id, row.parent_id) if number}
    known = archive.some(made_of) if made_of else {}
    seen = {number: row for number, row in known.items() if may(viewer, "see file", row)}
    return [_file_object(row, {**seen, row.id: row}) for row in rows]


def _file_object(row: FileRow, others: Mapping[int, FileRow]) -> FileObject:
    original = others.get(row.original_id or row.id)
    parent = others.get(row.parent_id or row.id)
    return FileObject(
        id=row.id,
        created=row.created,
        last_modified=row.last_modified,
        original_file=original.file_name if original else None,
        original_file_id=original.id if original else None,
        parent_file=parent.file_name if parent else None,
        parent_file_id=parent.id if parent else None,
        file_name=row.file_name,
        directory_name=row.folder,
        full_path=full_path(row),
        obstype=row.obstype,
        object=row.object_name,
        filter=row.filter,
        filter_2=row.filter2,
        grating=row.grating,
        slit=row.slit,
        cam_targ=f"{row.camera_angle:g}",
        grt_targ=f"{row.grating_angle:g}",
        obsra=row.ra,
        obsdec=row.dec,
        gain=f"{row.gain:g}",
        rdnoise=f"{row.read_noise:g}",
        roi=row.roi,
        wavmode=row.wavmode,
        proposal_id=row.proposal or None,
        observation_id=_number_in(row.observation),
        configuration_id=_number_in(row.configuration),
        block_id=_number_in(row.block),
        image_id=_number_in(row.image_id),
        date=f"{row.night[:4]}-{row.night[4:6]}-{row.night[6:]}" if row.night else "",
        data_type=str(row.data_type),
        normalized=bool(row.normalisation),
        technique=_TECHNIQUES.get(row.technique, row.technique),
        saturation_value=round(row.saturation),
    )


def full_path(row: FileRow) -> str:
    """Path of a file inside the archive."""
    return f"{row.folder}/{row.file_name}" if row.folder else row.file_name


def _number_in(text: str) -> int | str | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 16 else text or None


def run_for(run: Run) -> Run:
    """A run as it may be told."""
    return replace(run, message=without_paths(run.message))


def event_for(event: Event, viewer: Viewer) -> Event:
    """An event as it may be told."""
    proposal = "" if is_hidden(event.proposal, viewer) else event.proposal
    return replace(event, text=without_paths(event.text), proposal=proposal)


# People


def user_out(user: User) -> UserOut:
    """A user as everybody who may see one sees it."""
    return UserOut(**_user(user))


def user_detail(user: User) -> UserDetail:
    """A user as they see themselves, and staff sees them."""
    return UserDetail(**_detail(user))


def _detail(user: User) -> dict[str, Any]:
    names = ("partner", "is_superuser", "invited", "password_changed")
    return _user(user) | {name: getattr(user, name) for name in names}


def added_user(added: Added) -> AddedUser:
    """A user just added."""
    return AddedUser(**_detail(added.user), problem=added.problem)


def _user(user: User) -> dict[str, Any]:
    names = ("id", "username", "first_name", "last_name", "email", "is_staff", "is_active")
    values = {name: getattr(user, name) for name in names}
    return values | {"last_login": user.last_login or None, "date_joined": user.created}


def me_out(user: User, viewer: Viewer, preferences: Mapping[str, Any]) -> dict[str, Any]:
    """What somebody is told of themselves."""
    return _detail(user) | {
        "proposals": sorted(viewer.leads | viewer.joins),
        "leads": sorted(viewer.leads),
        "joins": sorted(viewer.joins),
        "preferences": dict(preferences),
    }


def proposal_out(proposal: Proposal) -> ProposalOut:
    """A proposal as who may see it sees it."""
    return ProposalOut(
        id=proposal.id,
        soar_id=proposal.soar_id,
        semester=proposal.semester,
        title=proposal.title,
        abstract=proposal.abstract,
        created=proposal.created,
        user=user_out(proposal.pi) if proposal.pi else None,
        collaborators=[user_out(member) for member in proposal.collaborators],
    )


def collaborators_out(proposal: Proposal, added: Added | None) -> Collaborators:
    """A proposal after somebody was added to it, or taken out if `added` is None."""
    told = None
    if added is not None:
        told = AddedCollaborator(
            user=user_out(added.user), is_new_user=added.is_new_user, problem=added.problem
        )
    return Collaborators(**proposal_out(proposal).model_dump(), added=told)


def token_out(token: Token) -> TokenOut:
    """A token without its key."""
    return TokenOut(**asdict(token))


def comment_out(comment: Comment) -> CommentOut:
    """A comment."""
    names = ("id", "file_id", "author_id", "author", "text", "created", "edited")
    return CommentOut(**{name: getattr(comment, name) for name in names})
