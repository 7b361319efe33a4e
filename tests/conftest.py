"""What several tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real Goodman frames, which are never part of the repository."""
    default = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("GOODMAN_LIVE_TEST_DATA", default))
    if not folder.is_dir():
        pytest.skip(f"no real frames at {folder}; set GOODMAN_LIVE_TEST_DATA to have them tested")
    return folder
