"""A semester's proposals, PIs and collaborators from a CSV file, all or nothing.

One row for each proposal. Columns, of which the first two are needed, in any order:
`soar_id, pi_email, pi_first_name, pi_last_name, partner, semester, title, abstract,
collaborators`; the last has addresses separated by semicolons, with or without names before
them, as mail programs write them. What is there already is left or changed; nobody is taken out.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.utils import getaddresses
from pathlib import Path

import sqlalchemy as sa

from ..catalog.database import writing
from ..errors import GoodmanError, NotFound, Refused
from ..mail import MailError
from . import proposals, users
from .entries import Proposal, Registration, User
from .people import People
from .schema import USERS

NEEDED = ("soar_id", "pi_email")
COLUMNS = (
    *NEEDED,
    "pi_first_name",
    "pi_last_name",
    "partner",
    "semester",
    "title",
    "abstract",
    "collaborators",
)
_DESCRIBED = ("semester", "title", "abstract")
_LARGEST_BYTES = 5_000_000


class RosterRefused(GoodmanError):
    """A file that cannot be registered; `problems` has a sentence for each bad row."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(["Nothing was registered.", *problems]))
        self.problems = problems


@dataclass(frozen=True)
class Row:
    """One line of the file; values are as they stand there, '' where there is none."""

    line: int
    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values.get(name, "")

    def collaborators(self) -> list[tuple[str, str]]:
        """Names and addresses; a name that is none is kept with an address that is none."""
        texts = self["collaborators"].replace("\n", ";").split(";")
        return [pair for text in texts if text.strip() for pair in getaddresses([text])]


@dataclass
class Registered:
    """What changes, a sentence each; whom to invite, and for which proposal."""

    changes: list[str] = field(default_factory=list)
    to_invite: dict[int, str] = field(default_factory=dict)
    names: dict[int, str] = field(default_factory=dict)


def read_roster(path: Path) -> list[Row]:
    """The rows of a CSV file in UTF-8; separated by commas, or by semicolons as in its heading.

    Raises
    ------
    RosterRefused
        If it cannot be read, or its heading is not as above.
    """
    try:
        if path.stat().st_size > _LARGEST_BYTES:
            raise RosterRefused([f"{path} must have at most {_LARGEST_BYTES} bytes."])
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise RosterRefused([f"{path} cannot be read: {error.strerror}."]) from error
    except UnicodeDecodeError as error:
        raise RosterRefused([f"{path} must be text in UTF-8, as Excel's 'CSV UTF-8'."]) from error
    return rows_in(text)


def rows_in(text: str) -> list[Row]:
    """The rows of the text of such a file.

    Raises
    ------
    RosterRefused
        If its heading is not as above, or it is no CSV.
    """
    heading = text.partition("\n")[0]
    delimiter = ";" if heading.count(";") > heading.count(",") else ","
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        return _rows(lines)
    except csv.Error as error:
        raise RosterRefused([f"line {lines.line_num}: {error}."]) from error


def _rows(lines) -> list[Row]:
    names = [name.strip().lower() for name in next(lines, [])]
    _check_heading(names)
    rows, problems = [], []
    line = lines.line_num + 1
    for cells in lines:
        if len(cells) != len(names) and any(cells):
            problems.append(f"line {line}: must have {len(names)} cells, not {len(cells)}.")
        elif any(cell.strip() for cell in cells):
            values = {n: c.strip() for n, c in zip(names, cells, strict=True)}
            rows.append(Row(line, values))
        line = lines.line_num + 1
    if problems:
        raise RosterRefused(problems)
    return rows


def _check_heading(names: list[str]) -> None:
    missing = [name for name in NEEDED if name not in names]
    unknown = [name for name in names if name not in COLUMNS]
    if missing or unknown or len(set(names)) < len(names):
        columns = f"{', '.join(COLUMNS)}, of which the first two are needed"
        raise RosterRefused([f"line 1: the columns must be {columns}."])


def register(people: People, rows: list[Row], *, dry: bool) -> Registered:
    """Register all rows in one transaction, which a dry run takes back.

    Raises
    ------
    RosterRefused
        If a row is bad; then nothing is registered.
    """
    with writing(people.database) as connection:
        told = _Registrar(connection, people).register(rows)
        if dry:
            connection.get_transaction().rollback()
    return told


def send_invitations(people: People, told: Registered) -> list[str]:
    """Invite those who cannot sign in yet and were not invited; what failed, a sentence each."""
    problems = []
    for user_id, soar_id in told.to_invite.items():
        try:
            people.invite(user_id, soar_id=soar_id)
        except MailError as error:
            problems.append(str(error))
    return problems


