"""What several tests share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import postgresql
import pytest


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory):
    """Browsers and kernels leave their traces here, not in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real Goodman frames, which are never part of the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GOODMAN_LIVE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}; set GOODMAN_LIVE_TEST_DATA to have them tested")
    return folder


@pytest.fixture(scope="session")
def postgresql_server():
    """A PostgreSQL server for all tests."""
    if postgresql.binaries() is None:
        pytest.skip(postgresql.WAY)
    with postgresql.running_server() as server:
        yield server


KINDS_OF_DATABASE = ("sqlite", "postgresql")


@pytest.fixture(params=KINDS_OF_DATABASE)
def empty_database(request, tmp_path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'index.sqlite'}"
    return request.getfixturevalue("postgresql_server").new_database()


@pytest.fixture(params=KINDS_OF_DATABASE)
def database(request, tmp_path) -> str:
    """URL of an index without files, once of each kind of database."""
    made = request.getfixturevalue(f"{request.param}_index")
    if request.param == "sqlite":
        shutil.copy(made, tmp_path / "index.sqlite")
        return f"sqlite:///{tmp_path / 'index.sqlite'}"
    return request.getfixturevalue("postgresql_server").new_database(like=made)


@pytest.fixture(scope="session")
def sqlite_index(tmp_path_factory) -> Path:
    """An index without files, to be copied: quicker than to make one for each test."""
    folder = tmp_path_factory.mktemp("index")
    _make_index(folder, None)
    return folder / "archive.sqlite"


@pytest.fixture(scope="session")
def postgresql_index(tmp_path_factory, postgresql_server) -> str:
    """The same in the PostgreSQL server."""
    url = postgresql_server.new_database()
    _make_index(tmp_path_factory.mktemp("index"), url)
    return url


def _make_index(folder: Path, url: str | None) -> None:
    from goodman_live.catalog import Archive

    Archive(folder, url).close()


@pytest.fixture(scope="session")
def pool():
    """Two warm workers for all tests."""
    from goodman_live.pool import WorkerPool

    with WorkerPool(2) as pool:
        yield pool
