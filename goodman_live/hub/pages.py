"""Our pages of the hub: where one lands, and how one comes by a password.

Nobody learns from them whether there is an account: the same is said, and done, either way. The
secret of a link is in the part of the address that browsers send to nobody; the page's script
posts it. Attempts are counted by `people`.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from jupyterhub.apihandlers.base import APIHandler
from jupyterhub.handlers.base import BaseHandler
from jupyterhub.user import User
from tornado import web

from ..access import may
from ..errors import GoodmanError
from ..people import PASSWORD_RULES, LinkRefused, PasswordRefused, TooManyAttempts
from ..people.doors import PeopleFor
from .services import API, DASHBOARDS

_LATELY_SECONDS = 3600.0


def handlers() -> list[tuple[str, type]]:
    """Paths beneath the hub's, and what answers there."""
    return [
        (r"/home", HomePage),
        (r"/forgotten", ForgottenPage),
        (r"/password", PasswordPage),
        (r"/api/goodman-live/ended", EndedHandler),
        (rf"/services/(?:{API}|{DASHBOARDS})(?:/.*)?", AwayPage),
    ]


class _Page(BaseHandler):
    """A page of ours."""

    @property
    def accounts(self) -> Any:
        """The people of the archive."""
        return self.authenticator.accounts

    async def show(self, template: str, status: int = 200, **values: Any) -> None:
        """Finish with a template."""
        self.set_status(status)
        self.set_header("Cache-Control", "no-store")
        xsrf = self.xsrf_token.decode("ascii")
        self.finish(await self.render_template(template, xsrf=xsrf, **values))


class HomePage(_Page):
    """Where one lands: one's proposals, each with its dashboard, search and notebook."""

    @web.authenticated
    async def get(self) -> None:
        """Show it."""
        name = self.current_user.name
        user = await asyncio.to_thread(self.accounts.active, name)
        if user is None:
            raise web.HTTPError(403, "Your account is not active. Ask the observatory's staff.")
        viewer = await asyncio.to_thread(self.accounts.viewer, name)
        door = PeopleFor(None, self.accounts.people, user.id)
        proposals = await asyncio.to_thread(door.proposals)
        await self.show(
            "home.html",
            person=user,
            proposals=proposals,
            leads=viewer.leads,
            manages=may(viewer, "list users"),
            ended=_lately(_ended(self.current_user))[-1:],
            user_path=f"{self.hub.base_url}user-redirect/",
        )


class EndedHandler(APIHandler):
    """What of one's notebooks was ended for want of room; their server asks."""

    async def get(self) -> None:
        """As JSON, the newest last."""
        if not isinstance(self.current_user, User):
            raise web.HTTPError(403)
        self.finish(json.dumps(_ended(self.current_user)))


def _ended(user: User) -> list[dict[str, Any]]:
    return getattr(user.spawner, "ended", [])


def _lately(ended: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What is not long ago, with its hour of the day in words."""
    return [
        each | {"at": time.strftime("%H:%M UT", time.gmtime(each["time"]))}
        for each in ended
        if time.time() - each["time"] < _LATELY_SECONDS
    ]


class ForgottenPage(_Page):
    """Ask for a link that sets a new password."""

    async def get(self) -> None:
        """The form."""
        await self.show("forgotten.html")

    async def post(self) -> None:
        """Have a mail sent, if there is somebody; say the same if there is not."""
        name = self.get_body_argument("name", "")[:254]
        people = self.accounts.people
        try:
            await asyncio.to_thread(people.request_reset, name, self.request.remote_ip)
        except TooManyAttempts as error:
            await self.show("forgotten.html", 429, problem=str(error))
            return
        await self.show("forgotten.html", sent=True)


class PasswordPage(_Page):
    """Set a password with the secret of an invitation or a reset."""

    async def get(self) -> None:
        """The form; its script takes the secret from the address."""
        await self.show("password.html", rules=PASSWORD_RULES)

    async def post(self) -> None:
        """Set it; what is wrong with it is said sentence by sentence."""
        secret = self.get_body_argument("secret", "")[:200]
        password = self.get_body_argument("password", "", strip=False)
        again = self.get_body_argument("again", "", strip=False)
        if password != again:
            await self._refuse(secret, ["The two passwords must be the same."])
            return
        try:
            user = await asyncio.to_thread(self.accounts.people.use_link, secret, password)
        except PasswordRefused as error:
            await self._refuse(secret, error.reasons)
        except LinkRefused as error:
            await self.show("password.html", 400, rules=PASSWORD_RULES, dead=str(error))
        except GoodmanError as error:
            await self._refuse(secret, [str(error)])
        else:
            await self.show("password.html", done=True, username=user.username)

    async def _refuse(self, secret: str, problems: list[str]) -> None:
        await self.show(
            "password.html", 400, rules=PASSWORD_RULES, problems=problems, secret=secret
        )


class AwayPage(_Page):
    """Where a service's pages lead while the proxy, just started, does not know of it yet.

    It tries again by itself until the proxy does.
    """

    async def get(self) -> None:
        """Show it."""
        path = self.request.uri.removeprefix(self.hub.base_url)
        self.set_header("Retry-After", "2")
        await self.show("away.html", 503, address=f"{self.base_url}{path}")
