"""Numbers of versions: each is given once, whoever asks at the same moment.

What was given is kept in the index, as the files of a version appear long after its number;
where the index was rebuilt since, the names of the files tell.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import sqlalchemy as sa

from .schema import FILES, VERSIONS


def next_version(connection: sa.Connection, root: Path, folder: str, stem: str, aside: str) -> int:
    """A version that nothing made of `stem` in a folder of the archive has; from now on taken.

    Parameters
    ----------
    connection
        In a transaction that writes, of which there is one at a time.
    stem
        Of the name of a raw frame, or of the first version of a master.
    aside
        Beginning of the folders in which removed files of the folder are kept.
    """
    name = f"{folder}/{stem}"
    known = sa.select(VERSIONS.c.last).where(VERSIONS.c.name == name)
    last = connection.execute(known).scalar()
    of_it = re.compile(rf"(?:.*_)?{re.escape(stem)}(?:_.*)?_v(\d{{1,9}})\.fits", re.DOTALL)
    names = (*_indexed(connection, folder, aside), *_on_disk(root, folder, aside))
    taken = [int(found[1]) for found in map(of_it.fullmatch, names) if found]
    version = max([1, last or 1, *taken]) + 1
    if last is None:
        connection.execute(sa.insert(VERSIONS).values(name=name, last=version))
    else:
        connection.execute(sa.update(VERSIONS).where(VERSIONS.c.name == name).values(last=version))
    return version


def _indexed(connection: sa.Connection, folder: str, aside: str) -> list[str]:
    where = sa.or_(FILES.c.folder == folder, FILES.c.folder.startswith(aside, autoescape=True))
    return connection.execute(sa.select(FILES.c.file_name).where(where)).scalars().all()


def _on_disk(root: Path, folder: str, aside: str) -> Iterator[str]:
    aside = root / aside
    for place in (root / folder, *aside.parent.glob(f"{aside.name}*")):
        yield from (path.name for path in place.glob("*_v*.fits"))
