"""A person's decisions about an arc are obeyed at once, told truly, and kept only when saved."""

from __future__ import annotations

import contextlib
import json

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from dataclasses import replace

from goodman_live import io, lamps, recipes
from goodman_live.arcs import light_of_product
from goodman_live.blocks.dispersion import WavelengthSolution
from goodman_live.catalog import CALIBRATED, Archive
from goodman_live.errors import GoodmanError
from goodman_live.simulate import SetUp, simulate_arc
from goodman_live.widgets import wavelength_words as words
from goodman_live.widgets.wavelength import WavelengthExplorer
from goodman_live.widgets.wavelength_source import chosen_in

from .extractable import add_reduced


@pytest.fixture(scope="module")
def product(tmp_path_factory):
    """A calibrated arc spectrum as a file, made by the pipeline from a simulated arc."""
    raw = simulate_arc(SetUp.preset("400_M2").window(60), seed=3)[0]
    raw.header.setdefault("FILENAME", "0007_arc.fits")
    done = recipes.reduce_arc(raw)
    path = tmp_path_factory.mktemp("arc") / "wecfz_0007_arc.fits"
    io.write_spectrum(done.spectra[0].table, done.spectra[0].linear, path)
    return path


@pytest.fixture(scope="module")
def light(product):
    return light_of_product(io.read_spectrum(product))


@pytest.fixture
def explorer(light):
    return WavelengthExplorer(light)


def spectrum_of(archive, row):
    found = archive.children(row.id, current_only=True)
    return next(one for one in found if one.data_type == CALIBRATED)


def a_line(explorer, state="used"):
    states = [explorer.state_of(index) for index in range(len(explorer.arc))]
    return states.index(state)


def test_a_product_is_opened_with_the_solution_it_was_made_with(product, explorer):
    header = io.read_header(product)
    assert explorer.solution.status == "calibrated"
    assert len(explorer.solution.columns) == pytest.approx(header["GSP_WPOI"], abs=3)
    columns = np.linspace(200, 3900, 20)
    kept = np.interp(columns, explorer.column, io.read_spectrum(product)["wavelength"].value)
    np.testing.assert_allclose(explorer.solution.wavelength_at(columns), kept, atol=0.1)


def test_rejecting_a_line_refits_without_it_and_undo_brings_it_back(explorer):
    before = explorer.solution
    index = a_line(explorer)
    explorer.select(index)
    explorer.reject()
    assert explorer.state_of(index) == "rejected"
    assert len(explorer.solution.columns) == len(before.columns) - 1
    assert explorer.head.can_undo and explorer.panel.line["state"] == "rejected"
    explorer.undo()
    assert explorer.state_of(index) == "used" and not explorer.head.can_undo
    assert explorer.solution is before


def test_a_line_rejected_and_accepted_again_leaves_no_trace(explorer):
    before = explorer.solution
    for index in np.flatnonzero(explorer.choices.used)[::7]:
        explorer.select(int(index))
        explorer.reject()
        assert explorer.solution.rms != before.rms
        explorer.accept()
    np.testing.assert_allclose(explorer.solution.coefficients, before.coefficients, atol=1e-9)
    for figure in ("rms", "held_out", "held_out_offset", "order", "scatter"):
        assert getattr(explorer.solution, figure) == pytest.approx(getattr(before, figure))


def test_the_order_begun_with_is_that_of_the_file(product, explorer):
    header = io.read_header(product)
    assert explorer.head.order == explorer.head.file_order == header["GSP_WORD"]
    assert header["GSP_ORDR"] == len(explorer.solution.coefficients) - 1


def test_a_line_is_named_by_its_wavelength_as_typed(explorer):
    index = a_line(explorer, "proposed")
    explorer.select(index)
    explorer.head.act = "m:1"
    assert explorer.panel.asked == 1
    line = float(explorer.choices.wavelength[index])
    explorer.panel.act = f"name {line:.1f}:2"  # people round
    assert explorer.choices.wavelength[index] == line and explorer.choices.ion[index]
    assert explorer.state_of(index) == "used" and line in explorer.solution.wavelengths
    explorer.panel.act = "name 7000,123:3"  # no lamp has it: it is obeyed, without a species
    assert explorer.choices.wavelength[index] == 7000.123 and not explorer.choices.ion[index]
    for number, text in enumerate(("none", "nan", "1e9", "12")):
        explorer.panel.act = f"name {text}:{number + 4}"
        assert explorer.head.trouble and "must be a number from 2500" in explorer.head.message
    assert explorer.choices.wavelength[index] == 7000.123


