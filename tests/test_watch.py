"""The watcher: frames are told when they are complete, and nothing else does harm."""

from __future__ import annotations

import errno
import gzip
import os
import shutil
import threading
import time

import pytest

from goodman_live import watch as watch_module
from goodman_live.errors import GoodmanError
from goodman_live.simulate import SetUp, simulate_bias, write_raw
from goodman_live.watch import files_below, watch_folder


class Watch:
    """A running watch and what it has told."""

    def __init__(self, folder, **options):
        self.stop, self.told = threading.Event(), []
        self._arrivals = watch_folder(folder, self.stop, **options)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        for arrival in self._arrivals:
            self.told.append(arrival)

    def names(self, problems=False):
        return sorted(a.path.name for a in self.told if bool(a.problem) == problems)

    def wait_for(self, n_told, seconds=60.0):
        until = time.monotonic() + seconds
        while len(self.told) < n_told and time.monotonic() < until:
            time.sleep(0.01)
        assert len(self.told) >= n_told, f"told only {self.told}"

    def end(self):
        self.stop.set()
        self._thread.join(60)
        assert not self._thread.is_alive()


@pytest.fixture(scope="module")
def frame(tmp_path_factory):
    path = tmp_path_factory.mktemp("frame") / "0001_bias.fits"
    write_raw(simulate_bias(SetUp.preset("400_M2").window(20), seed=1)[0], path)
    return path


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture(params=[False, True], ids=["inotify", "polling"])
def watching(request, folder):
    watches = []

    def start(**options):
        watches.append(Watch(folder, force_polling=request.param, **options))
        return watches[-1]

    yield start
    for watch in watches:
        watch.end()


def test_frames_that_are_there_already_are_told_first(folder, frame, watching):
    shutil.copy(frame, folder / "b.fits")
    shutil.copy(frame, folder / "a.fits")
    watch = watching()
    watch.wait_for(2)
    assert [a.path.name for a in watch.told] == ["a.fits", "b.fits"]
    assert not any(a.waited or a.problem for a in watch.told)


def test_a_frame_written_in_pieces_is_told_once_and_only_when_whole(folder, frame, watching):
    watch = watching()
    time.sleep(0.6)
    content = frame.read_bytes()
    with (folder / "a.fits").open("wb", buffering=0) as stream:
        for start in range(0, len(content), 20_000):
            time.sleep(0.05)
            assert not watch.told
            whole = time.time()  # in the end, not before
            stream.write(content[start : start + 20_000])
    watch.wait_for(1)
    assert watch.told[0].complete_at >= whole
    time.sleep(0.7)
    assert watch.names() == ["a.fits"]
    assert watch.told[0].waited


def test_temporary_names_of_transfer_tools_are_ignored(folder, frame, watching):
    watch = watching()
    time.sleep(0.3)
    for name in (".a.fits.Xy12Zw", "a.fits.part", "a.fits.tmp", "a.fits.filepart", "~a.fits"):
        shutil.copy(frame, folder / name)
    (folder / ".rsync").mkdir()
    shutil.copy(frame, folder / ".rsync" / "a.fits")
    (folder / ".a.fits.Xy12Zw").replace(folder / "z.fits")
    watch.wait_for(1)
    time.sleep(0.7)
    assert watch.names() == ["z.fits"] and not watch.names(problems=True)


def test_sub_folders_are_watched_even_if_they_come_full(folder, frame, watching, tmp_path):
    watch = watching()
    time.sleep(0.3)
    (tmp_path / "night" / "deep").mkdir(parents=True)
    shutil.copy(frame, tmp_path / "night" / "deep" / "a.fits")
    (tmp_path / "night").rename(folder / "night")
    watch.wait_for(1)
    shutil.copy(frame, folder / "night" / "deep" / "b.fits")
    watch.wait_for(2)
    assert watch.names() == ["a.fits", "b.fits"]


