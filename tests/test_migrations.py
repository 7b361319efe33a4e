"""The schema of the index: its history, and opening what another version made."""

from __future__ import annotations

import json
import multiprocessing
import sqlite3
import subprocess
import sys
from dataclasses import replace

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from jobs import open_archive

from goodman_live import migrations
from goodman_live.catalog import MASTER, Archive, Filter
from goodman_live.errors import GoodmanError
from goodman_live.io import info_of
from goodman_live.people.schema import METADATA
from goodman_live.simulate import SetUp, simulate_spectrum

BASELINE = """
CREATE TABLE files (
    id INTEGER NOT NULL PRIMARY KEY, file_name VARCHAR NOT NULL, folder VARCHAR NOT NULL,
    data_type INTEGER NOT NULL, kind VARCHAR NOT NULL, object_name VARCHAR NOT NULL,
    night VARCHAR NOT NULL, proposal VARCHAR NOT NULL, block VARCHAR NOT NULL,
    camera VARCHAR NOT NULL, grating VARCHAR NOT NULL, camera_angle FLOAT NOT NULL,
    grating_angle FLOAT NOT NULL, slit VARCHAR NOT NULL, filter VARCHAR NOT NULL,
    filter2 VARCHAR NOT NULL, binning VARCHAR NOT NULL, roi VARCHAR NOT NULL,
    exposure_start VARCHAR NOT NULL, exposure FLOAT NOT NULL, parent_id INTEGER,
    original_id INTEGER, state VARCHAR NOT NULL, message VARCHAR NOT NULL,
    created VARCHAR NOT NULL, last_modified VARCHAR NOT NULL, info VARCHAR NOT NULL,
    plan VARCHAR NOT NULL, UNIQUE (folder, file_name),
    FOREIGN KEY(parent_id) REFERENCES files (id), FOREIGN KEY(original_id) REFERENCES files (id));
CREATE INDEX files_newest ON files (data_type, exposure_start, id);
CREATE INDEX files_original ON files (original_id);
CREATE INDEX files_night ON files (night, kind);
CREATE TABLE events (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, time VARCHAR NOT NULL, type VARCHAR NOT NULL,
    file_id INTEGER, original_id INTEGER, text VARCHAR NOT NULL);
INSERT INTO events VALUES (1, 'then', 'frame', 1, 1, '');
"""
ROW = {
    "folder": "20260315/RAW", "kind": "bias", "object_name": "Feige 110", "night": "20260315",
    "proposal": "P", "block": "", "camera": "Red", "grating": "400_SYZY", "camera_angle": 16.1,
    "grating_angle": 7.5, "slit": "", "filter": "", "filter2": "", "binning": "2x2", "roi": "",
    "exposure_start": "2026-03-16T01:00:00.000Z", "exposure": 0.0, "parent_id": None,
    "original_id": None, "state": "done", "message": "", "created": "then",
    "last_modified": "then", "info": "", "plan": "",
}  # fmt: skip


@pytest.fixture
def info():
    return info_of(simulate_spectrum(SetUp.preset("400_M2").window(12), seed=1)[0])


def write_old_archive(path, info):
    """An index as the first versions made it: a raw frame, its product, and a master of it."""
    known = info.to_dict()
    rows = [
        ROW | {"id": 1, "file_name": "1.fits", "data_type": 0, "info": json.dumps(known)},
        ROW | {"id": 2, "file_name": "czt.fits", "data_type": 2, "original_id": 1},
        ROW | {"id": 3, "file_name": "master.fits", "data_type": 1},
    ]
    rows[0]["message"] = "part of master.fits"
    connection = sqlite3.connect(path)
    connection.executescript(BASELINE)
    for row in rows:
        names = ", ".join(row)
        places = ", ".join("?" * len(row))
        connection.execute(f"INSERT INTO files ({names}) VALUES ({places})", list(row.values()))
    connection.commit()
    connection.close()


def test_the_migrations_make_the_schema_that_the_program_declares(tmp_path, empty_database):
    archive = Archive(tmp_path, empty_database)
    with archive.database.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_object": _is_declared})
        assert compare_metadata(context, METADATA) == []
    archive.close()


def _is_declared(_item, name, kind, _reflected, _other):
    """Not the tables of the text index, nor the index on an expression."""
    return not (kind == "table" and name.startswith("names")) and name != "files_text"


def test_the_newest_migration_is_the_one_that_the_program_knows():
    config = Config()
    config.set_main_option("script_location", migrations.__path__[0])
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.NEWEST


def test_an_archive_of_the_first_versions_is_upgraded_with_all_that_it_knew(tmp_path, info):
    write_old_archive(tmp_path / "archive.sqlite", info)
    archive = Archive(tmp_path)
    raw, image = archive.file(1), archive.file(2)
    for row in (raw, image, archive.file(3)):
        assert (row.gain, row.technique, row.obstype) == (info.gain, info.technique, info.obstype)
        assert (row.version, row.is_current) == (1, True)
    assert image.original_id == 1 and raw.object_name == "Feige 110"
    assert [r.id for r in archive.files(Filter(text="MASTER"))] == [3]
    assert archive.choices("data_type") == {0: 1, 1: 1, 2: 1}
    assert [event.type for event in archive.events_since(0)] == ["frame"]
    assert archive.count(Filter(data_type=MASTER, night="20260315")) == 1
    archive.add_raw(archive.root / "20260315" / "RAW" / "2.fits", replace(info, kind="arc"))
    assert archive.last_event() == 2
    archive.close()


def test_processes_may_open_a_new_archive_at_once(tmp_path, empty_database):
    context = multiprocessing.get_context("spawn")
    barrier, outcomes = context.Barrier(4), context.Queue()
    openers = [
        context.Process(target=open_archive, args=(tmp_path, empty_database, barrier, outcomes))
        for _ in range(4)
    ]
    for opener in openers:
        opener.start()
    assert [outcomes.get(timeout=180) for _ in openers] == [""] * 4
    for opener in openers:
        opener.join(60)
    archive = Archive(tmp_path, empty_database)
    assert archive.n_frames() == 0
    archive.close()


def test_an_archive_of_a_newer_version_is_refused_in_words(tmp_path, database):
    archive = Archive(tmp_path, database)
    with archive.database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    archive.close()
    with pytest.raises(GoodmanError, match=r"not 9999\. Update goodman_live"):
        Archive(tmp_path, database)


def test_an_archive_that_is_up_to_date_is_opened_without_loading_alembic(tmp_path):
    Archive(tmp_path).close()
    code = "import sys, pathlib; from goodman_live.catalog import Archive; "
    code += f"Archive(pathlib.Path({str(tmp_path)!r})); print('alembic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
