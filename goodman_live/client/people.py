"""People, proposals and what belongs to them, from elsewhere: the methods of `PeopleFor`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ..access import Viewer
from ..people import (
    Added,
    Comment,
    Preferences,
    Proposal,
    Registration,
    SettingsChange,
    Token,
    User,
)
from .connection import Connection, given

if TYPE_CHECKING:
    from ..recipes import ReductionSettings


class Peopled(Connection):
    """Who one is, who there is, and what they decide and say."""

    # Oneself

    def viewer(self) -> Viewer:
        """Who one is and to what proposals one belongs, as things are now."""
        told = self._ask("users/me")
        return Viewer(
            told["id"],
            told["username"],
            told["is_staff"],
            told["is_superuser"],
            frozenset(told["leads"]),
            frozenset(told["joins"]),
        )

    def me(self) -> User:
        """Who one is."""
        return _user(self._ask("users/me"))

    def change_password(self, old: str, new: str) -> User:
        """Change one's own password."""
        return _user(self._do("POST", "users/me/password", json={"old": old, "new": new}))

    def preferences(self) -> Preferences:
        """How one likes the pages to look."""
        return Preferences.from_dict(self._ask("users/me/preferences"))

    def save_preferences(self, values: Mapping[str, Any]) -> Preferences:
        """Change some preferences of one's own."""
        return Preferences.from_dict(
            self._do("PATCH", "users/me/preferences", json={"values": dict(values)})
        )

    # Users

    def users(self, *, search: str = "", limit: int = 100, offset: int = 0) -> list[User]:
        """All users, for who manages them."""
        which = {"search": search, "limit": limit, "offset": offset}
        return [_user(told) for told in self._ask("users/", which)]

    def user(self, user_id: int) -> User:
        """A user; NotFound if there is none that one may see."""
        return _user(self._ask(f"users/{user_id}/"))

    def add_user(self, email: str, **values: Any) -> Added:
        """Add a user and send the invitation."""
        told = self._do("POST", "users/", json={"email": email, **values})
        return Added(_user(told), True, told["problem"])

    def change_user(self, user_id: int, **values: Any) -> User:
        """Change what is known of a user: of oneself, the name, address and partner only."""
        return _user(self._do("PATCH", f"users/{user_id}/", json=values))

    def send_reset(self, user_id: int) -> None:
        """Send a user a link that sets a new password."""
        self._do("POST", f"users/{user_id}/reset")

    # Tokens

    def tokens(self, user_id: int | None = None) -> list[Token]:
        """Tokens of a user, by default one's own."""
        return [Token(**told) for told in self._ask("tokens/", given(user_id=user_id))]

    def add_token(self, label: str = "", days: float | None = None) -> tuple[Token, str]:
        """Add a token of one's own; its key is not told again."""
        told = self._do("POST", "tokens/", json={"label": label} | given(days=days))
        key = told.pop("key")
        return Token(**told), key

    def revoke_token(self, token_id: int) -> None:
        """From now on a token holds no longer."""
        self._do("DELETE", f"tokens/{token_id}")

    # Proposals

    def proposals(self) -> list[Proposal]:
        """The proposals that one may see, the newest semester first."""
        return [_proposal(told) for told in self._ask("proposals/")]

    def proposal(self, soar_id: str) -> Proposal:
        """A proposal; NotFound if there is none that one may see."""
        return _proposal(self._ask(f"proposals/{_in_path(soar_id)}/"))

    def next_soar_id(self, semester: str = "") -> str:
        """The SOAR id that a form for a new proposal begins with."""
        return self._ask("proposals/next/", {"semester": semester})["soar_id"]

    def add_proposal(self, soar_id: str, *, pi: int | None = None, **values: str) -> Proposal:
        """Add a proposal."""
        body = {"soar_id": soar_id, **values} | given(user=pi)
        return _proposal(self._do("POST", "proposals/", json=body))

    def import_people(self, text: str, *, dry: bool = True) -> Registration:
        """Register a semester's proposals and people, of CSV; a dry run only says; for staff."""
        told = self._do("POST", "proposals/import/", json={"csv": text, "dry": dry})
        lists = {n: tuple(told[n]) for n in ("changes", "invited", "problems")}
        return Registration(**told | lists)

    def change_proposal(self, soar_id: str, *, pi: int | None = None, **values: str) -> Proposal:
        """Change title and abstract; staff also `semester`, PI (0: none) and `new_soar_id`."""
        body = values | given(user=pi)
        return _proposal(self._do("PATCH", f"proposals/{_in_path(soar_id)}/", json=body))

    def add_collaborator(self, soar_id: str, email: str, **values: str) -> Added:
        """Add a collaborator by address; who is not known yet is invited."""
        told = self._collaborate(soar_id, email=email, action="add", **values)["added"]
        return Added(_user(told["user"]), told["is_new_user"], told["problem"])

    def remove_collaborator(self, soar_id: str, email: str) -> None:
        """Take a collaborator out."""
        self._collaborate(soar_id, email=email, action="remove")

    def _collaborate(self, soar_id: str, **body: str) -> dict[str, Any]:
        address = f"proposals/collaborators/{_in_path(soar_id)}/"
        return self._do("POST", address, json=body)

    # Reduction settings

    def settings(self, soar_id: str | None) -> ReductionSettings:
        """By what settings frames of a proposal are reduced; those of the site, if None."""
        from ..recipes import ReductionSettings

        return ReductionSettings.from_dict(self._ask(_settings_of(soar_id))["settings"])

    def history_of_settings(self, soar_id: str | None) -> list[SettingsChange]:
        """Who chose which settings, and when; the newest first."""
        return [SettingsChange(**each) for each in self._ask(_settings_of(soar_id))["history"]]

    def save_settings(self, soar_id: str | None, values: Mapping[str, Any]) -> SettingsChange:
        """Choose settings of a proposal, or, if None, of the site."""
        told = self._do("POST", _settings_of(soar_id), json=dict(values))
        return SettingsChange(**told["history"][0])

    # Comments

    def comments(self, file_id: int) -> list[Comment]:
        """Comments on a file, the oldest first."""
        return [_comment(told) for told in self._ask(f"files/{file_id}/comments")]

    def add_comment(self, file_id: int, text: str) -> Comment:
        """Say something of a file."""
        return _comment(self._do("POST", f"files/{file_id}/comments", json={"text": text}))

    def edit_comment(self, comment_id: int, text: str) -> Comment:
        """Say it otherwise."""
        return _comment(self._do("PUT", f"comments/{comment_id}", json={"text": text}))

    def delete_comment(self, comment_id: int) -> None:
        """Take it back."""
        self._do("DELETE", f"comments/{comment_id}")


def _settings_of(soar_id: str | None) -> str:
    return "settings/" if soar_id is None else f"proposals/{_in_path(soar_id)}/settings/"


def _in_path(name: str) -> str:
    return quote(name, safe="")


def _user(told: Mapping[str, Any]) -> User:
    """A user; what is not told of those on one's proposals is empty."""
    return User(
        id=told["id"],
        username=told["username"],
        first_name=told["first_name"],
        last_name=told["last_name"],
        email=told["email"],
        partner=told.get("partner", ""),
        is_staff=told["is_staff"],
        is_superuser=told.get("is_superuser", False),
        is_active=told["is_active"],
        created=told["date_joined"],
        last_login=told["last_login"] or "",
        invited=told.get("invited", ""),
        password_changed=told.get("password_changed", ""),
    )


def _proposal(told: Mapping[str, Any]) -> Proposal:
    names = ("id", "soar_id", "semester", "title", "abstract", "created")
    return Proposal(
        **{name: told[name] for name in names},
        pi=_user(told["user"]) if told["user"] else None,
        collaborators=tuple(_user(member) for member in told["collaborators"]),
    )


def _comment(told: Mapping[str, Any]) -> Comment:
    return Comment(**told, deleted="")
