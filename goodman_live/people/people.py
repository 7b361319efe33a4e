"""All of users, proposals and what belongs to them; it asks nobody whether they may."""

from __future__ import annotations

import contextlib
import getpass
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import sqlalchemy as sa

from .. import access
from ..catalog import Archive
from ..catalog.database import iso, writing
from ..errors import GoodmanError, NotFound
from ..mail import Mail, Mailer, MailError, mailer_from_environment
from ..recipes import ReductionSettings
from . import keys, proposals, users, words
from .attempts import Limit
from .entries import OWNER_ADDRESS, Added, Comment, Proposal, SettingsChange, Token, User
from .passwords import Hasher, PasswordRefused, faults_of
from .schema import USERS

SITE_VARIABLE = "GOODMAN_LIVE_SITE"
INVITATION_DAYS, RESET_HOURS = 14, 2
OWNERS_LABEL = "this computer"
FORGOTTEN_DAYS = 2
_BY_NAME, _BY_ADDRESS = Limit("sign in", 5), Limit("sign in from", 20)
_RESET_NAME, _RESET_ADDRESS = Limit("reset", 3), Limit("reset from", 10)
_LINK_ADDRESS = Limit("link from", 20)
_log = logging.getLogger(__name__)


class SignInRefused(GoodmanError):
    """Name and password are not those of an active user; of which of them, nobody is told."""

    def __init__(self) -> None:
        super().__init__("The user name or the password is wrong.")


