"""Who signs in to the hub: the people of the archive, by a password of ours or their institute's.

The table of users is the truth; JupyterHub keeps a copy of names and of groups, one for each
proposal, that is looked at again every minute. No right is decided by that copy.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.utils import new_token
from oauthenticator.generic import GenericOAuthenticator
from sqlalchemy.orm import object_session
from tornado import web
from traitlets import Bool, Unicode, default
from traitlets import Instance as Kept
from traitlets.config import Configurable

from ..access import Viewer
from ..catalog import Archive
from ..errors import NotFound
from ..people import People, SignInRefused, TooManyAttempts, User
from . import pages

STAFF_GROUP = "staff"


class GoodmanAccounts(Configurable):
    """The people of an archive, as JupyterHub asks for them."""

    archive = Unicode(help="Folder of the archive.").tag(config=True)
    database = Unicode(help="Its PostgreSQL; '' for its own file.").tag(config=True)
    passwords = Bool(True, help="Whether passwords of our own hold.").tag(config=True)
    people = Kept(People)

    @default("people")
    def _open(self) -> People:
        return People.of(Archive(Path(self.archive), self.database or None))

    def sign_in(self, name: str, password: str, address: str) -> User | None:
        """The user of a name and a password; None if they are refused."""
        try:
            return self.people.sign_in(name, password, address)
        except SignInRefused:
            return None

    def active(self, name: str) -> User | None:
        """The user of a name or an address; None if there is none, or no longer."""
        try:
            user = self.people.find_user(name)
        except NotFound:
            return None
        return user if user.is_active else None

    def viewer(self, name: str) -> Viewer:
        """Somebody as they stand to proposals now."""
        user = self.active(name)
        return self.people.viewer(None if user is None else user.id)

    def model_of(self, user: User) -> dict[str, Any]:
        """A user as JupyterHub keeps them."""
        viewer = self.people.viewer(user.id)
        groups = [f"proposal-{name}" for name in sorted(viewer.leads | viewer.joins)]
        groups += [STAFF_GROUP] if viewer.is_staff or viewer.is_superuser else []
        return {"name": user.username, "admin": viewer.is_superuser, "groups": groups}


class _ByAccounts(Authenticator):
    """What both ways to sign in have in common."""

    accounts = Kept(GoodmanAccounts)

    @default("accounts")
    def _accounts(self) -> GoodmanAccounts:
        return GoodmanAccounts(parent=self)

    async def by_password(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """Whoever typed a name and a password; the same answer for whoever is unknown."""
        if not self.accounts.passwords:
            return None
        try:
            user = await asyncio.to_thread(
                self.accounts.sign_in,
                data.get("username", ""),
                data.get("password", ""),
                handler.request.remote_ip,
            )
        except TooManyAttempts as error:
            handler.set_header("Retry-After", str(max(round(error.seconds), 1)))
            raise web.HTTPError(429, str(error)) from error
        if user is None:
            return None
        return await self._let_in(handler, user)

    async def _let_in(self, handler: Any, user: User) -> dict[str, Any]:
        """Somebody who has shown who they are, as JupyterHub keeps them."""
        met = handler.find_user(user.username)
        if met is not None:
            self._end_old_sessions(met, user)
        return await asyncio.to_thread(self.accounts.model_of, user)

    async def refresh_user(self, user: Any, handler: Any = None, **_: Any) -> dict | bool:
        """Look again: who is no longer active, or has a new password, must sign in once more."""
        found = await asyncio.to_thread(self.accounts.active, user.name)
        if found is None or found.username != user.name:
            return False
        if self._end_old_sessions(user, found):
            return False
        return await asyncio.to_thread(self.accounts.model_of, found)

    def add_user(self, user: Any) -> None:
        """Note the password of somebody whom the hub meets, or has met before it started."""
        super().add_user(user)
        found = self.accounts.active(user.name)
        if found is not None:
            self._end_old_sessions(user, found)

    def _end_old_sessions(self, user: Any, found: User) -> bool:
        """End the sessions of a hub's user that are older than their password; whether it is new.

        All cookies of a user have one number, which ends with the time of their password: so the
        hub's database knows it, also of passwords that change while the hub is away.
        """
        mark = f".{found.password_changed}"
        if user.cookie_id.endswith(mark):
            return False
        user.cookie_id = f"{new_token()}{mark}"
        row = getattr(user, "orm_user", user)
        for token in row.api_tokens:
            if token.session_id:
                object_session(row).delete(token)
        object_session(row).commit()
        return True

    def get_handlers(self, app: Any) -> list[tuple]:
        """Our pages, before those of JupyterHub."""
        return [*pages.handlers(), *super().get_handlers(app)]


class GoodmanAuthenticator(_ByAccounts):
    """Passwords of our own."""

    async def authenticate(self, handler: Any, data: dict[str, str]) -> dict[str, Any] | None:
        """Check a name and a password."""
        return await self.by_password(handler, data)


class GoodmanSingleSignOn(_ByAccounts, GenericOAuthenticator):
    """The institute's log-in, for people who are registered here with the address it tells.

    An address that the institute has not verified is refused: anybody could have typed it there.
    """

    auto_login = False

    async def authenticate(self, handler: Any, data: Any = None, **options: Any) -> dict | None:
        """Somebody who comes back from the institute, or typed a password of ours."""
        if isinstance(data, dict) and "password" in data:
            return await self.by_password(handler, data)
        told = await super().authenticate(handler, data, **options)
        if not told:
            return None
        about = (told.get("auth_state") or {}).get(self.user_auth_state_key) or {}
        if about.get("email_verified") is not True:
            raise web.HTTPError(403, "Your institute has not verified your e-mail address.")
        user = await asyncio.to_thread(self.accounts.active, str(about.get("email", "")))
        if user is None:
            raise web.HTTPError(
                403,
                "You are not registered here with the address that your institute told. "
                "Ask the PI of your proposal or the observatory's staff to invite that address.",
            )
        return await self._let_in(handler, user)

    async def refresh_user(self, user: Any, handler: Any = None, **options: Any) -> dict | bool:
        """As our table has them; the institute is asked at the next log-in."""
        return await _ByAccounts.refresh_user(self, user, handler, **options)
