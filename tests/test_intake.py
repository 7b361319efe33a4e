"""Raw frames into the archive: whole or not at all, whatever else goes on."""

from __future__ import annotations

import os
import shutil
import threading
from contextlib import closing

import pytest

from goodman_live import intake, work
from goodman_live.catalog import Archive
from goodman_live.intake import archive_raw, receive
from goodman_live.simulate import SetUp, simulate_bias, write_raw
from goodman_live.watch import Arrival


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    path = tmp_path_factory.mktemp("frame") / "0001_bias.fits"
    write_raw(simulate_bias(SetUp.preset("400_M2").window(20), seed=1)[0], path)
    return path


@pytest.fixture
def archive(tmp_path):
    with closing(Archive(tmp_path / "archive")) as archive:
        yield archive


def test_a_frame_that_its_sender_begins_anew_while_it_is_copied_is_not_taken_in_half(
    frame, archive, tmp_path, monkeypatch
):
    source, real = tmp_path / "x.fits", shutil.copyfile
    shutil.copy(frame, source)
    content = frame.read_bytes()

    def copyfile(path, target):
        source.write_bytes(content[:4000])
        return real(path, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    (received,) = receive(archive, Arrival(source))
    assert received.row is None and received.is_passing and not received.is_full
    assert "changed while it was copied" in received.message
    assert not [path for path in archive.root.rglob("*") if path.suffix in (".fits", ".part")]
    monkeypatch.undo()
    shutil.copy(frame, source)
    (received,) = receive(archive, Arrival(source))
    assert received.path.read_bytes() == content and received.row.state == "new"


def test_a_file_that_is_gone_before_it_is_copied_is_no_failure(frame, archive, tmp_path):
    assert list(receive(archive, Arrival(tmp_path / "gone.fits"))) == []
    assert archive.n_frames(calibrations=None) == 0


def test_a_frame_that_two_take_in_at_once_is_archived_once_and_whole(
    frame, archive, tmp_path, monkeypatch
):
    source, real = tmp_path / "x.fits", shutil.copyfile
    shutil.copy(frame, source)
    both = threading.Barrier(2, timeout=60)
    temporary = set()

    def copyfile(path, target):
        temporary.add(target)
        both.wait()
        return real(path, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(archive_raw(archive, source)[0]))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(temporary) == 2, "each must have a temporary file of its own"
    assert [path.name for path in found[0].parent.iterdir()] == ["x.fits"]
    assert found[0] == found[1] and found[0].read_bytes() == frame.read_bytes()


def test_what_is_left_over_is_removed_and_what_is_being_written_is_not(tmp_path):
    folder = tmp_path / "20260315" / "REDUCED"
    folder.mkdir(parents=True)
    old, young = folder / ".old.part", folder / ".young.part"
    old.write_bytes(b"x")
    moment = old.stat().st_ctime + 0.02
    os.utime(old)
    while True:
        young.write_bytes(b"x")
        if young.stat().st_ctime > moment:
            break
        young.unlink()
    os.utime(young, (0, 0))  # a copy has the times of its source
    work.remove_torn(tmp_path, moment)
    assert [path.name for path in folder.iterdir()] == [".young.part"]


def test_a_copy_is_on_the_disk_before_it_has_its_name(frame, archive, tmp_path, monkeypatch):
    order, sync, link = [], os.fsync, os.link
    monkeypatch.setattr(os, "fsync", lambda handle: (order.append("sync"), sync(handle)))
    monkeypatch.setattr(os, "link", lambda *paths: (order.append("link"), link(*paths)))
    shutil.copy(frame, tmp_path / "x.fits")
    intake.archive_raw(archive, tmp_path / "x.fits")
    assert order[:2] == ["sync", "link"]