def register_text(people: People, text: str, *, dry: bool) -> Registration:
    """Register the rows of a text and invite who is new; a dry run only says what would change."""
    try:
        rows = rows_in(text)
        told = register(people, rows, dry=dry)
    except RosterRefused as refused:
        return Registration(0, (), (), tuple(refused.problems), False)
    problems = () if dry else tuple(send_invitations(people, told))
    return Registration(
        len(rows), tuple(told.changes), tuple(told.names.values()), problems, not dry
    )


class _Registrar:
    """Registers rows, and collects what changes and what is wrong."""

    def __init__(self, connection: sa.Connection, people: People) -> None:
        self.connection = connection
        self.now = people.now()
        self.told = Registered()
        self.problems: list[str] = []

    def register(self, rows: list[Row]) -> Registered:
        lines: dict[str, int] = {}
        for row in rows:
            first = lines.setdefault(row["soar_id"].lower(), row.line)
            if first != row.line:
                self._complain(row, f"{row['soar_id']} stands in line {first} already.")
                continue
            with self._named(row):
                self._register(row)
        if self.problems:
            raise RosterRefused(self.problems)
        return self.told

    @contextlib.contextmanager
    def _named(self, row: Row) -> Iterator[None]:
        """What is refused of a row is a complaint, so that all bad rows are named at once."""
        try:
            yield
        except Refused as error:
            self._complain(row, str(error))

    def _complain(self, row: Row, text: str) -> None:
        self.problems.append(f"line {row.line}: {text}")

    def _register(self, row: Row) -> None:
        soar_id = proposals.checked_soar_id(row["soar_id"])
        names = {"first_name": row["pi_first_name"], "last_name": row["pi_last_name"]}
        if row["partner"]:
            names["partner"] = row["partner"]
        pi = self._user(row, row["pi_email"], names)
        proposal = self._proposal(row, soar_id, pi)
        for name, email in row.collaborators():
            with self._named(row):
                self._collaborator(row, proposal, name, email)

    def _user(self, row: Row, email: str, values: dict[str, str]) -> User:
        """The user of an address, new if need be; names of one who is known stay."""
        try:
            user = users.find(self.connection, users.checked_email(email))
        except Refused as error:
            raise Refused(f"{email!r}: {error}") from error
        if user is None:
            user = users.add(self.connection, self.now, email, values)
            self.told.changes.append(f"new user {user.username}, {user.full_name} <{user.email}>")
        if user.is_active and not user.invited and not self._has_password(user):
            self.told.to_invite.setdefault(user.id, row["soar_id"])
            self.told.names[user.id] = user.email
        return user

    def _has_password(self, user: User) -> bool:
        query = sa.select(USERS.c.password != "").where(USERS.c.id == user.id)
        return bool(self.connection.execute(query).scalar())

    def _proposal(self, row: Row, soar_id: str, pi: User) -> Proposal:
        values = {name: row[name] for name in _DESCRIBED if row[name]}
        try:
            proposal = proposals.one(self.connection, soar_id)
        except NotFound:
            values["pi_id"] = pi.id
            self.told.changes.append(f"new proposal {soar_id}, PI {pi.email}")
            return proposals.add(self.connection, self.now, soar_id, values)
        return self._changed(proposal, values, pi)

    def _changed(self, proposal: Proposal, values: dict[str, str], pi: User) -> Proposal:
        values = proposals.checked(values)
        values = {k: v for k, v in values.items() if getattr(proposal, k) != v}
        for name, value in values.items():
            self.told.changes.append(f"{name} of {proposal.soar_id}: {value}")
        if proposal.pi is None or proposal.pi.id != pi.id:
            self.told.changes.append(f"PI of {proposal.soar_id}: {pi.email}")
            values["pi_id"] = pi.id
            if any(user.id == pi.id for user in proposal.collaborators):
                proposals.leave(self.connection, proposal, pi)
        return proposals.change(self.connection, proposal, values)

    def _collaborator(self, row: Row, proposal: Proposal, name: str, email: str) -> None:
        first, _, last = name.strip().rpartition(" ")
        user = self._user(row, email, {"first_name": first, "last_name": last})
        if proposal.pi is not None and proposal.pi.id == user.id:
            return
        proposal = proposals.one(self.connection, proposal.soar_id)
        if proposals.join(self.connection, self.now, proposal, user, ""):
            self.told.changes.append(f"{user.email} collaborates in {proposal.soar_id}")
