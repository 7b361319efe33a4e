"""The observer's motion towards an object: written into the header, never applied.

Earth's ephemeris and rotation come from ERFA, which astropy carries: nothing is fetched from
the network, and the few tenths of a second between UTC and the Earth's rotation are left out
(they change a velocity by less than 0.1 m/s). Refused in silence, for the spectrum is none the
worse, are headers without coordinates.
"""

from __future__ import annotations

import warnings
from datetime import UTC, datetime

import erfa
import numpy as np
from astropy.coordinates import Angle
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning

from ..history import record_step
from ..instruments import ALTITUDE, LATITUDE, LONGITUDE
from ..metadata import FrameInfo

SPEED_OF_LIGHT = 299792.458  # [km/s]
AU = 149597870.7  # [km]
DAY = 86400.0  # [s]


def record_velocity(header: fits.Header, info: FrameInfo) -> None:
    """Write the corrections to Sun and barycentre into `header` (changed in place).

    They hold for the middle of the exposure; a velocity is to be added to those measured, a
    date has the light's way already in it. Where the frame has no coordinates nothing is written.
    """
    towards = direction(info.ra, info.dec)
    if towards is None:
        return
    middle = info.exposure_start + (info.exposure_end - info.exposure_start) / 2
    velocities, delays, date, tdb = observer_motion(middle, towards)
    cards = {
        "VHELIO": (round(velocities[0], 3), "[km/s] add to velocities: heliocentric"),
        "VBARY": (round(velocities[1], 3), "[km/s] add to velocities: barycentric"),
        "HJD": (round(date + delays[0] / DAY, 6), "heliocentric Julian date (UTC), middle"),
        "BJD": (round(tdb + delays[1] / DAY, 6), "barycentric Julian date (TDB), middle"),
    }
    record_step(header, "record_velocity", cards=cards)


def direction(ra: str, dec: str) -> np.ndarray | None:
    """Unit vector (3,) towards J2000 coordinates [hours, degrees]; None if they say nothing."""
    try:
        with warnings.catch_warnings():
            # The telescope writes 60.0 seconds where it rounds up.
            warnings.simplefilter("ignore", AstropyWarning)
            right_ascension, declination = Angle(ra, "hourangle").radian, Angle(dec, "deg").radian
    except (ValueError, TypeError):
        return None
    if not (np.isfinite(right_ascension) and abs(declination) <= np.pi / 2):
        return None
    return np.array(erfa.s2c(right_ascension, declination))


def observer_motion(
    moment: datetime, towards: np.ndarray
) -> tuple[tuple[float, float], tuple[float, float], float, float]:
    """Motion and place of the telescope along a direction, heliocentric and barycentric.

    Returns
    -------
    tuple
        Velocities towards the object [km/s]; times by which its light reaches Sun and
        barycentre later [s]; Julian date of the moment in UTC, and in TDB [day].
    """
    moment = moment.astimezone(UTC)
    second = moment.second + moment.microsecond / 1e6
    with warnings.catch_warnings():
        # Leap seconds years ahead are not known yet: a second is nothing here.
        warnings.simplefilter("ignore", erfa.ErfaWarning)
        utc = erfa.dtf2d(
            "UTC", moment.year, moment.month, moment.day, moment.hour, moment.minute, second
        )
        tt = erfa.taitt(*erfa.utctai(*utc))
        earth_of_sun, earth = erfa.epv00(*tt)
        site = np.radians(LONGITUDE), np.radians(LATITUDE), ALTITUDE
        observer, _ = erfa.apco13(*utc, 0.0, *site, 0.0, 0.0, 0.0, 0.0, 0.0, 0.5)
    sun = {part: earth[part] - earth_of_sun[part] for part in ("p", "v")}
    velocity = observer["v"] * SPEED_OF_LIGHT
    sun_velocity = sun["v"] * (AU / DAY)
    place = observer["eb"]
    velocities = float((velocity - sun_velocity) @ towards), float(velocity @ towards)
    light_time = AU / SPEED_OF_LIGHT
    delays = float((place - sun["p"]) @ towards) * light_time, float(place @ towards) * light_time
    return velocities, delays, float(sum(utc)), float(sum(tt))
