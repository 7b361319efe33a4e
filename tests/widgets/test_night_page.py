"""The night: the matrix, the sentences for the operator, what was measured, what waits."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

from pages_world import do

from goodman_live.answers import FrameQuantities, NightCount, NightReport
from goodman_live.latency import Latency
from goodman_live.queue_state import QueueState, Running, Waiting
from goodman_live.reasons import needs_of_night
from goodman_live.simulate import SetUp, write_night
from goodman_live.widgets.night import Night, holds, matrix_of, queue_of, told_operator
from goodman_live.widgets.night_plots import columns_of


@pytest.fixture(scope="module")
def infos(tmp_path_factory):
    """The frames of a simulated night with few flats."""
    from goodman_live.io import read_info

    folder = tmp_path_factory.mktemp("night")
    setup = SetUp.preset("400_M2").window(12)
    write_night(folder, setup=setup, n_bias=3, n_flat=2, n_arc=0, n_science=1)
    return [read_info(path) for path in sorted(folder.glob("*.fits"))]


@pytest.fixture(scope="module")
def needs(infos):
    night = next(info.night for info in infos if info.kind == "spectrum")
    return night, needs_of_night(night, infos, {"bias": 3, "flat": 10})


def measured(number: int, **values) -> FrameQuantities:
    time = f"2026-03-15T0{number}:00:00"
    return FrameQuantities(number, f"{number}.fits", time, "spectrum", "SN", "done", **values)


def report(night: str, needs=(), frames=(), **values) -> NightReport:
    given = {"counts": {"spectrum": 1}, "states": {"done": 1}, "latency": (), "queue": QueueState()}
    return NightReport(night=night, matrix=tuple(needs), frames=tuple(frames), **given | values)


def test_the_matrix_says_what_is_there_what_is_building_and_what_is_missing(needs):
    night, rows = needs
    bias, flat, arc = matrix_of(rows, night)[0]["needs"]
    assert (bias["said"], flat["said"], arc["said"]) == ("have 3", "building 2 of 10", "missing")
    said = told_operator(rows)
    assert said[0].startswith("Take 8 more flats")
    assert said[1].startswith("Take an arc")


def test_strips_are_drawn_of_what_was_measured_and_still_settings_are_told(needs):
    night, rows = needs
    frames = [measured(1, seeing=0.9, focus=-990.0), measured(2, seeing=1.1, focus=-990.0),
              measured(3)]  # fmt: skip
    widget = Night()
    widget.show(report(night, rows, frames))
    assert list(widget.plots.figures) == ["seeing"]
    assert widget.plots.sources["seeing"].data["value"] == [0.9, 1.1]
    assert "Telescope focus -990 throughout" in widget.plots.head.says
    widget.show(report(night, rows, [*frames, measured(4, focus=-980.0)]))
    assert list(widget.plots.figures) == ["seeing", "focus"]


def test_times_of_strips_are_universal_time():
    assert columns_of([measured(1, seeing=1.0)], "seeing")["time"] == [1773536400000.0]


def test_times_stand_where_one_looks_first_and_at_the_end(needs):
    widget = Night()
    frames = [measured(1, seeing=0.9, airmass=1.1, arc_fwhm=4.0), measured(2, seeing=1.1)]
    widget.show(report(needs[0], (), frames))
    axes = [fig.xaxis[0].visible for fig in widget.plots.figures.values()]
    assert axes == [True, False, True]
    first, *_, last = widget.plots.figures.values()
    assert first.above and last.below
    assert not first.below


def test_a_night_says_all_that_it_holds():
    said = "9 frames, 42 biases and flats, 24 products"
    assert holds(NightCount("20180204", 9, 42, 24)) == said


def test_a_point_that_is_clicked_opens_its_frame(needs):
    opened = []
    widget = Night(on_open=opened.append)
    widget.show(report(needs[0], (), [measured(1, seeing=0.9), measured(2, seeing=1.1)]))
    widget.plots.sources["seeing"].selected.indices = [1]
    assert opened == [2]
    assert widget.plots.sources["seeing"].selected.indices == []


def test_static_plots_have_no_tools(needs):
    frames = [measured(1, seeing=0.9), measured(2, seeing=1.0)]
    still, lively = Night(interactive=False), Night()
    for widget in (still, lively):
        widget.show(report(needs[0], (), frames))
    assert still.plots.figures["seeing"].tools == []
    assert lively.plots.figures["seeing"].tools
    lively.plots.make_interactive(False)
    assert lively.plots.figures["seeing"].tools == []


def test_the_queue_and_the_latency_are_told(needs):
    queue = QueueState(
        "running",
        waiting={"now": 2, "later": 1},
        first=(Waiting("0012.fits", "reduce", "now"),),
        running=(Running("0011.fits", "reduce", "2026-03-15T03:00:00"),),
    )
    assert queue_of(queue)["waiting"] == "3 steps to do: 2 now, 1 later"
    assert queue_of(queue)["says"] == "The engine is at work."
    assert queue_of(QueueState("running", waiting={"now": 0}))["says"] == "Nothing waits."
    assert queue_of(QueueState("stopped"))["says"] == "The engine was stopped."
    widget = Night()
    latency = (Latency("spectrum", "extract", 3, 1.0, 2.0), Latency("spectrum", "total", 3, 4, 5))
    widget.show(report(needs[0], latency=latency, queue=queue))
    assert widget.side.queue["running"] == [["03:00:00", "reduce 0011.fits"]]
    assert widget.side.latency == [["spectrum", [["extract", 3, 1.0, 2.0], ["total", 3, 4, 5]]]]


def test_the_page_shows_the_newest_night_and_the_one_of_the_address(pages):
    page = pages.visit("staff", "night")
    newest = page.night.head.night
    assert page.night.head.follows
    assert page.told == []
    night = pages.world.files["spectrum of mine"].night
    page = pages.visit("staff", "night", {"night": night})
    assert (page.night.head.night, page.night.head.follows) == (night, False)
    assert page.night.matrix.rows
    assert newest == max(each for each, _ in page.night.head.nights)


def test_another_night_is_chosen_and_stands_in_the_address(pages):
    night = pages.world.files["spectrum of mine"].night
    page = pages.visit("pi", "night", {}, lambda page: do(page.night.head, night=night))
    assert page.visit.query == {"night": night}
    assert page.night.report.night == night


def test_the_log_is_for_staff(pages):
    assert pages.visit("staff", "night").night.side.has_log
    assert not pages.visit("pi", "night").night.side.has_log


def test_what_happens_is_shown_soon(pages, monkeypatch):
    from goodman_live.widgets import night_page

    night = pages.world.files["spectrum of mine"].night
    seen = {}

    def happens(page):
        seen["before"] = page.night.report.counts.get("spectrum", 0)
        pages.world.add_frame()
        page.take(pages.archive.events_since(pages.archive.last_event() - 1)[0])

    monkeypatch.setattr(night_page, "SOON_SECONDS", 0.0)
    page = pages.visit("pi", "night", {"night": night}, happens)
    assert page.night.report.counts["spectrum"] == seen["before"] + 1


def test_a_file_that_cannot_be_read_makes_no_night_of_its_own(pages):
    pages.world.add_unreadable()
    nights = [count.night for count in pages.as_seen_by("staff").nights()]
    assert nights
    assert all(len(night) == 8 for night in nights)
    assert nights[0] == pages.world.files["spectrum of mine"].night
