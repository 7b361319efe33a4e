"""What tests of pages share."""

from __future__ import annotations

import pytest


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A world of people and files behind a real API, and its pages; one for each module."""
    pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")
    pytest.importorskip("fastapi", reason="the API needs the extra 'api'")
    from pages_world import pages_world

    with pages_world(tmp_path_factory.mktemp("pages")) as world:
        yield world
