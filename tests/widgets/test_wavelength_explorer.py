"""A person's decisions about an arc are obeyed at once, told truly, and kept only when saved."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from dataclasses import replace

from goodman_live import io, lamps, recipes
from goodman_live.arcs import light_of_product
from goodman_live.blocks.wavelength import WavelengthSolution
from goodman_live.errors import GoodmanError
from goodman_live.simulate import SetUp, simulate_arc
from goodman_live.widgets.wavelength import WavelengthExplorer


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
    explorer.head.order = 1
    assert explorer.solution.order == 1
    for index in np.flatnonzero(explorer.choices.used)[2:]:
        explorer.select(int(index))
        explorer.reject()
    assert "at least 3 lines, not 2" in explorer.head.message and explorer.head.trouble
    assert len(explorer.solution.columns) == 3  # the last fit that could be made stays
    explorer.solve_again()
    assert len(explorer.solution.columns) > 10 and not explorer.head.message


def test_other_lamps_offer_other_lines(explorer):
    explorer.select(a_line(explorer))
    explorer.head.lamps = ["Fe"]
    assert all("Ne" not in text for text, _, _ in explorer.panel.offers)
    explorer.head.lamps = ["Ne"]
    assert all("Ne I" in text for text, _, _ in explorer.panel.offers)


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
    explorer.head.act = "l:1"
    assert not explorer.head.log
    assert type(explorer.figures.upper.y_scale).__name__ == "LinearScale"
    explorer.theme = "light"
    assert explorer.figures.upper.background_fill_color == "#ffffff"
