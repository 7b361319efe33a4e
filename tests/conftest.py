"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _a_home_of_its_own(tmp_path_factory):
    """Browsers and kernels leave their traces here, not in the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real Goodman frames, which are never part of the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GOODMAN_LIVE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}; set GOODMAN_LIVE_TEST_DATA to have them tested")
    return folder