class People:
    """Users, proposals, tokens, links, settings and comments of a database.

    It does what it is told; `PeopleFor` does what somebody may tell it.

    Parameters
    ----------
    database
        That of an archive.
    mailer
        What delivers invitations.
    site
        Address of the site, to which links lead.
    hasher
        How passwords are hashed.
    clock
        Gives the present time in UTC.
    """

    def __init__(
        self,
        database: sa.Engine,
        mailer: Mailer,
        *,
        site: str = "http://localhost:8866",
        hasher: Hasher | None = None,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.database = database
        self.mailer = mailer
        self.site = site.rstrip("/")
        self.hasher = hasher or Hasher()
        self.clock = clock
        self._outbox = ThreadPoolExecutor(1, thread_name_prefix="mail")

    @classmethod
    def of(cls, archive: Archive, **options: Any) -> Self:
        """The people of an archive; mails go and links lead where the environment says.

        By default mails are written to the folder `mail` of the archive.
        """
        mailer = mailer_from_environment(archive.root / "mail")
        site = os.environ.get(SITE_VARIABLE)
        return cls(archive.database, mailer, **({"site": site} if site else {}) | options)

    def close(self) -> None:
        """Wait for mails that are on their way."""
        self._outbox.shutdown()

    def now(self) -> str:
        """The present time as the tables have it."""
        return iso(self.clock())

    def _later(self, **time: float) -> str:
        return iso(self.clock() + timedelta(**time))

    # Users

    def add_user(self, email: str, **values: Any) -> User:
        """Add a user: username, first_name, last_name, partner, is_staff, is_superuser."""
        with writing(self.database) as connection:
            return users.add(connection, self.now(), email, values)

    def change_user(self, user_id: int, **values: Any) -> User:
        """Change what is known of a user."""
        with writing(self.database) as connection:
            return users.change(connection, users.of_id(connection, user_id), values)

    def owner(self) -> User:
        """Whoever owns this computer, where nobody signs in: a superuser without a password.

        Made when first asked for, with the name of the account that asks.
        """
        with writing(self.database) as connection:
            found = users.find(connection, OWNER_ADDRESS)
            if found is None:
                values = {"username": users.free_username(connection, _login_name())}
                values |= {"is_superuser": True}
                found = users.add(connection, self.now(), OWNER_ADDRESS, values)
            return found

    @contextlib.contextmanager
    def owners_key(self) -> Iterator[str]:
        """A key of the owner that holds while this is at work."""
        owner = self.owner()
        self._revoke_forgotten(owner)
        token, key = self.add_token(owner.id, OWNERS_LABEL)
        try:
            yield key
        finally:
            self.revoke_token(token.id)

    def _revoke_forgotten(self, owner: User) -> None:
        """Revoke keys of the owner that nobody could revoke, as the computer was switched off."""
        latest = iso(self.clock() - timedelta(days=FORGOTTEN_DAYS))
        for token in self.tokens(owner.id):
            is_old = max(token.created, token.last_used) < latest
            if token.label == OWNERS_LABEL and not token.revoked and is_old:
                self.revoke_token(token.id)

    def user(self, user_id: int) -> User:
        """A user; NotFound if there is none."""
        with self.database.connect() as connection:
            return users.of_id(connection, user_id)

    def find_user(self, name: str) -> User:
        """The user with a user name or an address; NotFound if there is none."""
        with self.database.connect() as connection:
            found = users.find(connection, name)
        if found is None:
            raise NotFound("There is no such user.")
        return found

    def users(self, *, search: str = "", limit: int = 100, offset: int = 0) -> list[User]:
        """Users by name."""
        with self.database.connect() as connection:
            return users.listed(connection, search, limit, offset)

    def viewer(self, user_id: int | None) -> access.Viewer:
        """Somebody as they stand to proposals now; anyone, if they are not active."""
        if user_id is None:
            return access.ANYONE
        with self.database.connect() as connection:
            try:
                user = users.of_id(connection, user_id)
            except NotFound:
                return access.ANYONE
            if not user.is_active:
                return access.ANYONE
            leads, joins = proposals.names_of(connection, user_id)
        return access.Viewer(user_id, user.username, user.is_staff, user.is_superuser, leads, joins)

    # Passwords

    def sign_in(self, name: str, password: str, address: str = "") -> User:
        """The user of a name or e-mail address and a password.

        Parameters
        ----------
        address
            Where the attempt comes from; '' if that is not known.

        Raises
        ------
        SignInRefused, TooManyAttempts
            The same, whether or not there is such a user.
        """
        self.hasher.prepare()
        name = users.typed(name)
        with writing(self.database) as connection:
            _BY_NAME.count(connection, name, self.clock())
            if address:
                _BY_ADDRESS.count(connection, address, self.clock())
            user = users.find(connection, name)
            kept = _kept_password(connection, user)
        is_right = self.hasher.matches(kept, password)
        if user is None or not is_right or not user.is_active:
            raise SignInRefused
        values = {"last_login": self.now()}
        if self.hasher.is_dated(kept):
            values["password"] = self.hasher.hash(password)
        with writing(self.database) as connection:
            if _kept_password(connection, user) != kept:  # changed meanwhile
                raise SignInRefused
            _BY_NAME.forget(connection, name)
            _BY_ADDRESS.forgive(connection, address)
            return users.change(connection, user, values)

    def change_password(self, user_id: int, old: str, new: str) -> User:
        """Change a password by who knows the old one."""
        user = self.user(user_id)
        self.sign_in(user.username, old)
        return self.set_password(user_id, new)

    def set_password(self, user_id: int, password: str) -> User:
        """Set a password; links that could have set it are void, sessions from before are.

        Raises
        ------
        PasswordRefused
            If it breaks rules.
        """
        user = self.user(user_id)
        kept = self._hash(user, password)
        with writing(self.database) as connection:
            return self._keep(connection, user, kept)

    def _hash(self, user: User, password: str) -> str:
        faults = faults_of(password, _personal(user))
        if faults:
            raise PasswordRefused(faults)
        return self.hasher.hash(password)

    def _keep(self, connection: sa.Connection, user: User, kept: str) -> User:
        keys.void_links(connection, self.now(), user.id)
        for name in (user.username, user.email):
            _BY_NAME.forget(connection, name)
        return users.change(connection, user, {"password": kept, "password_changed": self.now()})

    def has_password(self, user_id: int) -> bool:
        """Whether a user can sign in with a password yet."""
        with self.database.connect() as connection:
            return bool(_kept_password(connection, users.of_id(connection, user_id)))

    # Invitations and resets

    def invite(self, user_id: int, by: str = "", soar_id: str = "") -> User:
        """Send a link with which somebody new sets a password.

        Raises
        ------
        MailError
            If the mail cannot be sent.
        """
        user = self.user(user_id)
        secret = self.link(user_id, days=INVITATION_DAYS)
        about = f" for the proposal {soar_id}" if soar_id else ""
        whose = f"{by} has made" if by else "There is"
        text = (
            f"Dear {user.full_name},\n\n"
            f"{whose} an account for you at the Goodman data archive of SOAR{about}.\n"
            f"Your user name is {user.username}. Choose a password here:\n\n"
            f"{self.link_address(secret)}\n\n"
            f"The link can be used once, within {INVITATION_DAYS} days.\n"
        )
        self._send(user, "Your account at the Goodman data archive", text, secret)
        return self.change_user(user_id, invited=self.now())

    def request_reset(self, name: str, address: str = "") -> None:
        """Send a link to whoever forgot a password; nobody is told whether there is such a user.

        The mail is written and sent in the background, so that not even the time tells.

        Raises
        ------
        TooManyAttempts
            The same, whether or not there is such a user.
        """
        name = users.typed(name)
        with writing(self.database) as connection:
            _RESET_NAME.count(connection, name, self.clock())
            if address:
                _RESET_ADDRESS.count(connection, address, self.clock())
        self._outbox.submit(self._reset, name)

    def _reset(self, name: str) -> None:
        try:
            self.send_reset(self.find_user(name).id)
        except NotFound:
            _log.info("A password was to be reset, but there is no such user.")
        except MailError as error:
            _log.error("%s", error)

    def send_reset(self, user_id: int) -> None:
        """Send a link that sets a new password; not to who is not active."""
        user = self.user(user_id)
        if not user.is_active:
            return
        secret = self.link(user_id, hours=RESET_HOURS)
        text = (
            f"Dear {user.full_name},\n\n"
            "a new password for your account at the Goodman data archive was asked for. Your user "
            f"name is {user.username}. Choose a password here:\n\n{self.link_address(secret)}\n\n"
            f"The link can be used once, within {RESET_HOURS} hours. If you did not ask for it, do "
            "nothing: your password stays as it is.\n"
        )
        self._send(user, "A new password for the Goodman data archive", text, secret)

    def _send(self, user: User, subject: str, text: str, secret: str) -> None:
        self.mailer.send(Mail(user.email, subject, text, user.full_name, secret))

    def link(self, user_id: int, **lasts: float) -> str:
        """The secret of a new link that sets a password once; `lasts` as of a timedelta."""
        lasts = lasts or {"hours": RESET_HOURS}
        with writing(self.database) as connection:
            return keys.add_link(connection, self.now(), user_id, self._later(**lasts))

    def link_address(self, secret: str) -> str:
        """Where a link leads; the secret is in the part that browsers send to nobody."""
        return f"{self.site}/password#{secret}"

    def count_link(self, address: str) -> None:
        """Count an attempt at a link; TooManyAttempts if it comes too early."""
        with writing(self.database) as connection:
            _LINK_ADDRESS.count(connection, address, self.clock())

    def user_of_link(self, secret: str) -> User:
        """Whose link it is; LinkRefused if it does not hold."""
        with self.database.connect() as connection:
            return users.of_id(connection, keys.user_of_link(connection, self.now(), secret))

    def use_link(self, secret: str, password: str) -> User:
        """Set the password that a link is for; a password that is refused does not use it up.

        Raises
        ------
        LinkRefused, PasswordRefused
            If the link does not hold, or the password breaks rules.
        """
        user = self.user_of_link(secret)
        kept = self._hash(user, password)
        with writing(self.database) as connection:
            keys.use_link(connection, self.now(), secret)
            return self._keep(connection, user, kept)

    # Tokens

    def add_token(
        self, user_id: int, label: str = "", days: float | None = None
    ) -> tuple[Token, str]:
        """Add a token; it, and its key, which is not told again."""
        expires = "" if days is None else self._later(days=days)
        with writing(self.database) as connection:
            return keys.add_token(connection, self.now(), user_id, label, expires)

    def tokens(self, user_id: int) -> list[Token]:
        """Tokens of a user, the newest first."""
        with self.database.connect() as connection:
            return keys.tokens_of(connection, user_id)

    def token(self, token_id: int) -> Token:
        """A token; NotFound if there is none."""
        with self.database.connect() as connection:
            return keys.token_of(connection, token_id)

    def revoke_token(self, token_id: int) -> None:
        """From now on a token holds no longer."""
        with writing(self.database) as connection:
            keys.revoke_token(connection, self.now(), token_id)

    def user_of_key(self, key: str) -> int | None:
        """Whose key it is; None if it does not hold. Its use is noted every few minutes."""
        now = self.now()
        with self.database.connect() as connection:
            token = keys.holding_token(connection, now, key)
        if token is None:
            return None
        if keys.is_stale(token, self.clock()):
            with writing(self.database) as connection:
                keys.note_use(connection, now, token)
        return token.user_id

    # Proposals

    def add_proposal(self, soar_id: str, *, pi: int | None = None, **values: str) -> Proposal:
        """Add a proposal: semester, title, abstract; `pi` is the number of a user."""
        with writing(self.database) as connection:
            values = values | ({} if pi is None else {"pi_id": users.of_id(connection, pi).id})
            return proposals.add(connection, self.now(), soar_id, values)

    def change_proposal(
        self, soar_id: str, *, pi: int | None = None, new_soar_id: str = "", **values: str
    ) -> Proposal:
        """Change semester, title, abstract, PI or SOAR id; a new PI is no longer a collaborator.

        `pi` is the number of a user, 0 for nobody.
        """
        with writing(self.database) as connection:
            proposal = proposals.one(connection, soar_id)
            if pi is not None:
                values |= {"pi_id": users.of_id(connection, pi).id if pi else None}
            if new_soar_id:
                values |= {"soar_id": new_soar_id}
            proposal = proposals.change(connection, proposal, values)
            for user in proposal.collaborators:
                if proposal.pi is not None and user.id == proposal.pi.id:
                    proposals.leave(connection, proposal, user)
            return proposals.one(connection, proposal.soar_id)

    def proposal(self, soar_id: str) -> Proposal:
        """A proposal; NotFound if there is none."""
        with self.database.connect() as connection:
            return proposals.one(connection, soar_id)

    def proposals(self, user_id: int | None = None) -> list[Proposal]:
        """All proposals, or those that somebody leads or works on; the newest semester first."""
        which = () if user_id is None else (proposals.of_member(user_id),)
        with self.database.connect() as connection:
            return proposals.listed(connection, *which)

    def next_soar_id(self, semester: str = "") -> str:
        """The SOAR id after the last of a semester, by default of the present one."""
        with self.database.connect() as connection:
            return proposals.next_soar_id(
                connection, semester or proposals.semester_of(self.clock())
            )

    def add_collaborator(self, soar_id: str, email: str, by: str = "", **values: str) -> Added:
        """Add a collaborator by address; who is not known yet becomes a user, and is invited.

        Parameters
        ----------
        by
            Name of whoever adds.
        values
            Of a new user: first_name, last_name, partner, username.
        """
        email = users.checked_email(email)
        with writing(self.database) as connection:
            proposal = proposals.one(connection, soar_id)
            known = users.find(connection, email)
            user = known or users.add(connection, self.now(), email, values)
            proposals.join(connection, self.now(), proposal, user, by)
        return self.invited(user, by, soar_id) if known is None else Added(user)

    def invited(self, user: User, by: str = "", soar_id: str = "") -> Added:
        """Invite a new user; a mail that fails is told of, and undoes nothing."""
        try:
            return Added(self.invite(user.id, by, soar_id), True)
        except MailError as error:
            return Added(user, True, str(error))

    def remove_collaborator(self, soar_id: str, email: str) -> None:
        """Take a collaborator out of a proposal; NotFound if they are none."""
        with writing(self.database) as connection:
            proposal = proposals.one(connection, soar_id)
            user = users.find(connection, users.checked_email(email))
            if user is None:
                raise NotFound(f"{email} is no collaborator of {soar_id}.")
            proposals.leave(connection, proposal, user)

    # What people decide and say

    def settings(self, soar_id: str | None = None) -> ReductionSettings:
        """By what settings frames of a proposal are reduced, or those of no proposal."""
        with self.database.connect() as connection:
            return words.settings_of(connection, soar_id)

    def save_settings(
        self, soar_id: str | None, values: Mapping[str, Any], author: str
    ) -> SettingsChange:
        """Choose settings of a proposal, or of the site if None; others are the site's."""
        with writing(self.database) as connection:
            return words.save_settings(connection, self.now(), soar_id, values, author)

    def history_of_settings(self, soar_id: str | None) -> list[SettingsChange]:
        """Who chose which settings, and when; the newest first."""
        with self.database.connect() as connection:
            return words.history_of_settings(connection, soar_id)

    def comments(self, file_id: int) -> list[Comment]:
        """Comments on a file, the oldest first."""
        with self.database.connect() as connection:
            return words.comments_on(connection, file_id)

    def comment(self, comment_id: int) -> Comment:
        """A comment; NotFound if there is none, or none any more."""
        with self.database.connect() as connection:
            return words.comment_of(connection, comment_id)

    def add_comment(self, file_id: int, author_id: int, text: str) -> Comment:
        """Say something of a file."""
        with writing(self.database) as connection:
            return words.add_comment(connection, self.now(), file_id, author_id, text)

    def edit_comment(self, comment_id: int, text: str) -> Comment:
        """Say it otherwise."""
        with writing(self.database) as connection:
            return words.edit_comment(connection, self.now(), comment_id, text)

    def delete_comment(self, comment_id: int) -> None:
        """Take it back."""
        with writing(self.database) as connection:
            words.delete_comment(connection, self.now(), comment_id)

    def preferences(self, user_id: int) -> words.Preferences:
        """How somebody likes the pages to look."""
        with self.database.connect() as connection:
            return words.preferences_of(connection, user_id)

    def save_preferences(self, user_id: int, values: Mapping[str, Any]) -> words.Preferences:
        """Change some preferences."""
        with writing(self.database) as connection:
            return words.save_preferences(connection, user_id, values)


def _login_name() -> str:
    """Name of the account under which this runs; 'owner' of one without a name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "owner"


def _kept_password(connection: sa.Connection, user: User | None) -> str:
    if user is None:
        return ""
    query = sa.select(USERS.c.password).where(USERS.c.id == user.id)
    return connection.execute(query).scalar() or ""


def _personal(user: User) -> dict[str, str]:
    """What a password must not be like."""
    return {
        "user name": user.username,
        "first name": user.first_name,
        "last name": user.last_name,
        "full name": f"{user.first_name}{user.last_name}",
        "e-mail address": user.email,
    }
