"""The command line, run as a stranger runs it: in a process of its own."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from goodman_live import cli
from goodman_live.simulate import SetUp, write_night

COMMAND = [sys.executable, "-m", "goodman_live.cli"]


def run(*arguments, **options):
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, **options)


def run_here(capsys, *arguments):
    """The same in this process: quicker, for what starts no other."""
    try:
        code = cli.main([*map(str, arguments)])
    except SystemExit as ended:
        code = ended.code
    return subprocess.CompletedProcess(arguments, code, *capsys.readouterr())


def ends(session, seconds=60):
    """Whether all processes of a session end by themselves."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            os.killpg(session, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    folder = tmp_path_factory.mktemp("night")
    setup = SetUp.preset("400_M2").window(100)
    write_night(folder, setup=setup, n_bias=2, n_flat=2, n_arc=1, n_science=1, proposals=["P"])
    return folder


def test_help_names_every_command_with_a_sentence():
    done = run("--help")
    assert done.returncode == 0
    for name in ("reduce", "live", "info", "why", "calibrations", "replay", "simulate", "demo"):
        assert re.search(rf"\n    {name}\s", done.stdout)
        help_ = run(name, "--help")
        assert help_.returncode == 0 and help_.stdout.startswith(f"usage: goodman-live {name}")


