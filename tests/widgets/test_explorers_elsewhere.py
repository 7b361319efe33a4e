"""The explorers on an archive at the other end of a connection, with a real server and its workers.

What is saved there is what is drawn here; who may not, cannot.
"""

from __future__ import annotations

import asyncio
import contextlib

import numpy as np
import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")
pytest.importorskip("fastapi", reason="the API needs the extra 'api'")

from access_world import CHEAP
from api.conftest import running

from goodman_live import io
from goodman_live.answers import Job
from goodman_live.api import make_app
from goodman_live.catalog import CALIBRATED, REDUCED
from goodman_live.client import connect
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People
from goodman_live.widgets.advanced import Advanced
from goodman_live.widgets.extraction import ExtractionExplorer
from goodman_live.widgets.image import ImageView
from goodman_live.widgets.orders import Orders
from goodman_live.widgets.saving import progress_of
from goodman_live.widgets.tasks import Tasks
from goodman_live.widgets.wavelength import WavelengthExplorer

from .extractable import ROW, fill_archive, reduce_one

PROPOSAL = "SOAR2026A-012"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """Address of a server, and keys of a member and of somebody else."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with contextlib.closing(fill_archive(folder / "archive", *reduce_one())) as archive:
        for row in archive.frames(calibrations=None):
            archive.assign(row.id, PROPOSAL)
        mailer = FolderMailer(folder / "mail")
        with contextlib.closing(People(archive.database, mailer, hasher=Hasher(**CHEAP))) as people:
            keys = {}
            for who in ("member", "stranger"):
                user = people.add_user(f"{who}@soar.org")
                keys[who] = people.add_token(user.id, "test")[1]
                if who == "member":
                    people.add_proposal(PROPOSAL, pi=user.id, title="Supernovae")
            people.save_settings(PROPOSAL, {"max_targets": 1, "trace_order": 2}, "root")
            with running(make_app(archive, people)) as address:
                yield address, keys


@pytest.fixture
def archive(server):
    address, keys = server
    with connect(address, keys["member"]) as archive:
        yield archive


def science(archive):
    return next(row for row in archive.frames(calibrations=None) if row.kind == "spectrum")


def spectra(archive, row):
    found = [r for r in archive.children(row.id, current_only=True) if r.data_type == CALIBRATED]
    return sorted(found, key=lambda r: r.id)


def deed(part, **what):
    part.deed = {**what, "count": part.deed.get("count", 0) + 1}


def test_an_extraction_is_saved_there_as_it_is_drawn_here(archive):
    row = science(archive)

    async def live():
        explorer = ExtractionExplorer.of_archive(archive, row.id)
        explorer.form.change(extraction_type="optimal", background_distance_above=5.0)
        explorer.profile.drag = {
            "what": "centre", "side": 0, "value": ROW + 0.5, "both": True, "count": 1,
        }  # fmt: skip
        explorer.profile.pick = {"row": 20.0, "count": 1}
        explorer.refine()
        deed(explorer.deeds, save=True)
        await explorer.tasks.settled()
        return explorer

    explorer = asyncio.run(live())
    assert explorer.deeds.message.startswith("Saved as version 2: "), explorer.deeds.message
    saved = spectra(archive, row)
    assert [one.version for one in saved] == [2, 2]
    drawn = explorer.trial.extracted.spectrum.table
    table = io.read_spectrum(archive.path(saved[1]))
    for name in ("wavelength", "flux", "uncertainty", "mask"):
        np.testing.assert_array_equal(np.asarray(table[name]), np.asarray(drawn[name]))


def test_the_copied_cell_asks_the_archive_where_it_is(archive, server, monkeypatch):
    explorer = ExtractionExplorer.of_archive(archive, science(archive).id)
    explorer.form.change(extraction_width=3.5)
    code = explorer.deeds.code
    assert "archive = connect()" in code and "archive.extract(" in code
    monkeypatch.setenv("GOODMAN_LIVE_URL", server[0])
    monkeypatch.setenv("GOODMAN_LIVE_TOKEN", server[1]["member"])
    names: dict = {}
    exec(code, names)
    names["archive"].close()
    drawn = explorer.trial.extracted.spectrum.table
    np.testing.assert_array_equal(names["spectrum"].table["flux"], drawn["flux"])


def test_the_proposal_gets_only_what_is_different(archive):
    explorer = ExtractionExplorer.of_archive(archive, science(archive).id)
    explorer.form.change(**archive.settings(PROPOSAL).to_dict() | {"extraction_width": 4.0})
    deed(explorer.deeds, default=True)
    assert explorer.deeds.message == f"From now on the settings of {PROPOSAL}: Extraction width."
    assert archive.history_of_settings(PROPOSAL)[0].values == {
        "max_targets": 1, "trace_order": 2, "extraction_width": 4.0,
    }  # fmt: skip
    deed(explorer.deeds, default=True)
    assert "has these settings already" in explorer.deeds.message


def test_a_stranger_has_no_explorer_of_it(archive, server):
    row = science(archive)
    address, keys = server
    with connect(address, keys["stranger"]) as theirs, pytest.raises(KeyError):
        ExtractionExplorer.of_archive(theirs, row.id)


def test_an_image_comes_with_its_traces_and_wavelengths(archive):
    found = archive.children(science(archive).id)
    image = next(row for row in found if row.data_type == REDUCED)
    view = ImageView()
    view.show_file(archive, image)
    assert view.controls.has_traces and len(view._lines.data["x"]) >= 7
    assert view.seen.wavelength.shape == (view.image.shape[1],)


@pytest.mark.parametrize("kind", ["arc", "spectrum"])
def test_named_lines_are_saved_there(archive, kind):
    row = next(r for r in archive.frames(calibrations=None) if r.kind == kind)
    before = spectra(archive, row)[0]

    async def live():
        explorer = WavelengthExplorer.of_archive(archive, before.id)
        assert explorer.solution.status == "calibrated"
        residual = np.abs(explorer.choices.residuals(explorer.solution))
        explorer.select(int(np.nanargmax(np.where(explorer.choices.used, residual, np.nan))))
        explorer.reject()
        explorer.save()
        await explorer.tasks.settled()
        return explorer

    explorer = asyncio.run(live())
    assert explorer.head.message.startswith("Saved as version "), explorer.head.message
    saved = spectra(archive, row)[0]
    assert saved.version == before.version + 1
    header = io.read_header(archive.path(saved))
    assert header["GSP_WPOI"] == len(explorer.solution.columns)
    table = io.read_spectrum(archive.path(saved))
    here = explorer.solution.wavelength_at(explorer.column)
    away = np.asarray(table["wavelength"].value) - here
    # The sky may have corrected the zero point of an object's spectrum.
    assert np.ptp(away) < 1e-5 and abs(np.median(away)) < (1e-5 if kind == "arc" else 1.0)
    again = WavelengthExplorer.of_archive(archive, saved.id)
    np.testing.assert_allclose(again.solution.columns, explorer.solution.columns, atol=1e-6)
    assert again.head.order == again.head.file_order == header["GSP_WORD"]
    assert "by hand" in again.head.message and not again.head.unsaved


def test_who_leaves_while_a_version_is_made_is_told_of_it_at_the_frame(archive):
    row = science(archive)
    shown = []

    async def live():
        tasks = Tasks()
        orders = Orders(
            archive, tasks, lambda frame: frame.id == row.id, lambda frame, job: shown.append(job),
            lambda: None,
        )  # fmt: skip
        advanced = Advanced(archive, tasks, lambda is_open: None)
        advanced.left_saving = orders.take_up
        advanced.open({"Extraction": row})
        await tasks.settled()
        explorer = advanced.explorer
        deed(explorer.deeds, save=True)
        assert explorer.saving is not None
        advanced.leave()
        await tasks.settled()
        await explorer.tasks.settled()
        return orders.notices.rows

    (notice,) = asyncio.run(live())
    assert (notice["kind"], notice["text"]) == ("good", f"{row.file_name} was extracted")
    assert [(job.state, bool(job.file_ids)) for job in shown] == [("done", True)]


def test_what_was_decided_of_an_arc_is_not_left_behind_unasked(archive):
    row = spectra(archive, next(r for r in archive.frames(calibrations=None) if r.kind == "arc"))[0]

    async def live():
        tasks = Tasks()
        advanced = Advanced(archive, tasks, lambda is_open: None)
        advanced.open({"Wavelengths": row})
        await tasks.settled()
        explorer = advanced.explorer
        explorer.select(int(np.flatnonzero(explorer.choices.used)[0]))
        explorer.reject()
        advanced.bar.deeds = [{"back": True, "count": 1}]
        assert advanced.is_open and advanced.bar.risked == {"back": True, "count": 1}
        explorer.undo()
        assert not explorer.unsaved
        explorer.reject()
        advanced.bar.deeds = [{"back": True, "sure": True, "count": 2}]
        assert not advanced.is_open

    asyncio.run(live())


def test_a_version_that_is_being_made_says_so_in_a_sentence():
    assert progress_of(Job(1, "queued")) == "It waits for a worker…"
    assert progress_of(Job(1, "running", "begun")) == "It is being made: begun…"
    assert progress_of(Job(1, "running")) == "It is being made…"
