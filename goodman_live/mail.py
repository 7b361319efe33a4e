"""Mails: written to a folder, or handed to an SMTP server, as one URL says.

A name or an address that would change the headers of a mail is refused. What is secret in a
mail is never logged: it stands in the mail only.
"""

from __future__ import annotations

import logging
import os
import re
import smtplib
import ssl
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote, urlsplit

from .errors import GoodmanError

MAIL_VARIABLE = "GOODMAN_LIVE_MAIL"
SENDER_VARIABLE = "GOODMAN_LIVE_MAIL_FROM"
DEFAULT_SENDER = "goodman-live@localhost"
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}
_TIMEOUT_SECONDS = 20.0
_LONGEST_ADDRESS = 254
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_ADDRESS = re.compile(rf"{_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_log = logging.getLogger(__name__)


class MailError(GoodmanError):
    """A mail cannot be written or was not taken by the server."""


@dataclass(frozen=True)
class Mail:
    """A mail to one person; `secret` is the part of the text that no log may hold."""

    to: str
    subject: str
    text: str
    name: str = ""
    secret: str = ""

    def message(self, sender: str) -> EmailMessage:
        """The mail as it is sent.

        Raises
        ------
        MailError
            If an address is none, or a line would become a header.
        """
        message = EmailMessage(policy=SMTP)
        try:
            message["From"] = _address(sender)
            message["To"] = _address(self.to, self.name)
            message["Subject"] = one_line(self.subject, "The subject")
        except ValueError as error:
            raise MailError(f"The mail cannot be written: {error}") from error
        message["Date"] = format_datetime(datetime.now(UTC))
        message["Message-ID"] = make_msgid(domain=message["From"].addresses[0].domain)
        message["Auto-Submitted"] = "auto-generated"
        message.set_content(self.text)
        return message

    def public_text(self) -> str:
        """The text without what is secret in it."""
        return self.text.replace(self.secret, "[secret]") if self.secret else self.text


class Mailer(Protocol):
    """What delivers mails."""

    def send(self, mail: Mail) -> None:
        """Deliver one mail; MailError if that cannot be."""


def is_address(text: str) -> bool:
    """Whether a text is the address of one mailbox, in plain letters."""
    return len(text) <= _LONGEST_ADDRESS and bool(_ADDRESS.fullmatch(text))


def one_line(text: str, what: str) -> str:
    """The text, if it is one line without control characters; ValueError if not."""
    if any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in text):
        raise ValueError(f"{what} must be one line without control characters.")
    return text


def _address(address: str, name: str = "") -> Address:
    if not is_address(address):
        raise ValueError("The address must be one such as name@host.org.")
    user, _, host = address.rpartition("@")
    return Address(one_line(name, "The name"), user, host)


class FolderMailer:
    """Mails as files `*.eml` of a folder that only its owner can read; shown in the log."""

    def __init__(self, folder: Path, sender: str = DEFAULT_SENDER) -> None:
        self.folder = Path(folder)
        self.sender = sender

    def send(self, mail: Mail) -> None:
        """Write one mail, complete or not at all."""
        message = mail.message(self.sender)
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S%f")
        path = self.folder / f"{stamp}_{os.urandom(3).hex()}.eml"
        part = path.with_suffix(".part")
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            part.touch(0o600, exist_ok=False)
            part.write_bytes(message.as_bytes())
            part.rename(path)
        except OSError as error:
            raise MailError(f"The mail cannot be written to {path}: {error.strerror}.") from error
        _log.info("Mail to %s: %s\n%s\n(%s)", mail.to, mail.subject, mail.public_text(), path)


class SmtpMailer:
    """Mails handed to an SMTP server.

    Parameters
    ----------
    scheme
        'smtp' (plain; for a server on this machine), 'smtp+starttls' or 'smtps'. Certificates are
        verified.
    user, password
        To sign in with; refused over a plain connection.
    """

    def __init__(
        self,
        host: str,
        port: int | None = None,
        *,
        scheme: str = "smtp",
        user: str = "",
        password: str = "",
        sender: str = DEFAULT_SENDER,
    ) -> None:
        if user and scheme == "smtp":
            raise MailError(
                "A password must not be sent in the clear: use smtp+starttls:// or smtps://."
            )
        self.host, self.port, self.scheme = host, port or _PORTS[scheme], scheme
        self.user, self.password, self.sender = user, password, sender

    def send(self, mail: Mail) -> None:
        """Hand one mail to the server."""
        message = mail.message(self.sender)
        try:
            with self._connection() as server:
                if self.scheme == "smtp+starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password)
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise MailError(
                f"The mail to {mail.to} was not taken by {self.host}:{self.port}: {reason}. "
                f"Look at {MAIL_VARIABLE}."
            ) from error
        _log.info("Mail to %s: %s", mail.to, mail.subject)

    def _connection(self) -> smtplib.SMTP:
        if self.scheme == "smtps":
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self.host, self.port, timeout=_TIMEOUT_SECONDS, context=context)
        return smtplib.SMTP(self.host, self.port, timeout=_TIMEOUT_SECONDS)


def mailer_of(url: str, sender: str = DEFAULT_SENDER) -> Mailer:
    """The mailer that a URL names.

    Parameters
    ----------
    url
        file:///FOLDER, smtp://HOST:PORT, smtp+starttls://USER:PASSWORD@HOST:PORT or
        smtps://USER:PASSWORD@HOST:PORT.
    """
    wrong = MailError(
        "Mail must go to a URL such as file:///var/mails, smtp://localhost:25 or "
        f"smtp+starttls://user:password@host:587. Look at {MAIL_VARIABLE}."
    )
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise wrong from None
    if parts.scheme == "file" and parts.path and not parts.netloc:
        return FolderMailer(Path(unquote(parts.path)), sender)
    if parts.scheme not in _PORTS or not parts.hostname:
        raise wrong
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    return SmtpMailer(
        parts.hostname, port, scheme=parts.scheme, user=user, password=password, sender=sender
    )


def mailer_from_environment(folder: Path, environment: Mapping[str, str] | None = None) -> Mailer:
    """The mailer that the environment names; without one, mails go to `folder`."""
    environment = os.environ if environment is None else environment
    sender = environment.get(SENDER_VARIABLE) or DEFAULT_SENDER
    url = environment.get(MAIL_VARIABLE)
    return mailer_of(url, sender) if url else FolderMailer(folder, sender)
