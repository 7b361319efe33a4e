"""One raw frame of each kind, with its truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData
from astropy.table import Table
from numpy.typing import NDArray

from ..instruments import FULL_WIDTH, PIXEL_SCALE, Geometry
from ..lines import lines_of
from .chip import column_weights, expose, pixel_response, slit_illumination
from .header import file_name, raw_header
from .optics import (
    atmosphere,
    cell_wavelengths,
    column_of,
    disperse,
    moffat_cumulative,
    running_sum,
    running_sum_of_lines,
    throughput,
    wavelength_along,
)
from .setup import Observation, Seed, SetUp, Truth
from .sources import COLLECTING_AREA, RAYLEIGH, SKY_LINES, photon_rate, planck


def _finished(
    setup: SetUp,
    electrons: NDArray[np.float64],
    observation: Observation | None,
    seed: Seed,
    *,
    obstype: str,
    exposure: float,
    lamps: Sequence[str] = (),
    geometry: Geometry | None = None,
    **truths: Any,
) -> tuple[CCDData, Truth]:
    observation = observation or Observation()
    geometry = geometry or setup.geometry
    adu, truth = expose(setup, geometry, electrons.astype(np.float32), exposure, seed)
    header = raw_header(
        setup, geometry, adu.shape, observation, obstype=obstype, exposure=exposure, lamps=lamps
    )
    header["FILENAME"] = (
        file_name(
            observation, {"BIAS": "bias", "LAMPFLAT": "quartz", "ARC": "comp"}.get(obstype, "")
        ),
        "name of the raw frame",
    )
    return CCDData(adu, unit=u.adu, header=header), replace(truth, **truths)


def _on_chip(setup: SetUp, light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light after the slit (n_rows, n_columns) as the pixels see it."""
    response = pixel_response(setup.camera, setup.geometry, setup.shape)
    return light * slit_illumination(setup)[:, None] * column_weights(setup) * response


def simulate_bias(
    setup: SetUp, observation: Observation | None = None, *, seed: Seed = 0
) -> tuple[CCDData, Truth]:
    """A bias frame [adu] and its truth.

    Parameters
    ----------
    setup
        Instrument; camera, read-out window, gain and read noise matter.
    observation
        What the header says about time, proposal and block.
    seed
        The same seed gives the same frame.

    Returns
    -------
    CCDData
        Raw frame (n_rows, n_columns) [adu], whole numbers as float32, as `io.read_raw` gives it.
    Truth
        What it was made from.
    """
    return _finished(setup, np.zeros(setup.shape), observation, seed, obstype="BIAS", exposure=0.0)


