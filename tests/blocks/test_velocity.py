"""The observer's motion towards an object."""

from __future__ import annotations

import socket
from dataclasses import replace
from datetime import UTC, datetime

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import EarthLocation, SkyCoord
from astropy.io import fits
from astropy.time import Time
from astropy.utils import iers
from made_frames import raw_frame

from goodman_live.blocks.velocity import direction, observer_motion, record_velocity
from goodman_live.instruments import ALTITUDE, LATITUDE, LONGITUDE
from goodman_live.io import info_of

SITE = EarthLocation.from_geodetic(LONGITUDE * u.deg, LATITUDE * u.deg, ALTITUDE * u.m)
MOMENT = datetime(2018, 2, 5, 4, 14, 5, 277000, tzinfo=UTC)


def info(**changes):
    raw = raw_frame(np.zeros((10, 60)), obstype="SPECTRUM")
    start = {"ra": "09:06:39.6", "dec": "+19:20:18", "exposure_start": MOMENT}
    return replace(info_of(raw), **({**start, "exposure_end": MOMENT} | changes))


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_, **__):
        raise OSError("no network here")

    monkeypatch.setattr(socket, "socket", refuse)


@pytest.mark.parametrize("moment", [MOMENT, datetime(2014, 7, 1, 23, 30, tzinfo=UTC)])
@pytest.mark.parametrize(
    ("ra", "dec"),
    [("09:06:39.6", "+19:20:18"), ("00:00:10", "-89:10:00"), ("18:00:00", "66:33:00")],
)
def test_velocities_and_times_are_those_of_astropy(ra, dec, moment):
    target = SkyCoord(ra, dec, unit=("hourangle", "deg"))
    with iers.conf.set_temp("auto_download", False):
        time = Time(moment, location=SITE)
        helio, bary = (
            target.radial_velocity_correction(kind, time).to_value("km/s")
            for kind in ("heliocentric", "barycentric")
        )
        hjd = (time.utc + time.light_travel_time(target, "heliocentric")).utc.jd
        bjd = (time.tdb + time.light_travel_time(target)).tdb.jd
    velocities, delays, utc, tdb = observer_motion(moment, direction(ra, dec))
    # Theirs holds the relativistic terms too, 5 m/s.
    assert velocities == pytest.approx((helio, bary), abs=0.01)
    assert utc + delays[0] / 86400 == pytest.approx(hjd, abs=2e-6)
    assert tdb + delays[1] / 86400 == pytest.approx(bjd, abs=2e-6)


def test_the_cards_hold_for_the_middle_of_the_exposure_and_need_no_network(no_network):
    header = fits.Header()
    later = datetime(2018, 2, 5, 6, 14, 5, 277000, tzinfo=UTC)
    record_velocity(header, info(exposure_end=later))
    towards = direction("09:06:39.6", "+19:20:18")
    middle = observer_motion(datetime(2018, 2, 5, 5, 14, 5, 277000, tzinfo=UTC), towards)
    assert header["VHELIO"] == pytest.approx(middle[0][0], abs=1e-3)
    assert header["VHELIO"] != pytest.approx(observer_motion(MOMENT, towards)[0][0], abs=0.05)
    assert header["VBARY"] == pytest.approx(header["VHELIO"], abs=0.02)
    assert 0 < header["BJD"] - header["HJD"] < 0.001
    assert "add" in header.comments["VHELIO"]


@pytest.mark.parametrize(
    ("ra", "dec"), [("", ""), ("nowhere", "10:00:00"), ("10:00:00", "95:00:00")]
)
def test_a_frame_without_coordinates_gets_no_card(ra, dec):
    header = fits.Header()
    record_velocity(header, info(ra=ra, dec=dec))
    assert len(header) == 0


def test_seconds_rounded_up_to_sixty_are_the_next_minute():
    np.testing.assert_allclose(
        direction("10:00:60.0", "-10:00:60.0"), direction("10:01:00", "-10:01:00")
    )


def test_a_date_years_ahead_is_no_trouble():
    header = fits.Header()
    far = datetime(2049, 1, 1, tzinfo=UTC)
    record_velocity(header, info(exposure_start=far, exposure_end=far))
    assert abs(header["VHELIO"]) < 31