def test_the_list_has_every_line_and_leads_to_it(explorer):
    rows = explorer.panel.rows
    assert [row[0] for row in rows] == list(range(len(explorer.arc)))
    assert [row[4] for row in rows] == [explorer.state_of(n) for n in range(len(rows))]
    pixels = explorer.choices.residuals(explorer.solution) / explorer.solution.dispersion
    for index, text, ion, left, state in rows:
        if state == "unnamed":
            assert left is None and not ion and text.startswith("≈")
        else:
            assert left == pytest.approx(pixels[index], abs=6e-4)
            assert text == f"{explorer.choices.wavelength[index]:.2f}"
    explorer.panel.act = "line 20:1"
    assert explorer.selected == explorer.panel.selected == 20
    for ring in explorer.figures._rings:
        assert list(ring.data["x"]) in ([explorer.arc.center[20]], [])
    assert list(explorer.figures._rings[0].data["x"]) == [explorer.arc.center[20]]
    explorer.select(None)
    assert explorer.panel.selected == -1 and not explorer.figures._rings[0].data["x"]


def test_what_is_hidden_is_neither_drawn_nor_walked_to(explorer):
    explorer.panel.hidden = ["proposed", "unnamed"]
    used = np.flatnonzero(explorer.choices.used)
    np.testing.assert_array_equal(explorer.figures._tops.data["x"], explorer.arc.center[used])
    np.testing.assert_array_equal(explorer.figures._residuals.data["x"], explorer.arc.center[used])
    for number in range(3):
        explorer.head.act = f"ArrowRight:{number}"
    assert explorer.selected == used[2]
    explorer.head.act = "ArrowLeft:9"
    assert explorer.selected == used[1]


def test_what_is_not_saved_is_known(light):
    explorer = WavelengthExplorer(light, save=lambda solution: None)
    assert not explorer.head.unsaved
    explorer.select(a_line(explorer))
    explorer.head.act = "d:1"
    assert explorer.head.unsaved
    explorer.save()
    assert not explorer.head.unsaved
    explorer.undo()
    assert not explorer.head.unsaved  # nothing is decided any more


def test_the_page_says_whose_light_a_lamp_is(explorer):
    explorer.head.lamps = ["Fe", "Ne"]
    assert "nine lines of ten are of argon" in explorer.panel.lamps
    assert "Lamp Ne: neon." in explorer.panel.lamps
    counts = [int(part.split()[0]) for part in explorer.panel.species.split(", ")]
    assert sum(counts) == explorer.choices.used.sum()


def test_other_lamps_than_were_chosen_are_named():
    assert words.other_lamps_told(["Ne", "HgAr"], ["HgAr", "Ne"]) == ""
    told = words.other_lamps_told(["HgAr"], ["HgAr", "Ne"])
    assert told.startswith("The arc's lines are not those of HgAr but of HgAr and Ne")


def test_what_the_sky_did_after_the_arc_is_said_and_what_several_arcs_are():
    assert words.differs_told({"GSP_WZAP": False, "GSP_WZPT": 3.0}) == ""
    sky = {"GSP_WZAP": True, "GSP_WZPT": 14.5, "GSP_WZFE": "scattered sunlight"}
    assert "+14.50 Å (scattered sunlight)" in words.differs_told(sky)
    both = words.differs_told(sky | {"GSP_LAM2": "0318.fits"})
    assert "before and after" in both and "scattered sunlight" in both


def test_a_version_of_an_arc_that_focused_the_camera_is_saved_and_taken_up_again(tmp_path):
    raw = simulate_arc(SetUp.preset("400_M2").window(60), seed=3)[0]
    raw.header["OBSTYPE"] = "FOCUS"
    with contextlib.closing(Archive(tmp_path / "archive")) as archive:
        row = add_reduced(archive, raw, recipes.reduce_arc(raw), {"task": "arc"})
        assert row.kind == "focus"
        first = spectrum_of(archive, row)
        explorer = WavelengthExplorer.of_archive(archive, first.id, by="ada")
        index = a_line(explorer)
        explorer.select(index)
        explorer.reject()
        explorer.save()
        assert explorer.head.message.startswith("Saved as version 2"), explorer.head.message
        assert not explorer.head.unsaved
        second = spectrum_of(archive, row)
        header = io.read_header(archive.path(second))
        assert header["GSP_WRMS"] == round(explorer.solution.rms, 4)
        assert header["GSP_WHLD"] == round(explorer.solution.held_out, 4)
        again = WavelengthExplorer.of_archive(archive, second.id, by="ada")
        assert not again.choices.used[index]
        assert again.solution.rms == pytest.approx(explorer.solution.rms, abs=1e-7)