def test_pipes_folders_and_links_that_lead_nowhere_are_told_with_the_reason(
    folder, frame, watching
):
    os.mkfifo(folder / "pipe.fits")
    (folder / "folder.fits").mkdir()
    (folder / "self.fits").symlink_to(folder / "self.fits")
    (folder / "gone.fits").symlink_to(folder / "nothing.fits")
    (folder / "loop").symlink_to(folder)
    watch = watching()
    time.sleep(0.3)
    (folder / "again").symlink_to(folder)
    os.mkfifo(folder / "pipe2.fits")
    shutil.copy(frame, folder / "folder.fits" / "a.fits")
    watch.wait_for(6)
    time.sleep(0.7)
    assert [a.path for a in watch.told if not a.problem] == [folder / "folder.fits" / "a.fits"]
    reasons = {a.path.name: a.problem for a in watch.told if a.problem}
    assert "it is a pipe" in reasons["pipe.fits"] and "it is a pipe" in reasons["pipe2.fits"]
    assert "it is a folder" in reasons["folder.fits"]
    assert "leads nowhere" in reasons["self.fits"] and "leads nowhere" in reasons["gone.fits"]
    assert len(watch.told) == 6


def test_a_link_is_told_again_when_it_leads_to_a_frame(folder, frame, watching):
    (folder / "a.fits").symlink_to(folder.parent / "late.fits")
    watch = watching()
    watch.wait_for(1)
    shutil.copy(frame, folder.parent / "late.fits")
    os.utime(folder)
    (folder / "a.fits").unlink()
    (folder / "a.fits").symlink_to(folder.parent / "late.fits")
    watch.wait_for(2)
    assert [bool(a.problem) for a in watch.told] == [True, False]


def test_a_file_that_is_not_fits_is_told_once_with_the_reason(folder, watching):
    (folder / "a.fits").write_bytes(b"hello" * 1000)
    watch = watching()
    watch.wait_for(1)
    time.sleep(0.7)
    assert [a.path.name for a in watch.told] == ["a.fits"]
    assert "must be a FITS file" in watch.told[0].problem


def test_a_file_that_stops_growing_is_told_once_and_again_when_it_is_whole(folder, frame, watching):
    content = frame.read_bytes()
    (folder / "a.fits").write_bytes(content[:50_000])
    watch = watching(stalled_seconds=0.5)
    watch.wait_for(1)
    time.sleep(1.2)
    assert len(watch.told) == 1
    assert f"50000 of {len(content)} bytes" in watch.told[0].problem
    with (folder / "a.fits").open("ab") as stream:
        stream.write(content[50_000:])
    watch.wait_for(2)
    assert watch.told[1].problem == ""


def test_a_frame_without_its_last_padding_is_taken_after_a_while(folder, tmp_path, watching):
    whole = tmp_path / "0002.fits"
    write_raw(simulate_bias(SetUp.preset("400_M2").window(20), seed=2)[0], whole)
    from goodman_live import io

    needed = io.promised_size(whole, padded=False)
    assert needed < whole.stat().st_size
    (folder / "a.fits").write_bytes(whole.read_bytes()[:needed])
    assert not io.is_complete(folder / "a.fits")
    watch = watching()
    watch.wait_for(1)
    assert watch.told[0].problem == ""


