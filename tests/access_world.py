"""An archive with people in every role, and what each of them may do: for tests of every door.

`CASES` says it independently of the table that the program has: y it is done, n it is refused, .
it is not found, s they are asked to sign in. A door brings its own way of doing each thing.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

from goodman_live.catalog import CALIBRATED, MASTER, Archive, FileRow
from goodman_live.io import info_of
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People, User
from goodman_live.simulate import SetUp, simulate_spectrum

CHEAP = {"time_cost": 1, "memory_cost": 8, "parallelism": 1}
MINE, OTHERS = "SOAR2026B-001", "CN2026B-822501"
OUTCOMES = {"y": "done", "n": "refused", ".": "not found", "s": "sign in"}
GRID = """
                                root staff pi member stranger gone anyone
see spectrum of mine              y    y   y    y       .      s     s
see product of mine               y    y   y    y       .      s     s
see arc of mine                   y    y   y    y       .      s     s
see bias of mine                  y    y   y    y       y      s     s
see flat of mine                  y    y   y    y       y      s     s
see master                        y    y   y    y       y      s     s
see spectrum of others            y    y   .    .       y      s     s
see unassigned                    y    y   .    .       .      s     s
see spectrum of unknown           y    y   .    .       .      s     s
see unreadable                    y    y   .    .       .      s     s
see nothing                       .    .   .    .       .      s     s
download spectrum of mine         y    y   y    y       .      s     s
download bias of mine             y    y   y    y       y      s     s
children of spectrum of mine      y    y   y    y       .      s     s
runs of spectrum of mine          y    y   y    y       .      s     s
reduce spectrum of mine           y    y   y    y       .      s     s
reduce master                     y    y   n    n       n      s     s
delete product of mine            y    y   y    y       .      s     s
delete master                     y    y   n    n       n      s     s
restore product of mine           y    y   y    y       .      s     s
restore master                    y    y   n    n       n      s     s
comment spectrum of mine          y    y   y    y       .      s     s
comment bias of mine              y    y   y    y       y      s     s
read comments of mine             y    y   y    y       .      s     s
edit comment of member            n    n   n    y       .      s     s
delete comment of member          y    y   n    y       .      s     s
assign spectrum of mine           y    y   n    n       .      s     s
assign unassigned                 y    y   .    .       .      s     s
dismiss unreadable                y    y   .    .       .      s     s
see proposal of mine              y    y   y    y       .      s     s
see no proposal                   .    .   .    .       .      s     s
describe proposal of mine         y    y   y    n       .      s     s
change semester of mine           y    y   n    n       .      s     s
add proposal                      y    y   n    n       n      s     s
import people                     y    y   n    n       n      s     s
add collaborator                  y    y   y    n       .      s     s
remove collaborator               y    y   y    n       .      s     s
see settings of mine              y    y   y    y       .      s     s
edit settings of mine             y    y   y    y       .      s     s
see site settings                 y    y   n    n       n      s     s
edit site settings                y    y   n    n       n      s     s
list users                        y    y   n    n       n      s     s
see member                        y    y   .    y       .      s     s
see staff                         y    y   .    .       .      s     s
add user                          y    y   n    n       n      s     s
add staff user                    y    n   n    n       n      s     s
rename member                     y    y   .    y       .      s     s
rename staff                      y    y   .    .       .      s     s
rename root                       y    n   .    .       .      s     s
move address of root              y    n   .    .       .      s     s
stop member                       y    y   .    n       .      s     s
make member staff                 y    n   .    n       .      s     s
reset password of member          y    y   .    n       .      s     s
reset password of root            y    n   .    .       .      s     s
tokens of member                  y    y   .    y       .      s     s
tokens of root                    y    n   .    .       .      s     s
revoke token of member            y    y   .    y       .      s     s
revoke token of root              y    .   .    .       .      s     s
add token                         y    y   y    y       y      s     s
own preferences                   y    y   y    y       y      s     s
read events                       y    y   y    y       y      s     s
read logs                         y    y   n    n       n      s     s
send mail                         y    y   n    n       n      s     s
add file                          y    y   n    n       n      s     s
see status                        y    y   y    y       y      y     y
"""


def _parsed(grid: str) -> list[tuple[str, str, str]]:
    heading, *lines = grid.strip("\n").splitlines()
    people = heading.split()
    cases = []
    for line in lines:
        words = line.split()
        name, marks = " ".join(words[: -len(people)]), words[-len(people) :]
        cases += [(name, who, OUTCOMES[mark]) for who, mark in zip(people, marks, strict=True)]
    return cases


CASES = _parsed(GRID)
PEOPLE = GRID.split("\n")[1].split()


@dataclass
class World:
    """An archive, its people by role, its files by what they are."""

    archive: Archive
    people: People
    users: dict[str, User | None]
    files: dict[str, FileRow]
    numbers: itertools.count

    def number(self) -> int:
        """One that was not given before."""
        return next(self.numbers)

    def user_id(self, who: str) -> int | None:
        user = self.users[who]
        return None if user is None else user.id

    def add_frame(self, kind: str = "spectrum", proposal: str = MINE) -> FileRow:
        """One more raw frame, with a file of a few bytes."""
        name = f"{self.number():04d}_{kind}.fits"
        info = replace(INFO, file_name=name, kind=kind, proposal=proposal)
        return self.archive.add_raw(self._write("RAW", name), info)

    def add_product(self, raw: FileRow) -> FileRow:
        """A spectrum made of a frame."""
        info = replace(INFO, file_name=raw.file_name, proposal=raw.proposal)
        path = self._write("REDUCED", f"we{self.number()}_{raw.file_name}")
        return self.archive.add_product(path, CALIBRATED, info, original_id=raw.id)

    def add_master(self) -> FileRow:
        """A master bias."""
        path = self._write("CALIBRATIONS", f"master_{self.number()}.fits")
        info = replace(INFO, kind="bias", proposal=MINE)
        return self.archive.add_product(path, MASTER, info, original_id=None)

    def add_unreadable(self) -> FileRow:
        """A file that is no frame."""
        path = self._write("RAW", f"{self.number():04d}_bad.fits")
        return self.archive.add_unreadable(path, "no FITS")

    def _write(self, folder: str, name: str) -> Path:
        path = self.archive.folder(INFO.night, folder) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
        return path


INFO = info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


def make_world(root: Path, url: str | None = None) -> World:
    """A world in a folder, its index in a database."""
    archive = Archive(root, url)
    people = People(archive.database, FolderMailer(root / "mail"), hasher=Hasher(**CHEAP))
    users = {name: people.add_user(f"{name}@host.org") for name in PEOPLE if name != "anyone"}
    users["root"] = people.change_user(users["root"].id, is_superuser=True)
    users["staff"] = people.change_user(users["staff"].id, is_staff=True)
    users["gone"] = people.change_user(users["gone"].id, is_superuser=True, is_active=False)
    people.add_proposal(MINE, pi=users["pi"].id, title="Mine")
    people.add_proposal(OTHERS, pi=users["stranger"].id, title="Others")
    people.add_collaborator(MINE, "member@host.org")
    people.add_collaborator(MINE, "gone@host.org")
    world = World(archive, people, users | {"anyone": None}, {}, itertools.count(1))
    files = {
        "spectrum of mine": world.add_frame(),
        "arc of mine": world.add_frame("arc"),
        "bias of mine": world.add_frame("bias"),
        "flat of mine": world.add_frame("flat"),
        "spectrum of others": world.add_frame(proposal=OTHERS),
        "unassigned": world.add_frame(proposal=""),
        "spectrum of unknown": world.add_frame(proposal="SOAR2019A-001"),
        "unreadable": world.add_unreadable(),
        "master": world.add_master(),
    }
    files["product of mine"] = world.add_product(files["spectrum of mine"])
    world.files = files
    return world
