"""`goodman-live people`: users, proposals, tokens."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import GoodmanError
from .options import add_archive_options, at_least, command, database, existing_folder
from .terminal import complain, say

if TYPE_CHECKING:
    from ..people import People, Proposal, Token


def add_people(commands) -> None:
    parser = command(
        commands,
        "people",
        None,
        "Keep users, proposals and who works on them.",
        "Whoever may write to the database of an archive may do all of this. Mails are written to "
        "ARCHIVE/mail, unless GOODMAN_LIVE_MAIL names a server, such as smtp://localhost:25 or "
        "smtp+starttls://user:password@host:587; links in them lead to GOODMAN_LIVE_SITE.",
    )
    actions = parser.add_subparsers(title="actions", metavar="ACTION", required=True)
    for add in (
        _add_people_import,
        _add_people_add_user,
        _add_people_add_proposal,
        _add_people_list,
        _add_people_reset_password,
        _add_people_token,
    ):
        add_archive_options(add(actions))


def _add_people_import(actions) -> argparse.ArgumentParser:
    parser = command(
        actions,
        "import",
        _import_people,
        "Register a semester's proposals, PIs and collaborators, and invite them.",
        "Tells what would change; with --yes, does it. The file is CSV in UTF-8 with the columns "
        "soar_id, pi_email, pi_first_name, pi_last_name, partner, semester, title, abstract, "
        "collaborators; the last has addresses separated by semicolons. Nothing is done if a row "
        "is bad; nobody is taken out; done twice, it changes nothing.",
    )
    parser.add_argument("file", type=Path, metavar="FILE.csv", help="a row for each proposal")
    parser.add_argument("--yes", action="store_true", help="do it")
    return parser


def _add_people_add_user(actions) -> argparse.ArgumentParser:
    parser = command(
        actions, "add-user", _add_user, "Add a user and send the invitation.", "Also staff."
    )
    parser.add_argument("email", metavar="EMAIL")
    parser.add_argument("--username", default="", help="default: as in the address")
    for name in ("first-name", "last-name"):
        parser.add_argument(f"--{name}", default="", metavar="NAME")
    parser.add_argument("--partner", default="OTHER", help="such as NOIRLAB (default: OTHER)")
    parser.add_argument("--staff", action="store_true", help="may see and manage everything")
    parser.add_argument("--superuser", action="store_true", help="may also make others staff")
    _add_print_link(parser)
    return parser


def _add_people_add_proposal(actions) -> argparse.ArgumentParser:
    parser = command(
        actions,
        "add-proposal",
        _add_proposal,
        "Add a proposal.",
        "Frames belong to it that have its SOAR id in PROPID or PROPOSAL.",
    )
    parser.add_argument(
        "soar_id",
        nargs="?",
        metavar="SOAR_ID",
        help="such as SOAR2026B-012 (default: the next one of this semester)",
    )
    parser.add_argument(
        "--pi", required=True, metavar="NAME", help="user name or address of the PI"
    )
    parser.add_argument("--semester", default="", help="such as 2026B (default: as in the SOAR id)")
    for name in ("title", "abstract"):
        parser.add_argument(f"--{name}", default="", metavar="TEXT")
    parser.add_argument(
        "--collaborator", action="append", default=[], metavar="EMAIL", help="may be repeated"
    )
    return parser


def _add_people_list(actions) -> argparse.ArgumentParser:
    help_line = "List proposals with who works on them, and users."
    return command(actions, "list", _list_people, help_line, "A line each.")


def _add_people_reset_password(actions) -> argparse.ArgumentParser:
    parser = command(
        actions,
        "reset-password",
        _reset_password,
        "Send a user a link that sets a new password.",
        "The old password holds until it is used.",
    )
    parser.add_argument("name", metavar="NAME", help="user name or address")
    _add_print_link(parser)
    return parser


def _add_print_link(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--print-link", action="store_true", help="print the link, and send no mail"
    )


def _add_people_token(actions) -> argparse.ArgumentParser:
    parser = command(
        actions,
        "token",
        _token,
        "Make a key with which a user's programs sign in, and print it once.",
        "Or list the tokens of a user, or revoke one.",
    )
    parser.add_argument("name", metavar="NAME", help="user name or address")
    parser.add_argument("--label", default="", help="what it is for")
    parser.add_argument(
        "--days", type=at_least(0.0), metavar="N", help="how long it holds (default: for ever)"
    )
    others = parser.add_mutually_exclusive_group()
    others.add_argument("--list", action="store_true", help="list the user's tokens instead")
    others.add_argument(
        "--revoke", metavar="PREFIX", help="revoke the one whose key begins like this"
    )
    return parser


@contextlib.contextmanager
def _people(options: argparse.Namespace) -> Iterator[People]:
    root = existing_folder(options.archive, "--archive")
    from ..catalog import Archive
    from ..people import People

    with (
        contextlib.closing(Archive(root, database(options))) as archive,
        contextlib.closing(People.of(archive)) as people,
    ):
        yield people


def _import_people(options: argparse.Namespace) -> int:
    from ..people import roster

    with _people(options) as people:
        rows = roster.read_roster(options.file)
        told = roster.register(people, rows, dry=not options.yes)
        for change in told.changes:
            say(change)
        if not options.yes:
            for email in told.names.values():
                say(f"an invitation to {email}")
            say(f"{len(rows)} proposals read, nothing done yet: --yes does it.")
            return 0
        problems = roster.send_invitations(people, told)
    for problem in problems:
        complain(problem)
    n_sent = len(told.to_invite) - len(problems)
    say(f"{len(rows)} proposals read, {len(told.changes)} changes, {n_sent} invitations sent.")
    return 1 if problems else 0


def _add_user(options: argparse.Namespace) -> int:
    with _people(options) as people:
        user = people.add_user(
            options.email,
            username=options.username,
            first_name=options.first_name,
            last_name=options.last_name,
            partner=options.partner,
            is_staff=options.staff,
            is_superuser=options.superuser,
        )
        say(f"{user.username}  {user.full_name} <{user.email}>")
        if options.print_link:
            say(people.link_address(people.link(user.id)))
            return 0
        people.invite(user.id)
        say(f"{user.email}  invited")
    return 0


def _add_proposal(options: argparse.Namespace) -> int:
    problems = []
    with _people(options) as people:
        pi = people.find_user(options.pi)
        soar_id = options.soar_id or people.next_soar_id(options.semester)
        values = {name: getattr(options, name) for name in ("semester", "title", "abstract")}
        people.add_proposal(soar_id, pi=pi.id, **values)
        for email in options.collaborator:
            added = people.add_collaborator(soar_id, email, pi.full_name)
            problems += [added.problem] if added.problem else []
        _say_proposal(people.proposal(soar_id))
    for problem in problems:
        complain(problem)
    return 1 if problems else 0


def _list_people(options: argparse.Namespace) -> int:
    with _people(options) as people:
        for proposal in people.proposals():
            _say_proposal(proposal)
        for user in people.users(limit=1_000_000):
            roles = [
                word
                for word, holds in (
                    ("superuser", user.is_superuser),
                    ("staff", user.is_staff and not user.is_superuser),
                    ("not active", not user.is_active),
                )
                if holds
            ]
            seen = f"last seen {user.last_login[:10]}" if user.last_login else "never seen"
            about = ", ".join([user.partner, *roles, seen])
            say(f"{user.username}  {user.full_name} <{user.email}>, {about}")
    return 0


def _say_proposal(proposal: Proposal) -> None:
    pi = proposal.pi.username if proposal.pi else "nobody"
    others = ", ".join(user.username for user in proposal.collaborators)
    say(f"{proposal.soar_id}  PI {pi}{', with ' if others else ''}{others}: {proposal.title}")


def _reset_password(options: argparse.Namespace) -> int:
    with _people(options) as people:
        user = people.find_user(options.name)
        if options.print_link:
            say(people.link_address(people.link(user.id)))
        else:
            people.send_reset(user.id)
    return 0


def _token(options: argparse.Namespace) -> int:
    with _people(options) as people:
        user = people.find_user(options.name)
        if not options.list and options.revoke is None:
            say(people.add_token(user.id, options.label, options.days)[1])
            return 0
        tokens = people.tokens(user.id)
        if options.list:
            for token in tokens:
                say(_about_token(token))
            return 0
        for token in _tokens_like(options.revoke, tokens):
            people.revoke_token(token.id)
            say(f"{token.prefix}...  revoked")
    return 0


def _tokens_like(beginning: str, tokens: list[Token]) -> list[Token]:
    found = [t for t in tokens if not t.revoked and beginning[:8] == t.prefix]
    if not found:
        raise GoodmanError(
            f"PREFIX must be the first 8 letters of a token that holds; {beginning[:8]!r} is none."
        )
    return found


def _about_token(token: Token) -> str:
    parts = [token.label or "no label", f"made {token.created[:10]}"]
    for what in ("last_used", "expires", "revoked"):
        moment = getattr(token, what)
        parts += [f"{what.replace('_', ' ')} {moment[:10]}"] if moment else []
    return f"{token.prefix}...  {', '.join(parts)}"
