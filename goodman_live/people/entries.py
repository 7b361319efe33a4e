"""Users, proposals and what belongs to them, as plain data that needs no database.

Times are ISO strings in UT, '' for never.
"""

from __future__ import annotations

from dataclasses import dataclass

import param

from ..settings import Settings

OWNER_ADDRESS = "owner@localhost.localdomain"  # of who works alone, without signing in
PARTNERS = ("NOIRLAB", "BRAZIL", "CHILE", "MSU", "UNC", "OTHER")


@dataclass(frozen=True)
class User:
    """Somebody who may sign in; `invited` is when an invitation was last sent.

    Sessions that began before `password_changed` are void.
    """

    id: int
    username: str
    first_name: str
    last_name: str
    email: str
    partner: str
    is_staff: bool
    is_superuser: bool
    is_active: bool
    created: str
    last_login: str
    invited: str
    password_changed: str

    @property
    def is_alone(self) -> bool:
        """Whether this is the owner of an archive on their own computer: nobody signs in there."""
        return self.email == OWNER_ADDRESS

    @property
    def full_name(self) -> str:
        """First and last name, or else the user name."""
        return f"{self.first_name} {self.last_name}".strip() or self.username


@dataclass(frozen=True)
class Proposal:
    """A proposal as the archive knows it; frames belong to it by `soar_id`."""

    id: int
    soar_id: str
    semester: str
    title: str
    abstract: str
    created: str
    pi: User | None
    collaborators: tuple[User, ...]


@dataclass(frozen=True)
class Token:
    """A key of a user's programs, of which only the beginning is known."""

    id: int
    user_id: int
    prefix: str
    label: str
    created: str
    last_used: str
    expires: str
    revoked: str


@dataclass(frozen=True)
class SettingsChange:
    """Reduction settings of a proposal, or of the site where `soar_id` is None."""

    id: int
    soar_id: str | None
    values: dict
    author: str
    time: str


@dataclass(frozen=True)
class Comment:
    """What somebody said of a file; of one that was deleted the text is gone."""

    id: int
    file_id: int
    author_id: int
    author: str
    text: str
    created: str
    edited: str
    deleted: str


@dataclass(frozen=True)
class Added:
    """A collaborator; `is_new_user` if nobody had the address before; why no mail went, if so."""

    user: User
    is_new_user: bool = False
    problem: str = ""


@dataclass(frozen=True)
class Registration:
    """What came of a semester's list, or what would come of it.

    `changes` are sentences, `invited` addresses that get an invitation, `problems` why nothing was
    registered, or which invitations could not be sent; `is_done` if it is more than a trial.
    """

    n_rows: int
    changes: tuple[str, ...]
    invited: tuple[str, ...]
    problems: tuple[str, ...]
    is_done: bool


class Preferences(Settings):
    """How somebody likes the pages to look."""

    group = "Visual options"
    theme = param.Selector(default="dark", objects=["dark", "light"], doc="Colours of the pages.")
    colour_map = param.Selector(
        default="gray",
        objects=["gray", "gray reversed", "viridis", "inferno", "cividis"],
        doc="Colours of images.",
    )
    show_saturated = param.Boolean(default=True, doc="Mark saturated pixels.")
    plots = param.Selector(
        default="interactive",
        objects=["interactive", "static"],
        doc="Plots to zoom in and move, or still ones, which no touch can move by mistake.",
    )
