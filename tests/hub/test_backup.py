"""A backup made as docs/deploy.md says, while the archive is in use, gives the same archive."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from pathlib import Path

from access_world import MINE, make_world

from goodman_live.catalog import Archive, Filter
from goodman_live.mail import FolderMailer
from goodman_live.people import People


def back_up(archive: Path, target: Path) -> None:
    shutil.copytree(archive, target, ignore=shutil.ignore_patterns("archive.sqlite*"))
    source = sqlite3.connect(archive / "archive.sqlite")
    copy = sqlite3.connect(target / "archive.sqlite")
    with contextlib.closing(source), contextlib.closing(copy):
        source.backup(copy)


def test_what_is_restored_into_an_empty_folder_is_the_same_archive(tmp_path):
    world = make_world(tmp_path / "archive")
    world.people.set_password(world.users["pi"].id, "violet-comet-27")
    world.people.add_comment(world.files["spectrum of mine"].id, world.users["pi"].id, "Good.")
    key = world.people.add_token(world.users["pi"].id, "script")[1]
    back_up(tmp_path / "archive", tmp_path / "backup")
    rows = world.archive.files(Filter(), limit=100)
    world.people.close()
    world.archive.close()
    shutil.rmtree(tmp_path / "archive")

    shutil.copytree(tmp_path / "backup", tmp_path / "elsewhere")
    with (
        contextlib.closing(Archive(tmp_path / "elsewhere")) as archive,
        contextlib.closing(People(archive.database, FolderMailer(tmp_path / "mail"))) as people,
    ):
        assert archive.files(Filter(), limit=100) == rows
        assert all(archive.path(row).is_file() for row in rows)
        pi = people.sign_in("pi", "violet-comet-27")
        assert people.user_of_key(key) == pi.id
        assert people.viewer(pi.id).leads == {MINE}
        found = people.comments(world.files["spectrum of mine"].id)
        assert [comment.text for comment in found] == ["Good."]