def test_compressed_frames_are_complete_when_they_can_be_unpacked(folder, frame, watching):
    packed = gzip.compress(frame.read_bytes(), 1)
    watch = watching()
    time.sleep(0.3)
    (folder / "a.fits.gz").write_bytes(packed[: len(packed) // 2])
    time.sleep(0.7)
    assert not watch.told
    (folder / "a.fits.gz").write_bytes(packed)
    watch.wait_for(1)
    assert watch.names() == ["a.fits.gz"]


def test_a_frame_that_is_replaced_is_told_again(folder, frame, watching, tmp_path):
    shutil.copy(frame, folder / "a.fits")
    watch = watching()
    watch.wait_for(1)
    other = tmp_path / "other.fits"
    write_raw(simulate_bias(SetUp.preset("400_M2").window(20), seed=3)[0], other)
    other.replace(folder / "a.fits")
    watch.wait_for(2)


def test_many_frames_at_once_are_all_told(folder, frame, watching):
    watch = watching()
    time.sleep(0.3)
    for number in range(100):
        shutil.copy(frame, folder / f"{number:04d}.fits")
    watch.wait_for(100)
    time.sleep(0.6)
    assert watch.names() == [f"{number:04d}.fits" for number in range(100)]


def test_a_folder_may_be_named_from_where_we_stand(folder, frame, monkeypatch):
    monkeypatch.chdir(folder.parent)
    for name in (folder.name, f"../{folder.parent.name}/{folder.name}"):
        watch = Watch(name)
        time.sleep(0.6)
        (folder / "a.fits").unlink(missing_ok=True)
        shutil.copy(frame, folder / "a.fits")
        watch.wait_for(1)
        watch.end()


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(GoodmanError, match="must be a folder"):
        next(watch_folder(tmp_path / "none", threading.Event()))


def test_a_folder_that_goes_away_is_waited_for_and_watched_anew(
    folder, frame, watching, monkeypatch
):
    monkeypatch.setattr(watch_module, "_SURVEY_SECONDS", 1000.0)  # so that the kernel must tell
    shutil.copy(frame, folder / "a.fits")
    told = []
    watch = watching(while_away=told.append)
    watch.wait_for(1)
    time.sleep(0.5)
    shutil.rmtree(folder)
    until = time.monotonic() + 60.0
    while not told and time.monotonic() < until:
        time.sleep(0.02)
    assert told == [f"The folder {folder} is away; it is waited for."]
    folder.mkdir()
    shutil.copy(frame, folder / "b.fits")
    watch.wait_for(2)
    time.sleep(0.6)
    shutil.copy(frame, folder / "c.fits")
    watch.wait_for(3)
    assert watch.names() == ["a.fits", "b.fits", "c.fits"] and told[1:] == [""]


def test_another_folder_that_takes_the_place_of_the_first_is_watched(
    folder, frame, watching, tmp_path, monkeypatch
):
    monkeypatch.setattr(watch_module, "_SURVEY_SECONDS", 1000.0)
    watch, other = watching(), tmp_path / "other"
    time.sleep(0.5)
    shutil.copytree(folder, other)
    folder.rename(tmp_path / "first")
    other.rename(folder)
    time.sleep(0.6)
    shutil.copy(frame, folder / "a.fits")
    watch.wait_for(1)


def test_a_file_that_cannot_even_be_looked_at_harms_no_other(folder, frame, watching, monkeypatch):
    real = os.lstat

    def lstat(path, **options):
        if str(path).endswith("locked.fits"):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, **options)

    monkeypatch.setattr(os, "lstat", lstat)
    stat = os.stat
    monkeypatch.setattr(
        os,
        "stat",
        lambda path, **o: lstat(path) if str(path).endswith("locked.fits") else stat(path, **o),
    )
    shutil.copy(frame, folder / "good.fits")
    (folder / "locked.fits").write_bytes(b"")
    watch = watching()
    watch.wait_for(2)
    time.sleep(0.6)
    (problem,) = [arrival for arrival in watch.told if arrival.problem]
    assert problem.is_passing and "Permission denied" in problem.problem
    assert watch.names() == ["good.fits"] and len(watch.told) == 2


def test_files_that_are_gone_are_forgotten(folder, frame):
    known = watch_module._Known(60.0)
    for name in ("a.fits", "b.fits"):
        shutil.copy(frame, folder / name)
        assert [arrival.path.name for arrival in known.look(folder / name)] == [name]
    (folder / "a.fits").unlink()
    known.forget_gone()
    assert list(known.told) == [folder / "b.fits"]


def test_files_are_listed_by_name_without_hidden_folders(folder, frame):
    for name in ("b.fits", "sub/a.fits", ".hidden/c.fits", "notes.txt"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(frame, folder / name)
    assert files_below(folder) == [folder / "b.fits", folder / "sub" / "a.fits"]