def test_wrong_usage_and_missing_folders_are_told_in_a_line_with_code_2(tmp_path, capsys):
    for arguments in (
        (),
        ("reduce", tmp_path),
        ("reduce", tmp_path / "none", "--output", tmp_path / "out"),
        ("reduce", tmp_path, "--output", tmp_path / "out"),
        ("replay", tmp_path / "none", "--into", tmp_path),
        ("replay", tmp_path, "--into", tmp_path, "--pieces", "0"),
        ("live", "--incoming", tmp_path / "none", "--archive", tmp_path / "archive"),
        ("live", "--incoming", tmp_path, "--archive", tmp_path / "archive"),
        ("info", tmp_path / "none.fits"),
        ("why", tmp_path / "none.fits"),
        ("why", "none.fits", "--archive", tmp_path),
        ("calibrations", tmp_path / "none"),
        ("calibrations", "yesterday", "--archive", tmp_path),
        ("replay", tmp_path, "--into", tmp_path / "empty"),
        ("simulate", tmp_path, "--mode", "400_M9"),
        ("simulate", tmp_path, "--night", "2026"),
        ("live", "--incoming", tmp_path, "--archive", tmp_path / "a", "--port", "99999"),
    ):
        done = run_here(capsys, *arguments)
        assert done.returncode == 2, arguments
        assert "Traceback" not in done.stderr and done.stderr.strip()
        assert done.stdout == ""
    done = run("reduce", tmp_path / "none", "--output", tmp_path / "out")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_a_folder_that_cannot_be_written_is_told_in_a_line(night, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("a file")
    (tmp_path / "in").mkdir()
    for arguments in (
        ("reduce", night, "--output", taken),
        ("live", "--incoming", tmp_path / "in", "--archive", taken / "archive"),
        ("replay", night, "--into", taken),
        ("simulate", taken),
    ):
        done = run(*arguments)
        assert done.returncode == 2 and done.stdout == "", arguments
        assert len(done.stderr.strip().splitlines()) == 1 and "must be a folder" in done.stderr


def test_wrong_settings_are_told_with_what_is_allowed(night, tmp_path):
    settings = tmp_path / "settings.json"
    for text in ('{"min_bias_files": 0.5}', '{"no_such": 1}', "not JSON", "[]"):
        settings.write_text(text)
        done = run("reduce", night, "--output", tmp_path / "out", "--settings", settings)
        assert done.returncode == 2 and "Traceback" not in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_reduce_prints_products_and_reasons_and_leaves_no_index(night, tmp_path):
    settings = tmp_path / "settings.json"
    settings.write_text(json.dumps({"min_bias_files": 2, "min_flat_files": 3}))
    out = tmp_path / "out"
    done = run("reduce", night, "--output", out, "--settings", settings, "--jobs", "2")
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress bar where there is no terminal"
    products = [p.name for p in out.rglob("*.fits")]
    lines = done.stdout.splitlines()
    assert sorted(products) == sorted(line.split()[0] for line in lines if line[0] in "wczfmto")
    assert any("of 3 flats for a master are there" in line for line in lines)
    assert sorted(p.name for p in out.iterdir()) == ["CALIBRATIONS", "REDUCED"]


def test_reduce_ends_with_code_1_if_a_file_fails(night, tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    (folder / "bad.fits").write_text("no FITS")
    shutil.copy(next(night.glob("*_bias.fits")), folder)
    done = run("reduce", folder, "--output", tmp_path / "out")
    assert done.returncode == 1
    assert "bad.fits  FAILED: bad.fits must be a FITS file" in done.stdout
    assert "Traceback" not in done.stderr


def test_products_inside_the_night_are_not_taken_for_raw_frames(night, tmp_path):
    folder = tmp_path / "night"
    shutil.copytree(night, folder, ignore=shutil.ignore_patterns("truth*", "*quartz*"))
    for out in (folder, folder / "out"):
        for _ in range(2):
            done = run("reduce", folder, "--output", out)
            assert done.returncode == 0, done.stdout
        assert list((out / "REDUCED").iterdir())
        shutil.rmtree(out / "REDUCED")


def test_a_terminal_shows_progress(night, tmp_path):
    ours, theirs = pty.openpty()
    folder = tmp_path / "night"
    folder.mkdir()
    for path in night.glob("*_comp.fits"):
        shutil.copy(path, folder)
    command = [*COMMAND, "reduce", str(folder), "--output", str(tmp_path / "out")]
    subprocess.run(command, stderr=theirs, stdout=subprocess.DEVNULL, check=True)
    shown = os.read(ours, 10_000).decode()
    os.close(ours)
    os.close(theirs)
    assert "1 of 1" in shown and shown.endswith("\r\x1b[K")


def test_replay_copies_a_night_in_the_order_of_time(night, tmp_path):
    done = run("replay", night, "--into", tmp_path / "in", "--speed", "0", "--pieces", "3")
    assert done.returncode == 0
    copied = [line.split()[1] for line in done.stdout.splitlines()]
    assert copied == sorted(p.name for p in night.glob("*.fits"))
    for path in night.glob("*.fits"):
        assert (tmp_path / "in" / path.name).read_bytes() == path.read_bytes()


def test_replay_keeps_the_pace_and_ends_on_ctrl_c(night, tmp_path):
    command = [*COMMAND, "replay", str(night), "--into", str(tmp_path / "in"), "--max-gap", "30"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    child.stdout.readline()
    time.sleep(0.5)
    child.send_signal(signal.SIGINT)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 130 and out == ""


def test_simulate_writes_what_was_asked_for(tmp_path):
    arguments = ("--frames", 1, "--bias", 1, "--flats", 0, "--arcs", 1, "--rows", 40)
    done = run("simulate", tmp_path / "a", "--mode", "930_M2", *arguments, "--seed", 5)
    assert done.returncode == 0 and "frames of 20260315" in done.stdout
    run("simulate", tmp_path / "b", "--mode", "930_M2", *arguments, "--seed", 5)
    names = sorted(p.name for p in (tmp_path / "a").glob("*.fits"))
    assert len(names) == 4
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_info_says_what_a_frame_is_and_what_it_needs(night, tmp_path):
    science = next(p for p in night.glob("*.fits") if "SPECTRUM" in str(p.read_bytes()[:30000]))
    done = run("info", science)
    assert done.returncode == 0, done.stderr
    assert "kind       spectrum (spectroscopy; OBSTYPE SPECTRUM" in done.stdout
    assert "\narc: 1 chosen" in done.stdout
    assert "2 of 10 biases for a master are there" in done.stdout
    settings = tmp_path / "two.json"
    settings.write_text('{"min_bias_files": 2, "min_flat_files": 2}')
    done = run("info", science, "--settings", settings)
    for kind, n in (("bias", 2), ("flat", 2), ("arc", 1)):
        assert f"\n{kind}: {n} chosen" in done.stdout


def test_info_says_why_a_calibration_does_not_serve(night, tmp_path):
    other = tmp_path / "other"
    setup = SetUp.preset("930_M2").window(40)
    write_night(other, setup=setup, n_bias=1, n_flat=1, n_arc=1, n_science=0, proposals=["P"])
    science = next(p for p in night.glob("*.fits") if "SPECTRUM" in str(p.read_bytes()[:30000]))
    done = run("info", science, "--night", other)
    assert done.returncode == 0
    assert "needs a bias with camera Red" in done.stdout
    assert "1 not chosen: its camera is Blue, not Red" in done.stdout


# Why, and what is missing


@pytest.fixture(scope="module")
def few(tmp_path_factory):
    """Settings by which two frames make a master."""
    path = tmp_path_factory.mktemp("settings") / "few.json"
    path.write_text(json.dumps({"min_bias_files": 2, "min_flat_files": 3}))
    return path


@pytest.fixture(scope="module")
def reduced(night, few, tmp_path_factory):
    """An archive of that night, with its products."""
    from goodman_live.catalog import Archive
    from goodman_live.engine import Engine, archive_raw
    from goodman_live.pool import WorkerPool
    from goodman_live.recipes import ReductionSettings

    root = tmp_path_factory.mktemp("archive")
    archive = Archive(root)
    paths = [archive_raw(archive, path)[0] for path in sorted(night.glob("*.fits"))]
    settings = ReductionSettings(**json.loads(few.read_text()))
    with WorkerPool(1) as pool, Engine(archive, settings, pool, rebuild_seconds=0) as engine:
        assert {f.state for f in engine.reduce(paths)} <= {"done", "provisional", "new"}
    archive.close()
    return root


def test_why_tells_the_same_of_a_frame_and_its_products_in_folders_and_archives(
    night, few, reduced, capsys
):
    (science,) = night.glob("*_SN2026abc.fits")
    in_folder = run_here(capsys, "why", science, "--settings", few)
    assert in_folder.returncode == 0, in_folder.stderr
    lines = in_folder.stdout.splitlines()
    assert lines[0].startswith(f"{science.name}  spectrum, 400_M2")
    assert "bias: 2 chosen, the best first" in lines
    assert any(line.startswith("  2 chosen: same night") for line in lines)
    assert (
        f"flat: {science.name} needs a master flat; 2 of 3 flats for a master are there." in lines
    )
    assert any(line.startswith("  1 chosen: same block, ") for line in lines)
    product = next(reduced.glob(f"*/REDUCED/w*_{science.stem}_*.fits"))
    for asked in (science.name, product.name, product):
        done = run_here(capsys, "why", asked, "--archive", reduced, "--settings", few)
        assert done.stdout == in_folder.stdout, done.stderr
    done = run_here(capsys, "why", product, "--settings", few)
    assert done.stdout == in_folder.stdout, "the product's night is looked through"
    master = next(reduced.glob("*/CALIBRATIONS/master_bias*.fits"))
    done = run_here(capsys, "why", master, "--archive", reduced)
    assert done.stdout.splitlines()[-1] == "It needs no calibration."


def test_calibrations_of_a_night_are_a_table_or_json(night, few, reduced, capsys):
    (science,) = night.glob("*_SN2026abc.fits")
    for arguments in ((night,), ("20260315", "--archive", reduced)):
        done = run_here(capsys, "calibrations", *arguments, "--settings", few)
        assert done.returncode == 0, done.stderr
        head, row, tell = done.stdout.splitlines()
        assert head.split() == ["night", "20260315", "frames", "bias", "flat", "arc"]
        assert re.split(r"\s{2,}", row)[-3:] == ["have 2", "building 2 of 3", "have 1"]
        assert tell.startswith("Take 1 more flat with camera Red, binning 2x2")
    done = run_here(capsys, "calibrations", night, "--json")
    ((found,),) = json.loads(done.stdout).values()
    assert found["frames"] == [science.name]
    assert [need["state"] for need in found["needs"]] == ["building", "building", "have"]
    assert (
        run_here(capsys, "calibrations", "20200101", "--archive", reduced).stdout
        == "No science frames.\n"
    )


def test_live_reduces_what_comes_and_ends_cleanly_on_sigterm(night, tmp_path):
    (tmp_path / "in").mkdir()
    command = [*COMMAND, "live", "--incoming", tmp_path / "in", "--archive", tmp_path / "archive"]
    command = [*map(str, command), "--no-dashboard", "--jobs", "1"]
    child = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    assert child.stdout.readline().startswith("Watching")
    shutil.copy(next(night.glob("*_comp.fits")), tmp_path / "in")
    assert "_comp" in child.stdout.readline()
    child.terminate()
    out, err = child.communicate(timeout=120)
    assert (child.returncode, err) == (0, "")
    assert out.endswith("Ended.\n")
    assert ends(child.pid)


def test_workers_do_not_outlive_a_killed_command(tmp_path):
    (tmp_path / "in").mkdir()
    command = [*COMMAND, "live", "--incoming", tmp_path / "in", "--archive", tmp_path / "archive"]
    child = subprocess.Popen(
        [*map(str, command), "--no-dashboard", "--jobs", "2"],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    child.stdout.readline()
    time.sleep(4)
    child.kill()
    child.wait()
    child.stdout.close()
    assert ends(child.pid)


def test_the_page_does_not_outlive_a_killed_command(tmp_path):
    pytest.importorskip("voila", reason="the live page needs the extra 'dashboards'")
    (tmp_path / "in").mkdir()
    command = [*COMMAND, "live", "--incoming", tmp_path / "in", "--archive", tmp_path / "archive"]
    child = subprocess.Popen(
        [*map(str, command), "--port", "0", "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    told = [child.stdout.readline(), child.stdout.readline()]
    child.kill()
    child.wait()
    address = re.search(r"127\.0\.0\.1:(\d+)", told[1])
    assert address and wait_until_closed(int(address[1]))
    child.stdout.close()


def wait_until_closed(port, seconds=60):
    """Whether nobody listens at a port of this machine any more."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)):
                return True
        time.sleep(0.1)
    return False