def test_an_arc_without_any_line_can_be_looked_at(light):
    dark = replace(light, light=light.light.copy())
    dark.light["flux"] = np.full(len(dark.light), 100.0) * dark.light["flux"].unit
    explorer = WavelengthExplorer(dark)
    assert explorer.panel.rows == [] and "at least 6 lines" in explorer.head.message
    for number, key in enumerate(("ArrowRight", "a", "d", "1", "z", "m", "u", "l", "f", "s")):
        explorer.head.act = f"{key}:{number}"
    assert explorer.selected is None and explorer.solution.status == "provisional"


def test_lines_chosen_for_another_object_are_not_those_of_this_one():
    lines = {"columns": [100.0], "wavelengths": [5000.0], "ions": ["Ar I"], "order": 1}
    plan = json.dumps({"lines": lines, "spectra": ["a_1.fits", "a_2.fits"]})
    header = {"GSP_PLAN": plan, "GSP_WHND": True, "GSP_FNAM": "a_1_v2.fits"}
    assert chosen_in(header).wavelengths == (5000.0,)
    assert chosen_in(header | {"GSP_FNAM": "a_2_v2.fits"}) is None
    assert chosen_in({"GSP_PLAN": plan, "GSP_FNAM": "a_1_v2.fits"}) is None
    assert chosen_in({}) is None


def test_lines_that_the_arc_does_not_have_are_said_and_not_begun_with(light, explorer):
    chosen = replace(
        explorer.solution, columns=(-500.0,), wavelengths=(5000.0,), ions=("Ar I",), blends=()
    )
    other = WavelengthExplorer(light, chosen=chosen)
    assert "not in this arc" in other.head.message and other.head.trouble
    assert other.solution.columns == explorer.solution.columns


def test_a_wrong_name_is_obeyed_and_shows_in_the_held_out_rms(explorer):
    index = a_line(explorer)
    explorer.select(index)
    before = explorer.solution.held_out
    explorer.identify(3)
    offered = explorer.choices.wavelength[index]
    assert explorer.panel.offers and offered in explorer.solution.wavelengths
    assert explorer.solution.held_out > before
    assert f"{explorer.solution.held_out:.3f}" in explorer.head.figures["held_out"]


def test_the_order_is_that_of_the_fit_and_too_few_lines_are_said(explorer):
    begun_with = explorer.solution
    explorer.head.order = 1
    assert explorer.solution.order == 1
    explorer.undo()
    assert explorer.solution is begun_with and explorer.head.order == begun_with.order
    explorer.head.order = 1
    for index in np.flatnonzero(explorer.choices.used)[2:]:
        explorer.select(int(index))
        explorer.reject()
    assert "at least 3 lines, not 2" in explorer.head.message and explorer.head.trouble
    assert len(explorer.solution.columns) == 3  # the last fit that could be made stays
    explorer.solve_again()
    assert len(explorer.solution.columns) > 10 and not explorer.head.message


def test_other_lamps_offer_other_lines(explorer):
    explorer.select(a_line(explorer))
    before = explorer.solution
    explorer.head.lamps = ["Fe"]
    assert all("Ne" not in text for text, _, _ in explorer.panel.offers)
    explorer.head.lamps = ["Ne"]
    assert all("Ne I" in text for text, _, _ in explorer.panel.offers)
    proposed = [row for row in explorer.panel.rows if row[4] == "proposed"]
    assert proposed and {ion for _, _, ion, _, _ in proposed} == {"Ne I"}
    # What counts does so whatever the lamps are.
    assert explorer.solution.coefficients == before.coefficients
    assert explorer.solution.lamps == ("Ne",)
    assert not explorer.head.message
    explorer.head.lamps = []
    assert not explorer.panel.offers and not explorer.panel.lamps
    explorer.solve_again()
    assert "of no lamp that was chosen but of " in explorer.head.message
    assert explorer.head.lamps == list(explorer.solution.lamps) and "Ne" in explorer.head.lamps


def test_a_click_selects_the_line_under_it_a_second_one_turns_it(explorer):
    index = a_line(explorer)
    center = float(explorer.arc.center[index])
    click = {"x": [center + 2.0], "y": [1e9], "place": ["arc"], "twice": [0]}
    explorer.figures._tapped.data = click
    assert explorer.selected == index
    explorer.figures._tapped.data = click | {"twice": [1]}
    assert explorer.state_of(index) == "rejected"
    empty = float(explorer.column[0]) - 500.0
    explorer.figures._tapped.data = click | {"x": [empty]}
    assert explorer.selected is None and explorer.panel.line == {}


