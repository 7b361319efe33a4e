"""What people decide while an engine works: settings, products taken away, frames given away."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime

import pytest
from engines import KINDS, Live, all_done, copy, raw_row, science_of, spectra, states

from goodman_live.catalog import REDUCED, Archive
from goodman_live.catalog.database import iso, writing
from goodman_live.people import proposals, words
from goodman_live.simulate import SetUp, write_night


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    """3 bias, 3 flat, 1 acquisition, 2 science and 2 arc frames of one proposal."""
    folder = tmp_path_factory.mktemp("night")
    setup = SetUp.preset("400_M2").window(60)
    counts = {"n_bias": 3, "n_flat": 3, "n_arc": 2, "n_science": 2}
    write_night(folder, setup=setup, proposals=["SOAR2026A-012"], **counts)
    return folder


@pytest.fixture
def incoming(tmp_path):
    folder = tmp_path / "incoming"
    folder.mkdir()
    return folder


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


def choose(archive, soar_id, values):
    now = iso(datetime.now(UTC))
    with writing(archive.database) as connection:
        if soar_id and not proposals.listed(connection):
            proposals.add(connection, now, soar_id, {})
        words.save_settings(connection, now, soar_id, values, "somebody")


def last_run(archive, name):
    return archive.runs(raw_row(archive, name).id)[0]


def reduce_all(night, incoming, archive, pool, n=11):
    """Let a whole night come; the engine that reduced it is idle, and runs."""
    for path in sorted(night.glob("*.fits")):
        shutil.copy(path, incoming)
    live = Live(archive, incoming, pool)
    live.wait_for(lambda: all_done(archive, n) and live.is_idle())
    return live


def test_frames_are_reduced_by_what_their_proposal_chose_when_they_came(
    night, incoming, archive, pool
):
    first, second = science_of(night)
    choose(archive, None, {"ignore_bias": True})
    choose(archive, "SOAR2026A-012", {"ignore_flats": True})
    shutil.copy(first, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 1))
        run = last_run(archive, first.name)
        both = {"ignore_bias": True, "ignore_flats": True}
        assert run.settings == {**both, **live.engine.settings.changed()}
        assert json.loads(run.plan)["chosen"] == both
        choose(archive, "SOAR2026A-012", {"ignore_flats": True, "ignore_bias": False})
        shutil.copy(second, incoming)
        live.wait_for(lambda: all_done(archive, 2))
        assert json.loads(last_run(archive, second.name).plan)["chosen"] == {
            "ignore_bias": False,
            "ignore_flats": True,
        }
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: live.engine.status.state == "running")
        assert live.is_idle() and live.finished == []
        assert last_run(archive, first.name).id == run.id, "what is done stays as it is"


def test_masters_are_made_by_what_the_site_chose_when_their_first_frame_came(
    night, incoming, archive, pool
):
    first, second, third = sorted(night.glob(KINDS["bias"]))
    choose(archive, "SOAR2026A-012", {"min_bias_files": 5})
    choose(archive, None, {"min_bias_files": 2, "combine_method": "median"})
    for path in (first, second):
        shutil.copy(path, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: len(archive.masters()) == 1 and live.finished)
    run = next(run for run in archive.runs() if run.file_id is None)
    assert run.settings["combine_method"] == "median" and run.state == "done"
    choose(archive, None, {"min_bias_files": 3})
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: live.engine.status.state == "running")
        assert live.is_idle() and live.finished == []
        shutil.copy(third, incoming)
        live.wait_for(lambda: live.finished)
    run = next(run for run in archive.runs() if run.file_id is None)
    assert run.settings["combine_method"] == "median", "as its first frames were"


def test_choices_that_no_longer_hold_stop_no_engine(night, incoming, archive, pool):
    from goodman_live.people.schema import SETTINGS

    (first, _) = science_of(night)
    row = {"content": {"min_bias_files": -7, "gone": 1}, "author": "x", "time": "2020"}
    with writing(archive.database) as connection:
        connection.execute(SETTINGS.insert().values(row))
    shutil.copy(first, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: states(archive).get(first.name) == "provisional")
    assert last_run(archive, first.name).settings == {"min_bias_files": 3, "min_flat_files": 3}


def test_a_master_that_somebody_took_away_is_made_again_only_when_frames_come_to_it(
    night, incoming, archive, pool
):
    arc, last = sorted(night.glob(KINDS["arc"]))[0], sorted(night.glob(KINDS["bias"]))[2]
    options = {"settings": {"min_bias_files": 2, "min_flat_files": 9}}
    for path in sorted(night.glob(KINDS["bias"]))[:2]:
        shutil.copy(path, incoming)
    shutil.copy(arc, incoming)
    with Live(archive, incoming, pool, **options) as live:
        live.wait_for(lambda: all_done(archive, 3) and live.is_idle())
        (master,) = archive.masters()
        with_bias = last_run(archive, arc.name)
        archive.delete_product(master)
        live.wait_for(lambda: last_run(archive, arc.name).id > with_bias.id)
        live.wait_for(live.is_idle)
        assert json.loads(last_run(archive, arc.name).plan)["bias"] == ""
        assert archive.masters() == []
    with Live(archive, incoming, pool, **options) as live:
        live.wait_for(lambda: live.engine.status.state == "running")
        assert live.finished == [] and archive.masters() == []
        archive.restore_product(master.id)
        live.wait_for(lambda: json.loads(last_run(archive, arc.name).plan)["bias"])
        live.wait_for(live.is_idle)
        assert [row.id for row in archive.masters()] == [master.id]
        archive.delete_product(master)
        live.wait_for(lambda: not json.loads(last_run(archive, arc.name).plan)["bias"])
        shutil.copy(last, incoming)
        live.wait_for(lambda: len(archive.masters()) == 1 and live.is_idle())


def test_an_arc_that_somebody_took_away_serves_no_more_until_it_is_brought_back(
    night, incoming, archive, pool
):
    science = science_of(night)[0]
    with reduce_all(night, incoming, archive, pool) as live:
        used = json.loads(last_run(archive, science.name).plan)["arcs"]
        row = archive.find(archive.root / used[0])
        assert row.data_type == REDUCED
        archive.delete_product(row)
        live.wait_for(
            lambda: used[0] not in json.loads(last_run(archive, science.name).plan)["arcs"]
        )
        live.wait_for(live.is_idle)
        assert archive.find(archive.root / used[0]) is None, "made again at once"
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: live.engine.status.state == "running")
        assert live.is_idle() and live.finished == []
        archive.restore_product(row.id)
        live.wait_for(lambda: used[0] in json.loads(last_run(archive, science.name).plan)["arcs"])
        live.wait_for(live.is_idle)
    assert states(archive)[science.name] == "done"


def test_an_arc_whose_product_is_lost_is_reduced_again_and_science_does_not_wait_for_ever(
    night, incoming, archive, pool
):
    science, late = science_of(night)
    copy(night, KINDS["arc"], incoming)
    shutil.copy(science, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 3) and live.is_idle())
    lost = [
        archive.root / name for name in json.loads(last_run(archive, science.name).plan)["arcs"]
    ]
    for path in lost:
        path.unlink()
    shutil.copy(late, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 4) and live.is_idle())
    assert lost and all(path.exists() for path in lost)
    assert "No arc" not in spectra(archive, late.name)[0].message


def test_a_frame_that_is_given_to_another_proposal_loses_the_arcs_of_the_first(
    night, incoming, archive, pool
):
    science, arc = science_of(night)[0], sorted(night.glob(KINDS["arc"]))[0]
    for path in (science, arc):
        shutil.copy(path, incoming)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: all_done(archive, 2) and live.is_idle())
        assert json.loads(last_run(archive, science.name).plan)["arcs"]
        archive.assign(raw_row(archive, science.name).id, "SOAR2026A-077")
        live.wait_for(lambda: not json.loads(last_run(archive, science.name).plan)["arcs"])
        live.wait_for(live.is_idle)
    with Live(archive, incoming, pool) as live:
        live.wait_for(lambda: live.engine.status.state == "running")
        assert live.is_idle() and live.finished == []
    assert {row.proposal for row in spectra(archive, science.name)} == {"SOAR2026A-077"}