def simulate_flat(
    setup: SetUp,
    observation: Observation | None = None,
    *,
    peak: float = 30000.0,
    exposure: float = 5.0,
    seed: Seed = 0,
) -> tuple[CCDData, Truth]:
    """A quartz flat, its brightest column `peak` [adu] above the bias. See `simulate_bias`."""
    wavelength = cell_wavelengths(setup)
    rate = planck(wavelength, 2850.0) * wavelength * throughput(setup, wavelength)
    sums = running_sum(setup, rate, setup.line_width)
    light = disperse(setup, sums, np.arange(setup.n_rows, dtype=float))
    light *= peak * setup.gain / light[setup.n_rows // 2].max()
    return _finished(
        setup,
        _on_chip(setup, light),
        observation,
        seed,
        obstype="LAMPFLAT",
        exposure=exposure,
        lamps=("quartz",),
    )


def simulate_arc(
    setup: SetUp,
    observation: Observation | None = None,
    *,
    peak: float = 20000.0,
    exposure: float = 2.0,
    seed: Seed = 0,
) -> tuple[CCDData, Truth]:
    """An arc of the lamps of `setup`, its brightest line `peak` [adu] high. See `simulate_bias`.

    Above 65,535 (Blue) or 56,000 adu (Red) lines saturate, as they do in most real arcs.
    """
    catalogue = lines_of(setup.lamps)
    columns = column_of(setup, catalogue.wavelength)
    catalogue = catalogue.select((columns > 20) & (columns < FULL_WIDTH - 5))
    sums = running_sum_of_lines(setup, catalogue.wavelength, catalogue.intensity)
    light = disperse(setup, sums, np.arange(setup.n_rows, dtype=float))
    scale = peak * setup.gain / light[setup.n_rows // 2].max()
    light = scale * light + 10.0 * setup.gain  # the lamps' own weak continuum
    middle = setup.n_rows // 2
    on_row = column_of(setup, catalogue.wavelength, float(setup.geometry.rows_to_detector(middle)))
    lines = Table(
        {
            "wavelength": catalogue.wavelength,
            "column": setup.geometry.columns_from_detector(on_row),
            "electrons": scale * catalogue.intensity,
            "ion": catalogue.ion,
        }
    )
    trace = np.full(setup.shape[1], float(middle))
    return _finished(
        setup,
        _on_chip(setup, light),
        observation,
        seed,
        obstype="ARC",
        exposure=exposure,
        lamps=setup.lamps,
        lines=lines,
        trace=trace,
        wavelength=wavelength_along(setup, trace),
    )


def simulate_spectrum(
    setup: SetUp,
    observation: Observation | None = None,
    *,
    source: str = "type_ia",
    magnitude: float = 16.5,
    exposure: float = 300.0,
    seeing: float = 1.0,
    sky_magnitude: float = 20.5,
    target_row: float | None = None,
    seed: Seed = 0,
) -> tuple[CCDData, Truth]:
    """A science frame: one object and the night sky. See `simulate_bias`.

    Parameters
    ----------
    source
        Name among `SOURCES`.
    magnitude
        AB magnitude at 5500 Angstrom; infinity leaves the object out.
    seeing
        FWHM of the Moffat profile at 5500 Angstrom [arcsec].
    sky_magnitude
        Continuum of the sky at 5500 Angstrom [AB magnitude / arcsec2].
    target_row
        Array row of the object in the middle column; by default near the middle of the window.
    """
    observation = observation or Observation()
    if target_row is None:
        target_row = 0.47 * setup.n_rows
    trace = _trace_of(setup, target_row)
    band, light = _object_light(setup, observation, source, magnitude, exposure, seeing, trace)
    frame = disperse(
        setup,
        _sky_sum(setup, exposure, sky_magnitude),
        np.arange(setup.n_rows, dtype=float),
    )
    columns = np.arange(setup.shape[1])
    sky = frame[np.clip(np.rint(trace).astype(int), 0, setup.n_rows - 1), columns]
    frame[band] += light
    weights = column_weights(setup) > 0
    return _finished(
        setup,
        _on_chip(setup, frame),
        observation,
        seed,
        obstype="SPECTRUM",
        exposure=exposure,
        wavelength=wavelength_along(setup, trace),
        trace=trace,
        flux=light.sum(axis=0) * weights,
        sky=sky * weights,
    )


def _trace_of(setup: SetUp, target_row: float) -> NDArray[np.float64]:
    """Array row of the object in each column (n_columns,): a slope and a little curvature."""
    x = np.linspace(-1.0, 1.0, setup.shape[1])
    return target_row + (setup.trace_slope / 2 * x + 1.5 * (x**2 - x**4)) / setup.y_binning


def _object_light(
    setup: SetUp,
    observation: Observation,
    source: str,
    magnitude: float,
    exposure: float,
    seeing: float,
    trace: NDArray[np.float64],
) -> tuple[slice, NDArray[np.float64]]:
    """Array rows that the object reaches, and its electrons there (n_band_rows, n_columns)."""
    wavelength = cell_wavelengths(setup)
    rate = photon_rate(source, magnitude, wavelength) * throughput(setup, wavelength)
    rate *= exposure * atmosphere(wavelength, observation.airmass)
    half_slit = np.array(setup.slit_width / 2)
    rate *= 2 * moffat_cumulative(half_slit, seeing) - 1
    sums = running_sum(setup, rate, min(setup.line_width, 0.85 * seeing / PIXEL_SCALE))
    fwhm = seeing / PIXEL_SCALE / setup.y_binning
    fwhm = fwhm * (wavelength_along(setup, trace) / 5500.0) ** -0.2
    reach = 15 * fwhm.max()
    band = slice(
        int(max(trace.min() - reach, 0)), int(min(trace.max() + reach, setup.n_rows - 1)) + 1
    )
    rows = np.arange(band.start, band.stop, dtype=float)
    profile = np.diff(
        moffat_cumulative(np.append(rows, band.stop)[:, None] - 0.5 - trace, fwhm), axis=0
    )
    return band, disperse(setup, sums, rows) * profile


def _sky_sum(setup: SetUp, exposure: float, sky_magnitude: float) -> NDArray[np.float64]:
    """Running sum of the night sky on one array row [electron]."""
    solid_angle = setup.slit_width * PIXEL_SCALE * setup.y_binning
    wavelength = cell_wavelengths(setup)
    redder = 10 ** (0.4 * 0.00045 * (wavelength - 5500.0))
    rate = photon_rate("flat", sky_magnitude, wavelength) * redder * throughput(setup, wavelength)
    photons = SKY_LINES[:, 1] * RAYLEIGH * COLLECTING_AREA
    lines = photons * throughput(setup, SKY_LINES[:, 0]) * solid_angle * exposure
    continuum = running_sum(setup, rate * solid_angle * exposure, setup.line_width)
    return continuum + running_sum_of_lines(setup, SKY_LINES[:, 0], lines)


def simulate_image(
    setup: SetUp,
    observation: Observation | None = None,
    *,
    n_stars: int = 12,
    exposure: float = 20.0,
    seeing: float = 1.0,
    sky_magnitude: float = 20.5,
    obstype: str = "ACQUISITION",
    seed: Seed = 0,
) -> tuple[CCDData, Truth]:
    """An acquisition image: stars in a narrow window, grating and slit out. See `simulate_bias`.

    The window is that of slit alignment, 400 unbinned columns, with the rows of `setup`.
    """
    imaging = replace(
        setup,
        grating="NO_GRATING",
        camera_angle=0.0,
        grating_angle=0.0,
        filter="r-SDSS",
        filter2="NO_FILTER",
        slit="NO_MASK",
    )
    geometry = Geometry(setup.x_binning, setup.y_binning, 1850, setup.y_origin)
    shape = setup.n_rows, 400 // setup.x_binning
    stars = _stars(shape, n_stars, exposure, np.random.default_rng(seed))
    area = PIXEL_SCALE**2 * setup.x_binning * setup.y_binning
    per_second = 996.0 * 1400.0 * COLLECTING_AREA * 0.35
    light = np.full(shape, per_second * 10 ** (-0.4 * sky_magnitude) * area * exposure)
    fwhm = seeing / PIXEL_SCALE
    for star in stars:
        light += star["electrons"] * _star_image(shape, geometry, star["column"], star["row"], fwhm)
    light *= pixel_response(setup.camera, geometry, shape)
    return _finished(
        imaging,
        light,
        observation,
        seed,
        obstype=obstype,
        exposure=exposure,
        geometry=geometry,
        stars=stars,
    )


def _stars(
    shape: tuple[int, int], n_stars: int, exposure: float, rng: np.random.Generator
) -> Table:
    magnitudes = rng.uniform(15.5, 21.0, n_stars)
    per_second = 996.0 * 1400.0 * COLLECTING_AREA * 0.35
    return Table(
        {
            "column": rng.uniform(0.03, 0.97, n_stars) * shape[1],
            "row": rng.uniform(0.03, 0.97, n_stars) * shape[0],
            "electrons": per_second * 10 ** (-0.4 * magnitudes) * exposure,
        }
    )


def _star_image(
    shape: tuple[int, int], geometry: Geometry, column: float, row: float, fwhm: float
) -> NDArray[np.float64]:
    """Moffat image (beta 3) of one star, sum one, at the centres of the pixels."""
    alpha2 = (fwhm / 2) ** 2 / (2 ** (1 / 3) - 1)
    x = (np.arange(shape[1]) - column) * geometry.x_binning
    y = (np.arange(shape[0]) - row) * geometry.y_binning
    image = (1 + (x**2 + y[:, None] ** 2) / alpha2) ** -3.0
    return image * geometry.x_binning * geometry.y_binning * 2 / (np.pi * alpha2)
