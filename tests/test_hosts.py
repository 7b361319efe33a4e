"""The same night on workers of two hosts, joined by TCP, as on workers of our own."""

from __future__ import annotations

import contextlib

import pytest

from benchmarks import hosts
from benchmarks.soak import SETTINGS, current_products, differences, make_night
from goodman_live.catalog import Archive
from goodman_live.engine import Engine
from goodman_live.pool import ClusterPool
from goodman_live.recipes import ReductionSettings
from goodman_live.watch import files_below

pytest.importorskip("distributed", reason="the extra 'dask' is not installed")


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return make_night(tmp_path_factory.mktemp("hosts") / "night")


def reduced(night, folder, pool):
    """The products of a night, and the archive that they are in."""
    archive = Archive(folder, f"sqlite:///{folder}.sqlite", by_night=False)
    with (
        contextlib.closing(archive),
        Engine(archive, ReductionSettings(**SETTINGS), pool, rebuild_seconds=0) as engine,
    ):
        assert {finished.state for finished in engine.reduce(files_below(night))} == {"done"}
        return current_products(archive)


@pytest.fixture(scope="module")
def ours(night, pool, tmp_path_factory):
    return reduced(night, tmp_path_factory.mktemp("ours") / "archive", pool)


@pytest.mark.filterwarnings("default")
def test_two_workers_joined_by_tcp_make_the_products_of_our_own(night, ours, tmp_path):
    with hosts.cluster(tmp_path, hosts.LOCAL) as address:
        assert hosts.hosts_of(address) == {hosts.LOCAL}
        with ClusterPool(address) as pool:
            theirs = reduced(night, tmp_path / "theirs", pool)
    assert len(ours) >= 10 and differences(ours, theirs) == []


@pytest.mark.filterwarnings("default")
def test_two_workers_in_networks_of_their_own_make_the_products_of_our_own(night, ours, tmp_path):
    reason = hosts.why_no_namespaces()
    if reason:
        pytest.skip(reason)
    with (
        hosts.two_namespaces() as (bridge, names),
        hosts.cluster(tmp_path, bridge, names) as address,
    ):
        network = bridge.removesuffix(".1")
        assert hosts.hosts_of(address) == {f"{network}.2", f"{network}.3"}
        with ClusterPool(address) as pool:
            theirs = reduced(night, tmp_path / "theirs", pool)
    assert len(ours) >= 10 and differences(ours, theirs) == []
