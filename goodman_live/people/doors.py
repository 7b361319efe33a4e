"""The archive and its people as one person may see and change them: all doors lead through here.

What somebody may not see is `NotFound`, in the same words as what does not exist. Who it is
and what they belong to is looked up at every call, so that a change takes effect at once,
also for a page that has been open for hours. Doors for a single request are told it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import access
from ..access import Viewer, may, visible
from ..catalog import MASTER, RAW, Archive, Event, FileRow, Filter, Page, Run
from ..catalog import events as catalog_events
from ..errors import Forbidden, NotFound, Refused, SignInNeeded
from ..recipes import ReductionSettings
from . import roster
from .entries import (
    Added,
    Comment,
    Preferences,
    Proposal,
    Registration,
    SettingsChange,
    Token,
    User,
)
from .people import People

_OF_HIMSELF = ("first_name", "last_name", "email", "partner")
_BY_STAFF = (*_OF_HIMSELF, "username", "is_active")
_RIGHTS = ("is_staff", "is_superuser")


class Door:
    """What one person may do; `user_id` is None for anyone who is not signed in.

    `viewer` is who it is where that was just looked up, for doors that are soon gone.
    """

    def __init__(self, people: People, user_id: int | None, viewer: Viewer | None = None) -> None:
        self._people = people
        self.user_id = user_id
        self._viewer = viewer

    def viewer(self) -> Viewer:
        """Who asks, as things are now."""
        return self._viewer or self._people.viewer(self.user_id)

    def may(self, action: str, target: Any = None) -> bool:
        """Whether they may; for buttons. Methods ask for themselves."""
        return may(self.viewer(), action, target)

    def require(self, action: str, target: Any = None) -> Viewer:
        """Who asks, if they may do something to what they may see.

        Raises
        ------
        SignInNeeded, Forbidden
            If they may not.
        """
        viewer = self._signed_in(action, target)
        if not may(viewer, action, target):
            raise Forbidden("You must not do this.")
        return viewer

    def _signed_in(self, action: str, target: Any = None) -> Viewer:
        viewer = self.viewer()
        if viewer == access.ANYONE and not may(viewer, action, target):
            raise SignInNeeded("Sign in first.")
        return viewer


class ArchiveFor(Door):
    """An archive as one person sees it: the same methods as `Archive` has for reading.

    Parameters
    ----------
    archive
        All of it.
    people
        Who is who.
    user_id, viewer
        For whom, as of any `Door`.
    """

    def __init__(
        self, archive: Archive, people: People, user_id: int | None, viewer: Viewer | None = None
    ) -> None:
        super().__init__(people, user_id, viewer)
        self._archive = archive

    # Lists, counts, choices

    def page(self, which: Filter, **options: Any) -> Page:
        """A page of the files that pass a filter, and how many do; options as of `Archive`."""
        return self._archive.page(self._seen(which), **options)

    def files(self, which: Filter, **options: Any) -> list[FileRow]:
        """A page of the files that pass a filter; options as of `Archive`."""
        return self._archive.files(self._seen(which), **options)

    def count(self, which: Filter, **options: Any) -> int:
        """How many files pass a filter."""
        return self._archive.count(self._seen(which), **options)

    def choices(self, column: str, which: Filter | None = None) -> dict[Any, int]:
        """The values of a column among the files that pass a filter, with how many have each."""
        return self._archive.choices(column, self._seen(which or Filter()))

    def frames(
        self,
        *,
        limit: int = 20,
        offset: int = 0,
        calibrations: bool | None = False,
        search: str = "",
    ) -> list[FileRow]:
        """Raw frames, newest first."""
        which = Filter(data_type=RAW, calibrations=calibrations, text=search)
        return self.files(which, limit=limit, offset=offset)

    def n_frames(self, *, calibrations: bool | None = False, search: str = "") -> int:
        """Number of raw frames that `frames` would list."""
        return self.count(Filter(data_type=RAW, calibrations=calibrations, text=search))

    def masters(self, *, limit: int = 100, offset: int = 0) -> list[FileRow]:
        """Current masters, newest first."""
        return self.files(Filter(data_type=MASTER, current_only=True), limit=limit, offset=offset)

    def _seen(self, which: Filter) -> Filter:
        return replace(which, within=visible(self._signed_in("see calibration")))

    # One file

    def file(self, file_id: int) -> FileRow:
        """One file; NotFound if there is none that they may see."""
        viewer = self._signed_in("see calibration")
        try:
            row = self._archive.file(file_id)
        except KeyError:
            row = None
        if row is None or not may(viewer, "see file", row):
            raise NotFound(f"There is no file {file_id}.")
        return row

    def path(self, row: FileRow) -> Path:
        """Where a file is, to be read; no link, and nothing outside the archive."""
        path = self._archive.path(self.file(row.id))
        is_inside = path.is_relative_to(self._archive.root) and path.resolve() == path
        if not is_inside or not path.is_file():
            raise NotFound(f"There is no file {row.id}.")
        return path

    def children(self, file_id: int, *, current_only: bool = False) -> list[FileRow]:
        """Products of a raw frame: the furthest reduced first, of these the newest."""
        self.file(file_id)
        viewer = self.viewer()
        found = self._archive.children(file_id, current_only=current_only)
        return [row for row in found if may(viewer, "see file", row)]

    def runs(self, file_id: int, *, limit: int = 100) -> list[Run]:
        """What was tried on a file, the newest first."""
        self.file(file_id)
        return self._archive.runs(file_id, limit=limit)

    def permitted(self, action: str, file_id: int) -> FileRow:
        """The file, if they may do something to it, such as 'reduce file'.

        Raises
        ------
        NotFound
            If there is none that they may see.
        Forbidden
            If they see it and may not.
        """
        row = self.file(file_id)
        self.require(action, row)
        return row

    def delete_product(self, file_id: int) -> None:
        """Delete a product; GoodmanError if it is a raw frame."""
        self._archive.delete_product(self.permitted("delete file", file_id))

    def restore_product(self, file_id: int) -> FileRow:
        """Bring a deleted product back; NotFound if there is none that they may see."""
        viewer = self._signed_in("see calibration")
        try:
            row = self._archive.removed_file(file_id)
        except KeyError:
            row = None
        if row is None or not may(viewer, "see file", row):
            raise NotFound(f"There is no deleted file {file_id}.")
        self.require("delete file", row)
        return self._archive.restore_product(file_id)

    def assign(self, file_id: int, soar_id: str) -> FileRow:
        """Give a raw frame, and all made of it, to a proposal."""
        row = self.permitted("assign file", file_id)
        if row.data_type != RAW:
            raise Refused("A file to assign must be a raw frame; its products follow it.")
        return self._archive.assign(row.id, self._people.proposal(soar_id).soar_id)

    def dismiss(self, file_id: int) -> FileRow:
        """Note that a file that cannot be read is known of: it is not told of again."""
        return self._archive.dismiss(self.permitted("dismiss file", file_id).id)

    # Events

    def last_event(self) -> int:
        """Number of the newest event, to follow from."""
        self.require("read events")
        return self._archive.last_event()

    def events_since(self, number: int, limit: int = 1000) -> list[Event]:
        """Events after `number` of what they may see, in order."""
        within = visible(self.require("read events"))
        if within is None:
            return self._archive.events_since(number, limit)
        return catalog_events.events_within(self._archive.database, number, limit, within)

    def follow(self, since: int, stop: threading.Event | None = None) -> Iterator[Event]:
        """Yield events of what they may see as they happen, until `stop`."""
        self.require("read events")
        stop = stop or threading.Event()
        return catalog_events.follow(self._archive.database, since, stop, self.events_since)


class PeopleFor(Door):
    """Users, proposals and what belongs to them, as one person may see and change them."""

    def __init__(
        self, archive: Archive, people: People, user_id: int | None, viewer: Viewer | None = None
    ) -> None:
        super().__init__(people, user_id, viewer)
        self._files = ArchiveFor(archive, people, user_id, viewer)

    # Oneself

    def me(self) -> User:
        """Who they are."""
        if self.viewer() == access.ANYONE:
            raise SignInNeeded("Sign in first.")
        return self._people.user(self.user_id)

    def change_password(self, old: str, new: str) -> User:
        """Change their own password."""
        return self._people.change_password(self.me().id, old, new)

    def preferences(self) -> Preferences:
        """How they like the pages to look."""
        return self._people.preferences(self.me().id)

    def save_preferences(self, values: Mapping[str, Any]) -> Preferences:
        """Change some preferences of their own."""
        return self._people.save_preferences(self.me().id, values)

    # Users

    def users(self, *, search: str = "", limit: int = 100, offset: int = 0) -> list[User]:
        """All users, for who manages them."""
        self.require("list users")
        return self._people.users(search=search, limit=limit, offset=offset)

    def user(self, user_id: int) -> User:
        """A user; NotFound if there is none that they may see."""
        self._signed_in("see user")
        try:
            user = self._people.user(user_id)
        except NotFound:
            user = None
        if user is None or not self.may("see user", user):
            raise NotFound("There is no such user.")
        return user

    def add_user(self, email: str, **values: Any) -> Added:
        """Add a user and send the invitation."""
        is_staff = any(values.get(right) for right in _RIGHTS)
        self.require("add staff user" if is_staff else "add user")
        _refuse_others(values, (*_BY_STAFF, *_RIGHTS))
        user = self._people.add_user(email, **values)
        return self._people.invited(user, self.me().full_name)

    def change_user(self, user_id: int, **values: Any) -> User:
        """Change what is known of a user: of oneself, the name, address and partner only."""
        user = self.user(user_id)
        self.require("describe user", user)
        if not set(values) <= set(_OF_HIMSELF):
            self.require("edit user", user)
        if not set(values).isdisjoint(_RIGHTS):
            self.require("add staff user")
        _refuse_others(values, (*_BY_STAFF, *_RIGHTS))
        return self._people.change_user(user_id, **values)

    def send_reset(self, user_id: int) -> None:
        """Send a user a link that sets a new password."""
        user = self.user(user_id)
        self.require("edit user", user)
        self._people.send_reset(user.id)

    # Tokens

    def tokens(self, user_id: int | None = None) -> list[Token]:
        """Tokens of a user, by default their own."""
        user = self.me() if user_id is None else self.user(user_id)
        self.require("see tokens of user", user)
        return self._people.tokens(user.id)

    def add_token(self, label: str = "", days: float | None = None) -> tuple[Token, str]:
        """Add a token of their own; its key is not told again."""
        me = self.me()
        self.require("add token", me)
        return self._people.add_token(me.id, label, days)

    def revoke_token(self, token_id: int) -> None:
        """From now on a token holds no longer."""
        self._signed_in("revoke tokens of user")
        token = self._people.token(token_id)
        if not self.may("revoke tokens of user", self._people.user(token.user_id)):
            raise NotFound("There is no such token.")
        self._people.revoke_token(token.id)

    # Proposals

    def proposals(self) -> list[Proposal]:
        """The proposals that they may see, the newest semester first."""
        viewer = self._signed_in("see proposal")
        sees_all = may(viewer, "see proposal", "")
        found = self._people.proposals(None if sees_all else viewer.user_id)
        return [proposal for proposal in found if may(viewer, "see proposal", proposal)]

    def proposal(self, soar_id: str) -> Proposal:
        """A proposal; NotFound if there is none that they may see."""
        viewer = self._signed_in("see proposal", soar_id)
        if not may(viewer, "see proposal", soar_id):
            raise NotFound(f"There is no proposal {soar_id}.")
        return self._people.proposal(soar_id)

    def next_soar_id(self, semester: str = "") -> str:
        """The SOAR id that a form for a new proposal begins with."""
        self.require("add proposal")
        return self._people.next_soar_id(semester)

    def add_proposal(self, soar_id: str, *, pi: int | None = None, **values: str) -> Proposal:
        """Add a proposal."""
        self.require("add proposal")
        _refuse_others(values, ("title", "abstract", "semester"))
        return self._people.add_proposal(soar_id, pi=pi, **values)

    def import_people(self, text: str, *, dry: bool = True) -> Registration:
        """Register a semester's proposals and people, as `roster` has them; a dry run only says."""
        self.require("add proposal")
        self.require("add user")
        return roster.register_text(self._people, text, dry=dry)

    def change_proposal(self, soar_id: str, *, pi: int | None = None, **values: str) -> Proposal:
        """Change title and abstract; staff also `semester`, PI (0: none) and `new_soar_id`."""
        self._permitted("describe proposal", soar_id)
        if pi is not None or not set(values) <= {"title", "abstract"}:
            self.require("edit proposal", soar_id)
        _refuse_others(values, ("title", "abstract", "semester", "new_soar_id"))
        return self._people.change_proposal(soar_id, pi=pi, **values)

    def add_collaborator(self, soar_id: str, email: str, **values: str) -> Added:
        """Add a collaborator by address; who is not known yet is invited."""
        self._permitted("change collaborators", soar_id)
        _refuse_others(values, ("first_name", "last_name", "partner", "username"))
        return self._people.add_collaborator(soar_id, email, self.me().full_name, **values)

    def remove_collaborator(self, soar_id: str, email: str) -> None:
        """Take a collaborator out."""
        self._permitted("change collaborators", soar_id)
        self._people.remove_collaborator(soar_id, email)

    def settings(self, soar_id: str | None) -> ReductionSettings:
        """By what settings frames of a proposal are reduced, or, if None, those of none."""
        self._may_see_settings(soar_id)
        return self._people.settings(soar_id)

    def history_of_settings(self, soar_id: str | None) -> list[SettingsChange]:
        """Who chose which settings, and when."""
        self._may_see_settings(soar_id)
        return self._people.history_of_settings(soar_id)

    def save_settings(self, soar_id: str | None, values: Mapping[str, Any]) -> SettingsChange:
        """Choose settings of a proposal, or, if None, of the site."""
        if soar_id is None:
            self.require("edit site settings")
        else:
            self._permitted("edit settings", soar_id)
        return self._people.save_settings(soar_id, values, self.viewer().username)

    def _may_see_settings(self, soar_id: str | None) -> None:
        if soar_id is None:
            self.require("edit site settings")
        else:
            self._permitted("see settings", soar_id)

    def _permitted(self, action: str, soar_id: str) -> Proposal:
        proposal = self.proposal(soar_id)
        self.require(action, proposal)
        return proposal

    # Comments

    def comments(self, file_id: int) -> list[Comment]:
        """Comments on a file, the oldest first."""
        self._files.file(file_id)
        return self._people.comments(file_id)

    def add_comment(self, file_id: int, text: str) -> Comment:
        """Say something of a file."""
        self._files.permitted("comment file", file_id)
        return self._people.add_comment(file_id, self.user_id, text)

    def edit_comment(self, comment_id: int, text: str) -> Comment:
        """Say it otherwise."""
        self.require("edit comment", self._comment(comment_id))
        return self._people.edit_comment(comment_id, text)

    def delete_comment(self, comment_id: int) -> None:
        """Take it back."""
        self.require("delete comment", self._comment(comment_id))
        self._people.delete_comment(comment_id)

    def _comment(self, comment_id: int) -> Comment:
        """A comment on a file that they may see."""
        self._signed_in("edit comment")
        comment = self._people.comment(comment_id)
        try:
            self._files.file(comment.file_id)
        except NotFound:
            raise NotFound("There is no such comment.") from None
        return comment


def _refuse_others(values: Mapping[str, Any], known: tuple[str, ...]) -> None:
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise Refused(f"{unknown[0]} cannot be set; known are {', '.join(known)}.")
