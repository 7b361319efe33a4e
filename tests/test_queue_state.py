"""What an engine is at, told in a file that anybody may read."""

from __future__ import annotations

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta

import pytest

from goodman_live import queue_state
from goodman_live.queue_state import Building, Missing, QueueState, Running, Told, Waiting, read

FULL = QueueState(
    state="running",
    since="2026-03-16T01:00:00.000+00:00",
    waiting={"masters": 1, "science": 2},
    first=(Waiting("a.fits", "spectrum", "science", 7, "P1", ("master_bias.fits",)),),
    running=(Running("b.fits", "arc", "2026-03-16T01:00:00.000+00:00", 2, 8, "P2"),),
    masters=(Building("m.fits", "bias", "20260315", "400_M2", 6, 10, "too few"),),
    missing=(Missing("arc", "missing", 3, "It needs an arc.", ("P1", "P2")),),
)


def test_a_state_survives_its_trip_through_json():
    assert QueueState.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL
    assert FULL.n_waiting == 3


def test_where_there_never_was_an_engine_it_is_absent(tmp_path):
    assert read(tmp_path) == QueueState() and read(tmp_path).state == "absent"


def test_what_is_told_is_read_and_its_beginning_kept(tmp_path):
    asked, now = [FULL], [100.0]
    told = Told(tmp_path, lambda: asked[0], clock=lambda: now[0])
    told.renew()
    first = read(tmp_path)
    assert first.state == "running" and first.first == FULL.first and first.since == first.updated
    asked[0] = QueueState(waiting={"science": 1})
    told.renew()
    assert read(tmp_path) == first, "so soon after is too often"
    now[0] += 0.11
    time.sleep(0.002)
    told.renew()
    second = read(tmp_path)
    assert second.waiting == {"science": 1} and second.since == first.since < second.updated
    told.renew("paused", "No space left.", ask=False)
    paused = read(tmp_path)
    assert (paused.state, paused.reason, paused.waiting) == (
        "paused",
        "No space left.",
        second.waiting,
    )
    assert paused.since > first.since
    told.renew("stopped")
    assert read(tmp_path).state == "stopped" and told.last == read(tmp_path)


def test_the_same_is_told_again_only_to_be_heard(tmp_path):
    now = [100.0]
    told = Told(tmp_path, lambda: FULL, clock=lambda: now[0])
    told.renew()
    first = read(tmp_path).updated
    for _ in range(10):
        time.sleep(0.002)
        now[0] += 0.4
        told.renew()
    assert read(tmp_path).updated == first
    now[0] += 1.5
    told.renew()
    assert read(tmp_path).updated > first


def test_an_engine_that_ended_without_a_word_is_known_by_its_silence(tmp_path):
    Told(tmp_path, lambda: FULL).renew()
    path = tmp_path / queue_state.FILE_NAME
    values = json.loads(path.read_text())
    before = (datetime.now(UTC) - timedelta(seconds=40)).isoformat(timespec="milliseconds")
    path.write_text(json.dumps(values | {"updated": before}))
    state = read(tmp_path)
    assert state.state == "silent" and state.since == before and before in state.reason
    assert state.running == () and state.waiting == FULL.waiting
    path.write_text(json.dumps(values | {"updated": before, "state": "stopped"}))
    assert read(tmp_path).state == "stopped"
    path.write_text('{"state": "run')
    assert read(tmp_path).state == "silent" and "cannot be read" in read(tmp_path).reason


def test_that_a_disk_is_full_can_be_told_on_that_disk(tmp_path):
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    try:
        told = Told(folder, lambda: FULL)
        told.renew()
        with (folder / "filler").open("wb", buffering=0) as stream, pytest.raises(OSError):
            while True:
                stream.write(bytes(4096))
        told.renew("paused", "No space left on device.")
        state = read(folder)
        assert (state.state, state.reason) == ("paused", "No space left on device.")
        assert state.running == FULL.running and not list(folder.glob("*.part"))
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)
