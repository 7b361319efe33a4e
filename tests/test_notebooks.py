"""The tutorials run from the first cell to the last, as a reader would run them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
REMOTE = {"04_script_the_api": "as before", "05_night_report": "2 spectra reported"}
SOAR_ID = "SOAR2026A-012"


def run(path: Path, folder: Path) -> str:
    """What the last values of the cells of a notebook are, after it ran without an error."""
    notebook = nbformat.read(path, as_version=4)
    NotebookClient(
        notebook, timeout=600, startup_timeout=300, resources={"metadata": {"path": folder}}
    ).execute()
    outputs = [o for cell in notebook.cells for o in cell.get("outputs", [])]
    assert not [o for o in outputs if o.output_type == "error"]
    return " ".join(o.get("data", {}).get("text/plain", "") for o in outputs)


@pytest.mark.parametrize(
    "path", [path for path in NOTEBOOKS if path.stem not in REMOTE], ids=lambda path: path.stem
)
def test_a_tutorial_runs_to_its_end(path, tmp_path):
    assert "nothing was skipped" in run(path, tmp_path)


@pytest.fixture(scope="module")
def environment(tmp_path_factory, pool):
    """Where a reduced night is served, and a key of the PI whose night it is."""
    pytest.importorskip("fastapi", reason="the API needs the extra 'api'")
    from access_world import CHEAP
    from pages_world import served

    from goodman_live.api import make_app
    from goodman_live.catalog import Archive
    from goodman_live.engine import Engine, archive_raw
    from goodman_live.mail import FolderMailer
    from goodman_live.people import Hasher, People
    from goodman_live.recipes import ReductionSettings
    from goodman_live.simulate import SetUp, write_night

    night, root = tmp_path_factory.mktemp("night"), tmp_path_factory.mktemp("archive")
    setup = SetUp.preset("400_M2").window(60)
    write_night(night, setup=setup, n_bias=3, n_flat=3, n_arc=2, n_science=2)
    fewer = {"min_bias_files": 3, "min_flat_files": 3}
    with contextlib.closing(Archive(root)) as archive:
        mailer, hasher = FolderMailer(root / "mail"), Hasher(**CHEAP)
        with contextlib.closing(People(archive.database, mailer, hasher=hasher)) as people:
            pi = people.add_user("pi@soar.org")
            people.add_proposal(SOAR_ID, pi=pi.id, title="Supernovae")
            people.save_settings(SOAR_ID, fewer, "pi")
            paths = [archive_raw(archive, path)[0] for path in sorted(night.glob("*.fits"))]
            with Engine(archive, ReductionSettings(**fewer), pool) as engine:
                assert all(done.state != "failed" for done in engine.reduce(paths))
            for row in archive.frames(limit=50, calibrations=None):
                archive.assign(row.id, SOAR_ID)
            key = people.add_token(pi.id, "notebook")[1]
            with served(make_app(archive, people)) as url:
                yield {"GOODMAN_LIVE_URL": url, "GOODMAN_LIVE_TOKEN": key}


@pytest.mark.parametrize("name", REMOTE)
def test_a_tutorial_about_an_archive_elsewhere_runs_to_its_end(
    name, tmp_path, environment, monkeypatch
):
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    path = next(path for path in NOTEBOOKS if path.stem == name)
    assert REMOTE[name] in run(path, tmp_path)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_tutorial_is_kept_without_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    assert not [cell for cell in notebook.cells if cell.get("outputs")]
