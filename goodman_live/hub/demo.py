"""A hub to try out: three people and two proposals, whose night is simulated."""

from __future__ import annotations

import contextlib
import secrets
from dataclasses import dataclass
from pathlib import Path

from ..catalog import Archive
from ..people import People

MINE, OTHERS = "SOAR2026A-012", "SOAR2026A-034"
_WORDS = (
    "arc", "bias", "carina", "comet", "dome", "flat", "focus", "grating", "halo", "hydra",
    "lamp", "lupus", "mirror", "nebula", "nova", "orion", "pavo", "pupil", "quasar", "seeing",
    "slit", "sodium", "tucana", "vela",
)  # fmt: skip


@dataclass(frozen=True)
class DemoPerson:
    """Somebody of the demo, with the password made for them."""

    username: str
    password: str
    about: str


def add_demo_people(archive_folder: Path) -> list[DemoPerson]:
    """Make the people and proposals in an archive that has none; who they are.

    Their passwords are new each time, and kept nowhere but in what is returned.
    """
    with (
        contextlib.closing(Archive(archive_folder)) as archive,
        contextlib.closing(People.of(archive)) as people,
    ):
        made = [
            _add(people, "pia", "Pia", "Investigator", f"PI of {MINE}"),
            _add(people, "colin", "Colin", "Collaborator", f"collaborator of {MINE}"),
            _add(people, "stella", "Stella", "Staff", f"staff, PI of {OTHERS}", is_staff=True),
        ]
        pi, staff = people.find_user("pia").id, people.find_user("stella").id
        about = {"semester": "2026A"}
        people.add_proposal(MINE, pi=pi, title="Supernovae in nearby galaxies", **about)
        people.add_proposal(OTHERS, pi=staff, title="White dwarfs of the halo", **about)
        people.add_collaborator(MINE, "colin@demo.example")
        return made


def _add(
    people: People, username: str, first: str, last: str, about: str, **rights: bool
) -> DemoPerson:
    names = {"username": username, "first_name": first, "last_name": last}
    user = people.add_user(f"{username}@demo.example", **names, **rights)
    words = [secrets.choice(_WORDS) for _ in range(4)]
    password = "-".join((*words, str(10 + secrets.randbelow(90))))
    people.set_password(user.id, password)
    return DemoPerson(username, password, about)