def test_keys_walk_from_line_to_line_and_decide(explorer):
    for number, key in enumerate(["ArrowRight", "ArrowRight", "ArrowLeft"]):
        explorer.head.act = f"{key}:{number}"
    assert explorer.selected == 0
    explorer.select(a_line(explorer))
    explorer.head.act = "r:9"
    assert explorer.state_of(explorer.selected) == "rejected"
    explorer.head.act = "a:10"
    assert explorer.state_of(explorer.selected) == "used"
    explorer.head.act = "z:11"
    assert explorer.figures._columns.end - explorer.figures._columns.start == pytest.approx(120)
    explorer.head.act = "0:12"
    assert explorer.figures._columns.start == explorer.column[0]


def test_what_is_drawn_are_all_lines_and_the_residuals_of_those_with_a_name(explorer):
    assert len(explorer.figures._tops.data["x"]) == len(explorer.arc)
    named = np.isfinite(explorer.choices.wavelength)
    assert len(explorer.figures._residuals.data["x"]) == named.sum()
    used = explorer.choices.used[named]
    residual = explorer.choices.residuals(explorer.solution)[named]
    np.testing.assert_allclose(
        np.asarray(explorer.figures._residuals.data["y"])[used], residual[used]
    )
    assert explorer.figures._held.top == pytest.approx(explorer.solution.held_out)


def test_a_refit_sends_the_lines_and_not_the_arc_again(explorer):
    arc = explorer.figures._arc.data
    explorer.select(a_line(explorer))
    explorer.reject()
    assert explorer.figures._arc.data is arc


def test_saving_hands_over_the_solution_and_says_what_comes_back(light):
    kept = []

    def save(solution):
        if kept:
            raise GoodmanError("It is there already.")
        kept.append(solution)
        return "Saved as version 2."

    explorer = WavelengthExplorer(light, save=save)
    explorer.select(a_line(explorer))
    explorer.reject()
    explorer.head.act = "save:1"
    assert kept == [explorer.solution] and explorer.head.message == "Saved as version 2."
    assert WavelengthSolution.from_dict(kept[0].to_dict()).columns == kept[0].columns
    explorer.save()
    assert explorer.head.message == "It is there already." and explorer.head.trouble


def test_a_solution_can_be_kept_in_the_lamp_library_and_laid_over_the_next_arc(light, tmp_path):
    def save(solution):
        template = lamps.template_with(light.info, first.column, first.flux, solution)
        return lamps.keep_template(template, tmp_path).name

    first = WavelengthExplorer(light, save=save)
    assert not first.head.template
    first.save()
    library = lamps.read_library(tmp_path, light.info)
    second = WavelengthExplorer(light, templates=library)
    assert library[0].name in second.head.template and second.likeness.correlation > 0.99
    assert abs(second.likeness.shift) < 0.1
    np.testing.assert_allclose(second.figures._other.data["x"], second.column, atol=0.2)
    second.head.act = "t:1"
    assert second.figures._library_line.visible and second.head.overlay
    first.save()
    assert "in the library already" in first.head.message


def test_an_arc_that_the_solver_refuses_can_be_identified_by_hand(light):
    dark = replace(light, light=light.light.copy())
    dark.light["flux"] = (
        np.random.default_rng(0).normal(100, 3, len(dark.light)) * dark.light["flux"].unit
    )
    for place in (300, 800, 1300, 1700):
        pixel = np.arange(len(dark.light)) - place
        dark.light["flux"] += 5e3 * np.exp(-0.5 * (pixel / 1.3) ** 2) * dark.light["flux"].unit
    explorer = WavelengthExplorer(dark)
    assert explorer.solution.status == "provisional" and explorer.head.trouble
    assert explorer.head.figures["status"] == "provisional"
    strong = [i for i in range(len(explorer.arc)) if explorer.arc.height[i] > 1e3]
    for index in strong[:3]:
        explorer.select(index)
        explorer.identify(1)
    assert explorer.solution.status == "calibrated" and len(explorer.solution.columns) == 3


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_both_themes_and_both_scales_can_be_drawn(light, theme):
    explorer = WavelengthExplorer(light, theme=theme)
    explorer.head.act = "s:1"
    assert not explorer.head.log
    assert type(explorer.figures.upper.y_scale).__name__ == "LinearScale"
    explorer.theme = "light"
    assert explorer.figures.upper.background_fill_color == "#ffffff"
