"""What the API takes and gives of people and proposals."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from .models import LARGEST_ID, LongText, Secret, Strict, Text


class UserOut(BaseModel):
    """Somebody who may sign in."""

    id: int
    username: str
    last_login: str | None
    first_name: str
    last_name: str
    email: str
    is_staff: bool
    is_active: bool
    date_joined: str


class UserDetail(UserOut):
    """The same for themselves and for staff."""

    partner: str
    is_superuser: bool
    invited: str = Field(description="when an invitation was last sent, '' for never")
    password_changed: str


class AddedUser(UserDetail):
    """Somebody just added."""

    problem: str = Field(description="why no invitation was sent, '' if one was")


class Me(UserDetail):
    """Oneself; `leads` are the SOAR ids of the proposals that one is PI of."""

    proposals: list[str]
    leads: list[str]
    joins: list[str]
    preferences: dict[str, Any]


class PreferencesIn(Strict):
    """How one likes the pages to look; what is left out stays as it is."""

    values: dict[str, Any]


class PasswordChange(Strict):
    """One's password, and the one to have from now on."""

    old: Secret
    new: Secret


class ResetWanted(Strict):
    """Who forgot a password."""

    name: Text = Field(description="user name or e-mail address")


class NewPassword(Strict):
    """The secret of a link that was sent by mail, and the password to have from now on."""

    secret: Secret
    password: Secret


class LinkSecret(Strict):
    """The secret of a link that was sent by mail."""

    secret: Secret


class LinkOwner(BaseModel):
    """Whose password a link sets, and the rules for passwords."""

    username: str
    rules: list[str]


class NewUser(Strict):
    """Somebody to add; a link to choose a password is sent to them."""

    email: Text
    username: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    partner: Text | None = None
    is_staff: bool | None = None
    is_superuser: bool | None = None


class ChangedUser(Strict):
    """What of a user to change."""

    email: Text | None = None
    username: Text | None = None
    first_name: Text | None = None
    last_name: Text | None = None
    partner: Text | None = None
    is_active: bool | None = None
    is_staff: bool | None = None
    is_superuser: bool | None = None


class ProposalOut(BaseModel):
    """A proposal, its PI and who works on it."""

    id: int
    soar_id: str
    semester: str
    title: str
    abstract: str
    user: UserOut | None
    collaborators: list[UserOut]
    created: str


class AddedCollaborator(BaseModel):
    """Who was added, whether they had no account before, and why no mail went, if none did."""

    user: UserOut
    is_new_user: bool
    problem: str


class Collaborators(ProposalOut):
    """A proposal after somebody was added to it or taken out."""

    added: AddedCollaborator | None


class NextSoarId(BaseModel):
    """The SOAR id after the last one of a semester."""

    soar_id: str


class NewProposal(Strict):
    """A proposal to add."""

    soar_id: Text | None = Field(None, description="by default the next one of the semester")
    semester: Text | None = None
    title: LongText | None = None
    abstract: LongText | None = None
    user: int | None = Field(None, ge=1, le=LARGEST_ID, description="number of the PI")


class ChangedProposal(Strict):
    """What of a proposal to change; all but title and abstract by staff only."""

    title: LongText | None = None
    abstract: LongText | None = None
    semester: Text | None = None
    new_soar_id: Text | None = None
    user: int | None = Field(None, ge=0, le=LARGEST_ID, description="number of the PI; 0 for none")


class Roster(Strict):
    """A semester's proposals, PIs and collaborators."""

    csv: str = Field(max_length=900_000, description="a heading, and a row for each proposal")
    dry: bool = Field(True, description="only say what would change")


class RosterOut(BaseModel):
    """What changed, or would change; nothing if there are problems with rows."""

    n_rows: int
    changes: list[str]
    invited: list[str]
    problems: list[str]
    is_done: bool


class Collaboration(Strict):
    """Whom to add to a proposal or to take out of it; names are for those who are new here."""

    model_config = ConfigDict(extra="ignore")

    email: Text
    action: Literal["add", "remove"]
    first_name: Text | None = None
    last_name: Text | None = None
    partner: Text | None = None
    username: Text | None = None


class SettingsOut(BaseModel):
    """By what settings frames of a proposal are reduced, and what they may be.

    `proposal` is null for the settings of the site.
    """

    proposal: str | None
    settings: dict[str, Any]
    history: list[dict[str, Any]]
    json_schema: dict[str, Any]


class TokenIn(Strict):
    """A token to add."""

    label: Text = ""
    days: float | None = Field(None, gt=0, le=3650, description="how long it holds")


class TokenOut(BaseModel):
    """A token; of its key only the beginning is known."""

    id: int
    user_id: int
    prefix: str
    label: str
    created: str
    last_used: str
    expires: str
    revoked: str


class NewToken(TokenOut):
    """A token just added; its key is not told again."""

    key: str


class MailIn(Strict):
    """A notification to a user."""

    to: Text = Field(description="user name or address of a user")
    subject: Text
    text: LongText


class Sent(BaseModel):
    """Who was written to."""

    username: str
