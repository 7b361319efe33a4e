"""What the explorer draws is what the recipes extract with the settings it shows."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from blocks.made_frames import star

from goodman_live import io
from goodman_live.answers import Job
from goodman_live.catalog import CALIBRATED
from goodman_live.catalog.index import index_archive
from goodman_live.errors import NotFound, Refused
from goodman_live.recipes import ReductionSettings, reduce_spectrum, solve_along
from goodman_live.simulate import simulate_spectrum
from goodman_live.widgets import extraction
from goodman_live.widgets.extraction import ExtractionExplorer
from goodman_live.widgets.reduced_frame import ReducedFrame
from goodman_live.widgets.trials import Desk, settings_at

from .extractable import ROW, SETTINGS, SETUP, fill_archive, reduce_one

SECOND, SECOND_ELECTRONS = 95.0, 400.0


@pytest.fixture(scope="module")
def reduced():
    return *reduce_one(), SETTINGS


@pytest.fixture(scope="module")
def frame(reduced):
    _, (_, arc), products, settings = reduced
    return ReducedFrame(products.image, (arc.image,), settings)


@pytest.fixture(scope="module")
def the_explorer(frame):
    explorer = ExtractionExplorer(frame)
    return explorer, explorer.desk.state()


@pytest.fixture
def explorer(the_explorer):
    """One explorer for all tests, as it was at first."""
    explorer, first = the_explorer
    explorer.reference = None
    if explorer.desk.state() != first:
        explorer._reference_state = first
        explorer.back()
    return explorer


@pytest.fixture(scope="module")
def with_second(reduced):
    """The frame with a second object on it, of known light, that the settings leave out."""
    _, (_, arc), products, settings = reduced
    image = products.image.copy()
    trace = Desk(ReducedFrame(image, (arc.image,), settings)).trace
    rows = trace.rows_in(image) - trace.rows_in(image)[image.shape[1] // 2] + SECOND
    fwhm = trace.fwhm / 2
    image.data = image.data + star(image.shape, rows, fwhm, SECOND_ELECTRONS).astype(np.float32)
    return ReducedFrame(image, (arc.image,), settings)


def same(one, other):
    for name in ("wavelength", "flux", "uncertainty", "sky", "mask"):
        np.testing.assert_array_equal(np.asarray(one[name]), np.asarray(other[name]), err_msg=name)


def deed(part, **what):
    part.deed = {**what, "count": part.deed.get("count", 0) + 1}


def drag(explorer, what, value, side=1, *, both=True):
    count = explorer.profile.answered + 1
    explorer.profile.drag = {
        "what": what, "side": side, "value": value, "both": both, "count": count,
    }  # fmt: skip
    assert explorer.profile.answered == count


def pick(explorer, row):
    explorer.profile.pick = {"row": row, "count": explorer.profile.pick.get("count", 0) + 1}


# Extracting


def test_the_explorer_begins_with_the_spectrum_of_the_recipe(reduced, explorer):
    _, _, products, _ = reduced
    same(explorer.trial.extracted.spectrum.table, products.spectra[0].table)
    assert explorer.trial.extracted.spectrum.name == products.spectra[0].name
    assert explorer.spectra.head.drawn > 0
    assert explorer.trial.header["GSP_WSTA"] == "calibrated"


def test_a_setting_redraws_the_spectrum_with_what_the_recipe_makes_of_it(reduced, explorer):
    raw, (_, arc), _, settings = reduced
    explorer.form.change(extraction_type="optimal", extraction_width=3.5, background_order=2)
    expected = reduce_spectrum(raw, arcs=[arc.image], settings=explorer.settings)
    same(explorer.trial.extracted.spectrum.table, expected.spectra[0].table)
    drawn = np.asarray(explorer.spectra._now.data["y"])
    assert np.nanmedian(drawn) == pytest.approx(np.nanmedian(explorer.trial.data.line()))
    assert explorer.settings.changed() == settings.changed() | {
        "extraction_type": "optimal", "extraction_width": 3.5, "background_order": 2,
    }  # fmt: skip


def test_lines_on_the_profile_are_where_the_light_was_taken(explorer):
    fwhm = explorer.desk.trace.fwhm / 2
    assert explorer.profile.centre == pytest.approx(ROW, abs=0.5)
    assert explorer.profile.aperture == pytest.approx([1.25 * fwhm] * 2, abs=0.01)
    assert explorer.profile.inner == pytest.approx([3 * fwhm] * 2, abs=0.01)
    assert explorer.profile.outer == pytest.approx([7 * fwhm] * 2, abs=0.01)
    rows, light = np.array(explorer.profile.rows), np.array(explorer.profile.light)
    assert rows[light.argmax()] == pytest.approx(ROW, abs=1)


@pytest.mark.parametrize(
    "what, value, name",
    [
        ("aperture", 8.0, "extraction_width"),
        ("inner", 14.0, "background_distance"),
        ("outer", 30.0, "background_width"),
    ],
)
def test_a_dragged_line_changes_its_setting_and_lies_there_afterwards(explorer, what, value, name):
    before = explorer.settings.to_dict()
    drag(explorer, what, value)
    assert getattr(explorer.profile, what) == pytest.approx([value, value], abs=0.05)
    now = explorer.settings.to_dict()
    assert {key for key in now if now[key] != before[key]} == {name}
    assert explorer.form.fields.values[name] == now[name]


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("what, value", [("aperture", 9.0), ("inner", 14.0), ("outer", 32.0)])
def test_one_edge_can_be_dragged_and_all_others_stay(explorer, what, side, value):
    names = ("aperture", "inner", "outer")
    before = {name: list(getattr(explorer.profile, name)) for name in names}
    drag(explorer, what, value, side, both=False)
    expected = {name: list(edges) for name, edges in before.items()}
    expected[what][side > 0] = value
    if what == "inner":  # the zone keeps its width
        expected["outer"][side > 0] += value - before["inner"][side > 0]
    now = {name: getattr(explorer.profile, name) for name in names}
    for name in names:
        assert now[name] == pytest.approx(expected[name], abs=0.1), name
    low, high = (float(edge) for edge in explorer.trial.header["GSP_EXTR"].split(":"))
    assert high - low == pytest.approx(2 * sum(now["aperture"]), abs=0.05)
    drag(explorer, what, value, side, both=True)
    assert getattr(explorer.profile, what) == pytest.approx([value, value], abs=0.1)
    assert explorer.settings.extraction_offset == 0
    assert explorer.settings.background_distance_above == 0


def test_edges_of_any_kind_are_kept_within_what_is_allowed(explorer):
    fwhm, zones = explorer.desk.trace.fwhm / 2, explorer.trial.zones
    for what in ("aperture", "inner", "outer"):
        for side in (-1, 1):
            for distance in (0.0, 1e4):
                found = settings_at(
                    explorer.settings, zones, fwhm, (what, side), distance, both=False
                )
                values = explorer.settings.to_dict() | found
                assert ReductionSettings(**values).to_dict() == values


def test_a_line_dragged_beyond_what_is_allowed_stays_at_the_limit(explorer):
    drag(explorer, "aperture", 0.0)
    assert explorer.settings.extraction_width == 0.5
    drag(explorer, "outer", 0.0)
    assert explorer.settings.background_width == 0.5


@pytest.mark.parametrize("row", [0.0, 900.0])
def test_an_object_may_be_dragged_to_the_edge(explorer, row):
    drag(explorer, "centre", row)
    assert 0 <= explorer.profile.centre <= explorer.desk.frame.image.shape[0] - 1
    assert explorer.objects.is_moved
    deed(explorer.objects, centre=True)
    assert explorer.profile.centre == pytest.approx(ROW, abs=0.5)


# Objects


def test_an_object_that_somebody_points_at_borrows_the_trace(with_second):
    explorer = ExtractionExplorer(with_second)
    pick(explorer, SECOND + 0.7)
    assert explorer.objects.places == [f"row {ROW:.1f}", f"row {SECOND + 0.7:.1f}, pointed at"]
    deed(explorer.objects, centre=True)
    assert explorer.profile.centre == pytest.approx(SECOND, abs=0.15)
    data = explorer.trial.data
    # An aperture of 2.5 FWHM holds 98 % of a Gaussian and less of what is blurred.
    assert np.median(data.flux[data.good]) == pytest.approx(SECOND_ELECTRONS, rel=0.05)
    assert explorer.trial.header["GSP_TNPT"] == 0


def test_a_click_on_the_image_follows_the_slope_of_the_trace(with_second):
    explorer = ExtractionExplorer(with_second)
    rows = explorer.desk.trace.rows_in(with_second.image)
    middle = with_second.image.shape[1] // 2
    explorer.image.tapped = (100.0, SECOND + float(rows[100] - rows[middle]))
    assert explorer.profile.centre == pytest.approx(SECOND, abs=0.1)
    explorer.image.tapped = (100.0, float(rows[100]))
    assert explorer.desk.chosen == 0
    explorer.image.tapped = (100.0, 5000.0)
    assert len(explorer.objects.places) == 2


def test_who_was_pointed_at_can_be_removed_and_the_found_one_cannot(explorer):
    pick(explorer, 20.0)
    deed(explorer.objects, remove=True)
    deed(explorer.objects, remove=True)
    assert (len(explorer.objects.places), explorer.desk.chosen) == (1, 0)


def test_a_frame_without_an_object_can_be_pointed_at(reduced):
    raw, _ = simulate_spectrum(SETUP, magnitude=np.inf, seed=5)
    settings = ReductionSettings(cosmic_ray_rejection="none")
    image = reduce_spectrum(raw, settings=settings).image
    explorer = ExtractionExplorer(ReducedFrame(image, (reduced[1][1].image,), settings))
    pick(explorer, 30.0)
    assert explorer.profile.centre == pytest.approx(30.0, abs=0.1)
    assert abs(explorer.trial.signal_to_noise) < 1


def test_wavelengths_along_a_new_trace_follow_when_there_is_quiet(explorer):
    async def live():
        pick(explorer, 26.0)
        at_once, refining = explorer.trial, explorer.spectra.head.refining
        async with asyncio.timeout(180):
            while not explorer.trial.is_final:
                await asyncio.sleep(0.05)
        return at_once, refining

    at_once, refining = asyncio.run(live())
    assert refining and not at_once.is_final
    assert explorer.trial.is_final and not explorer.spectra.head.refining
    frame = explorer.desk.frame
    solved = solve_along(frame.image, explorer.trial.trace, frame.arcs, explorer.settings)
    assert explorer.trial.header["GSP_LAMP"] == solved.names[0]
    moved = explorer.trial.data.wavelength - at_once.data.wavelength
    assert 0 < np.abs(moved).max() < 10


def test_settings_of_other_blocks_reach_the_objects_and_the_wavelengths(with_second):
    desk = Desk(with_second)
    assert len(desk.found) == 1
    one = desk.trial()
    desk.settings = ReductionSettings(**desk.settings.to_dict() | {"max_targets": 3})
    assert len(desk.found) == 2
    values = desk.settings.to_dict() | {"max_targets": 1, "wavelength_order": 0}
    desk.settings = ReductionSettings(**values)
    assert np.abs(desk.trial().data.wavelength - one.data.wavelength).max() > 0.1


# Comparing


def test_a_reference_is_kept_and_compared(explorer):
    first = explorer.trial
    deed(explorer.deeds, keep=True)
    explorer.form.change(extraction_width=5.0)
    assert explorer.deeds.differs == [["Extraction width", "2.5", "5.0"]]
    assert explorer.deeds.kept == f"S/N {first.signal_to_noise:.2f}"
    assert explorer.deeds.now == f"S/N {explorer.trial.signal_to_noise:.2f}"
    assert explorer.trial.signal_to_noise < first.signal_to_noise
    difference = explorer.trial.data.line() - first.data.line()
    np.testing.assert_allclose(explorer.spectra._difference.data["y"], difference, atol=1e-9)
    assert explorer.spectra._lower.visible


def test_one_can_go_back_to_the_reference(explorer):
    deed(explorer.deeds, keep=True)
    kept = explorer.trial
    explorer.form.change(extraction_width=5.0, trace_order=1)
    pick(explorer, 20.0)
    deed(explorer.deeds, back=True)
    same(explorer.trial.extracted.spectrum.table, kept.extracted.spectrum.table)
    assert explorer.deeds.differs == []
    assert explorer.form.fields.values["extraction_width"] == 2.5
    deed(explorer.deeds, forget=True)
    assert explorer.deeds.kept == "" and not explorer.spectra._lower.visible


def test_moving_an_object_is_a_difference_too(explorer):
    deed(explorer.deeds, keep=True)
    drag(explorer, "centre", ROW + 3)
    ((name, old, new),) = explorer.deeds.differs
    assert name == "Object" and "moved" in new and "moved" not in old


# Taking it away


def test_the_copied_code_makes_the_same_spectrum(with_second, tmp_path):
    paths = tmp_path / "image.fits", tmp_path / "arc.fits"
    io.write_image(with_second.image, paths[0])
    io.write_image(with_second.arcs[0], paths[1])
    arcs = (io.read_image(paths[1]),)
    frame = replace(with_second, image=io.read_image(paths[0]), arcs=arcs, paths=paths)
    explorer = ExtractionExplorer(frame)
    drag(explorer, "centre", ROW + 0.5)
    explorer.form.change(extraction_type="optimal", trace_order=2)
    pick(explorer, SECOND)
    names: dict = {}
    exec(explorer.deeds.code, names)
    same(names["spectrum"].table, explorer.trial.extracted.spectrum.table)


class Elsewhere:
    """A keeper whose jobs take a while, and end as they are told."""

    def __init__(self, *states):
        self.states, self.asked, self.cancelled = list(states), [], False

    def extract(self, row, changed, moved, added):
        self.asked.append((row, changed, moved, added))
        return Job(7, self.states.pop(0))

    def wait(self, job, timeout):
        return Job(7, self.states.pop(0), progress="extracting")

    def cancel(self, job):
        self.cancelled = True

    def told(self, job):
        if job.state == "failed":
            raise Refused("There is no room.")
        return "Saved as version 2."


@pytest.fixture
def kept(frame):
    """The frame as if it were in an archive."""
    return replace(frame, row="the row")


def test_what_is_saved_is_what_differs_from_the_reduction(kept):
    keeper, defaults = Elsewhere("done"), []
    explorer = ExtractionExplorer(kept, keeper=keeper, make_default=defaults.append)
    explorer.form.change(extraction_width=3.0)
    drag(explorer, "centre", ROW + 2)
    pick(explorer, 20.0)
    deed(explorer.deeds, save=True)
    ((row, changed, moved, added),) = keeper.asked
    assert (row, changed) == ("the row", {"extraction_width": 3.0})
    assert moved == {0: pytest.approx(4.0, abs=1.1)}
    geometry = explorer.desk.geometry
    assert added == [pytest.approx(float(geometry.rows_to_detector(20.0)), abs=0.01)]
    assert explorer.deeds.message == "Saved as version 2."
    deed(explorer.deeds, default=True)
    assert defaults == [explorer.settings]


@pytest.mark.parametrize(
    "end, said", [("done", "Saved as version 2."), ("failed", "There is no room.")]
)
def test_what_takes_a_while_says_how_it_goes_and_can_be_stopped(kept, end, said):
    keeper, heard = Elsewhere("queued", "running", end), []

    async def live():
        explorer = ExtractionExplorer(kept, keeper=keeper)
        explorer.deeds.param.watch(lambda event: heard.append(event.new), "message")
        deed(explorer.deeds, save=True)
        assert explorer.deeds.is_saving
        deed(explorer.deeds, stop=True)
        await explorer.tasks.settled()
        return explorer

    explorer = asyncio.run(live())
    assert keeper.cancelled
    assert heard[0] == "It is being made…" and "It is being made: extracting…" in heard
    assert explorer.deeds.message == said
    assert explorer.deeds.is_bad == (end == "failed")
    assert not explorer.deeds.is_saving


def test_a_refusal_is_shown_and_nothing_else_happens(kept):
    class Refusing(Elsewhere):
        def extract(self, *_):
            raise Refused("Only members may save.")

    explorer = ExtractionExplorer(kept, keeper=Refusing())
    deed(explorer.deeds, save=True)
    assert explorer.deeds.message == "Only members may save." and explorer.deeds.is_bad


def test_the_theme_reaches_every_part(explorer):
    explorer.theme = "dark"
    assert {explorer.form.theme, explorer.image.theme, explorer.spectra.theme} == {"dark"}


# In an archive


@pytest.fixture
def archive(reduced, tmp_path):
    """An archive with the frame, its arc, and both reduced."""
    archive = fill_archive(tmp_path / "archive", *reduced[:3])
    yield archive
    archive.close()


def raw_row(archive):
    return next(row for row in archive.frames(calibrations=None) if row.kind == "spectrum")


def test_a_frame_of_the_archive_comes_with_its_arcs_and_settings(archive, reduced):
    _, _, products, settings = reduced
    for row in (raw_row(archive), *archive.children(raw_row(archive).id)):
        frame = ReducedFrame.from_archive(archive, row.id)
        assert frame.settings.changed() == settings.changed()
        assert [path.name for path in frame.paths] == [
            products.image_name,
            reduced[1][1].image_name,
        ]
    explorer = ExtractionExplorer.of_archive(archive, raw_row(archive).id)
    same(explorer.trial.extracted.spectrum.table, products.spectra[0].table)
    assert not explorer.deeds.can_save


def test_a_frame_that_was_not_reduced_is_refused(archive):
    row = raw_row(archive)
    for child in archive.children(row.id):
        archive.delete_product(child)
    with pytest.raises(NotFound, match="must be reduced before"):
        ExtractionExplorer.of_archive(archive, row.id)


def test_a_saved_version_is_current_and_tells_who_made_it_with_what(archive):
    row = raw_row(archive)
    explorer = ExtractionExplorer.of_archive(archive, row.id, by="ada")
    explorer.form.change(extraction_width=4.0)
    deed(explorer.deeds, save=True)
    assert explorer.deeds.message.startswith("Saved as version 2: ")
    versions = [r for r in archive.children(row.id) if r.data_type == CALIBRATED]
    assert [(r.version, r.is_current) for r in versions] == [(2, True), (1, False)]
    saved = versions[0]
    assert saved.file_name == versions[1].file_name.replace(".fits", "_v2.fits")
    header = io.read_header(archive.path(saved))
    plan = json.loads(header["GSP_PLAN"])
    assert (plan["by"], plan["wanted"], header["GSP_VRSN"]) == ("ada", "extract", 2)
    assert plan["settings"]["extraction_width"] == 4.0
    same(io.read_spectrum(archive.path(saved)), explorer.trial.extracted.spectrum.table)
    (run,) = archive.runs(row.id)
    assert (run.state, run.settings) == (saved.state, explorer.settings.changed())


def test_a_saved_version_has_all_objects_where_they_were_put(archive):
    row = raw_row(archive)
    explorer = ExtractionExplorer.of_archive(archive, row.id, by="ada")
    drag(explorer, "centre", ROW + 2)
    moved = explorer.trial.extracted.spectrum.table
    pick(explorer, 20.0)
    explorer.refine()
    deed(explorer.deeds, save=True)
    saved = [r for r in archive.children(row.id, current_only=True) if r.data_type == CALIBRATED]
    tables = [io.read_spectrum(archive.path(r)) for r in sorted(saved, key=lambda r: r.id)]
    assert len(tables) == 2
    np.testing.assert_array_equal(tables[0]["flux"], moved["flux"])
    same(tables[1], explorer.trial.extracted.spectrum.table)


def test_versions_count_on_and_the_index_can_be_rebuilt_of_their_headers(archive):
    row = raw_row(archive)
    explorer = ExtractionExplorer.of_archive(archive, row.id, by="ada")
    deed(explorer.deeds, save=True)
    deed(explorer.deeds, save=True)
    before = [(r.file_name, r.version, r.is_current) for r in archive.children(row.id)]
    assert sorted(version for _, version, _ in before) == [1, 1, 2, 3]
    list(index_archive(archive))
    assert [(r.file_name, r.version, r.is_current) for r in archive.children(row.id)] == before


# On a real frame


def test_the_real_supernova_gains_from_an_optimal_extraction(real_data):
    folder = real_data / "2018-02-04-blue"
    raw = io.read_raw(Path(folder / "0269_AT2018oh_930_blue.fits"))
    image = reduce_spectrum(raw).image
    explorer = ExtractionExplorer(image)
    assert explorer.deeds.notes[0].startswith("No arc: wavelengths are provisional")
    assert explorer.profile.centre == pytest.approx(79, abs=3)
    explorer.form.change(extraction_width=5.0)
    deed(explorer.deeds, keep=True)
    explorer.form.change(extraction_type="optimal")
    assert explorer.trial.signal_to_noise > 1.01 * explorer.reference.signal_to_noise
    assert explorer.spectra.head.milliseconds > 0


def test_who_drags_on_does_not_wait_for_the_wavelengths_of_where_one_was(explorer, monkeypatch):
    monkeypatch.setattr(extraction, "REFINE_SECONDS", 1000.0)  # nobody else settles any

    async def live():
        pick(explorer, 26.0)
        first = explorer.trial
        settling = asyncio.create_task(explorer._settle(first))
        await asyncio.sleep(0)  # it is under way, in a thread
        drag(explorer, "centre", 27.5, 0)
        dragged = explorer.trial
        await settling
        assert explorer.trial is dragged and not dragged.is_final
        await explorer._settle(dragged)

    asyncio.run(live())
    assert explorer.trial.is_final
    assert explorer.desk.row_of(explorer.trial.trace) == pytest.approx(27.5, abs=0.01)


def test_while_one_drags_the_wavelengths_are_those_that_the_sky_had_settled(explorer):
    desk = explorer.desk
    settled = desk.trial()
    desk.settings = ReductionSettings(**desk.settings.to_dict() | {"extraction_width": 2.0})
    quick, final = desk.trial(quick=True), desk.trial()
    assert not quick.is_final and final.is_final
    np.testing.assert_array_equal(quick.data.wavelength, settled.data.wavelength)
    np.testing.assert_array_equal(quick.data.flux, final.data.flux)
    for name in ("GSP_LAMP", "GSP_WSTA", "GSP_WRMS"):
        assert quick.header[name] == final.header[name]
