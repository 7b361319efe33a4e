"""The picker of spectra to lay over another: what it offers, and what comes of a choice."""

from __future__ import annotations

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

import numpy as np

from goodman_live.catalog import CALIBRATED, Archive
from goodman_live.io import read_info
from goodman_live.widgets.spectrum import SpectrumView
from goodman_live.widgets.spectrum_data import SpectrumData
from goodman_live.widgets.spectrum_overlays import Overlays, choices_of, level_of, others_of

from .making import add_raw, add_spectrum, spectrum_table


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


def test_spectra_of_the_same_frame_come_first_then_the_newest_of_the_proposal(archive):
    raws = [add_raw(archive, number) for number in range(4)]
    rows = [add_spectrum(archive, raw) for raw in raws]
    path = archive.path(rows[1])
    second = path.with_name(path.name.replace(".fits", "_ws_2.fits"))
    second.write_bytes(path.read_bytes())
    info = read_info(archive.path(raws[1]))
    twin = archive.add_product(second, CALIBRATED, info, original_id=raws[1].id)
    others = others_of(archive, rows[1])
    assert [row.id for row in others["This frame"]] == [twin.id]
    (newest,) = (rows for name, rows in others.items() if name.startswith("Newest of"))
    assert [row.id for row in newest] == [rows[3].id, rows[2].id, rows[0].id]
    assert choices_of(others)[0][1] == twin.id
    assert choices_of(others)[-1][1:] == [rows[0].id, f"SN 2024x · {rows[0].file_name}"]


def test_one_that_is_picked_is_laid_over_and_one_that_is_gone_is_said(archive):
    rows = [add_spectrum(archive, add_raw(archive, number)) for number in range(3)]
    view = SpectrumView(tools=True)
    view.show(spectrum_table(), file_name="mine.fits")
    view.offer(archive, rows[0])
    assert [number for _, number, _ in view.tools.offered] == [rows[2].id, rows[1].id]
    view.tools.chosen = rows[2].id
    assert view.tools.chosen == 0  # the same can be picked again
    assert [name for name, _ in view.tools.overlays] == [rows[2].file_name]
    assert len(view._plot.over.data["xs"]) == 1
    archive.path(rows[1]).unlink()
    view.tools.chosen = rows[1].id
    assert len(view.tools.overlays) == 1 and view.tools.message
    view.tools.chosen = 999  # was never offered
    assert len(view.tools.overlays) == 1


def test_of_another_proposal_none_is_offered(archive):
    mine = add_spectrum(archive, add_raw(archive, 0))
    assert others_of(archive, mine) == {} and choices_of({}) == []


def test_a_level_is_taken_where_both_have_light_and_is_none_without_any():
    mine = SpectrumData.from_table(spectrum_table())
    table = spectrum_table()
    table["flux"] = table["flux"] * 3
    table["flux"][200:] = table["flux"][200:] * 50  # beyond the range of the other
    half = mine.between(0, float(mine.wavelength[199]))
    assert level_of(half, SpectrumData.from_table(table)) == pytest.approx(1 / 3)
    table["mask"] = 1
    assert level_of(mine, SpectrumData.from_table(table)) == 1.0
    nothing = spectrum_table()
    nothing["flux"] = nothing["flux"] * -1
    assert level_of(mine, SpectrumData.from_table(nothing)) == 1.0  # not upside down


def test_overlays_keep_their_order_and_colours_and_gaps():
    overlays = Overlays()
    for name in ("one", "two"):
        overlays.add(name, spectrum_table())
    curves = overlays.curves(None, "adu", 1, "dark", level=True)
    assert [name for name, _ in overlays.names("dark")] == ["one", "two"]
    assert curves["colour"] == [colour for _, colour in overlays.names("dark")]
    assert len(set(curves["colour"])) == 2
    assert np.flatnonzero(np.isnan(curves["ys"][0])).tolist() == [7, 9]
    assert overlays.drop("one") and not overlays.drop("one")
    assert [name for name, _ in overlays.names("light")] == ["two"]
