"""Raw Goodman frames with known truth: what the tests judge by and the demonstration shows.

A frame is built as the light travels: source, atmosphere, slit, grating and camera, chip,
amplifier, header. The same seed gives the same pixels. Chip and slit have defects that stay
from frame to frame, so that a bias or a flat removes them. Not modelled: fringes, second
order, bleeding, charge transfer, scattered light, flexure during the night, multi-slit masks.

Coordinates are those of `instruments`: zero-based centres of unbinned detector pixels, unless
a name says `array`. Wavelengths are in air [Angstrom].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, ndtr

from . import instruments, io
from .instruments import CAMERA_FOCAL_LENGTH, FULL_WIDTH, PIXEL_SCALE, PIXEL_SIZE, Geometry
from .lines import lines_of

Seed = int | Sequence[int]

SLIT_ROWS = (1034.0, 2710.0)  # detector rows between the ends of a long slit
_SLIT_CENTRE = sum(SLIT_ROWS) / 2
_LIT = {"Blue": (18, 4112), "Red": (50, FULL_WIDTH)}  # fully sensitive columns of the chip
_BLUE_EDGES = {17: 4.5, 4111: 1.2, 4112: 4.0}  # border columns that collect too much
_BIAS_LEVEL = {"Blue": 435.0, "Red": 493.0}  # [adu]
_RED_PLATEAU = 56200.0  # [adu] where saturated Red cores stop
_EDGES = np.arange(-60.0, FULL_WIDTH + 60.0, 0.25)  # fine grid along the dispersion
_COLLECTING_AREA = 1.25e5  # [cm2]
_RAYLEIGH = 1.87e-6  # photons / s / cm2 / arcsec2 of a line of 1 rayleigh
_COSMIC_RAYS = 0.5  # tracks / s / full frame of 2071 x 948 binned 2 x 2

# Night sky: wavelength [Angstrom, air] and brightness [rayleigh], middle of the night. Atomic
# lines and OH wavelengths: Osterbrock et al. 1996, PASP 108, 277, and 1997, PASP 109, 614;
# brightness of the OH lines relative to each other: the model of Rousselot et al. 2000, A&A 354,
# 1134, as used for the MODS spectrographs; absolute scale typical of Leinert et al. 1998.
SKY_LINES = np.array(
    """
    5197.93 4  5200.29 3  5460.74 6  5577.34 240  5889.95 40  5895.92 20  6300.30 130
    6363.78 43  6498.73 6  6533.04 8  6553.62 7  6863.96 21  6900.83 16  6923.22 18  6949.04 13
    7276.41 44  7316.28 33  7340.89 37  7369.37 29  7524.00 47  7571.75 35  7598.45 36  7628.62 23
    7712.83 40  7716.69 38  7750.64 62  7794.11 45  7808.47 20  7821.50 54  7853.40 61  7860.39 37
    7870.39 45  7913.71 121  7921.12 41  7949.20 25  7964.65 82  7979.77 31  7993.33 90  8014.06 25
    8025.81 64  8062.18 32  8281.29 53  8288.29 87  8298.46 101  8344.60 250  8352.78 89
    8382.39 55  8399.17 170  8415.23 65  8430.17 191  8452.25 54  8465.36 134  8493.39 80
    8504.63 70  8761.31 105  8767.91 143  8778.33 164  8791.19 49  8827.10 370  8836.36 130
    8849.82 47  8867.61 89  8885.85 250  8903.11 97  8919.64 283  8943.40 82  8958.08 206
    8988.37 50  9001.12 110  9049.23 47  9307.68 158  9312.96 219  9323.40 238  9375.96 471
    9386.62 175  9439.65 310  9458.53 124  9476.85 367  9519.35 268  9567.34 156  9699.34 215
    9719.84 278  9790.99 800  9799.51 260  9848.48 166  9872.14 559  9914.67 577  9945.81 478
    """.split(),
    dtype=float,
).reshape(-1, 2)


@dataclass(frozen=True)
class SetUp:
    """The instrument as set for a frame; the physics of the simulation follows from it.

    Angles in degrees, slit width in arcsec, gain in electron/adu, read noise in electrons (the
    true value is what the header says). `zero_shift` moves the spectrum along the columns
    [unbinned pixels], as another slit mask does; `trace_slope` is the rise of a spectrum from
    the first to the last column [unbinned rows].
    """

    camera: str = "Red"
    grating: str = "400_SYZY"
    lines: int = 400
    camera_angle: float = 16.1
    grating_angle: float = 7.5
    filter: str = "NO_FILTER"
    filter2: str = "GG455"
    slit: str = "1.0_LONG_SLIT"
    lamps: tuple[str, ...] = ("HgAr", "Ne")
    x_binning: int = 2
    y_binning: int = 2
    n_rows: int = 948
    y_origin: int = 980
    gain: float = 1.48
    read_noise: float = 3.89
    zero_shift: float = 0.0
    trace_slope: float = -30.0

    @classmethod
    def preset(cls, mode: str, camera: str | None = None, **changes: Any) -> SetUp:
        """The set-up of a mode such as '400_M2', or of '930_CUSTOM', the most used custom one.

        Parameters
        ----------
        mode
            Name among `MODE_NAMES`, in any case.
        camera
            'Blue' or 'Red'; by default the one that suits the wavelength.
        **changes
            Further fields of a set-up, such as ``n_rows=200``.

        Raises
        ------
        ValueError
            If the mode is not known.
        """
        found = next((m for m in _MODES if f"{m.lines}_{m.name}" == mode.upper()), None)
        if found is None:
            raise ValueError(f"The mode must be one of {', '.join(MODE_NAMES)}, not {mode!r}.")
        centre = instruments.central_wavelength(
            found.lines, found.camera_angle, found.grating_angle
        )
        camera = camera or ("Blue" if centre < 5200 else "Red")
        gain, read_noise = (1.40, 4.74) if camera == "Blue" else (1.48, 3.89)
        values = dict(
            camera=camera,
            grating="1200_CANIR" if found.name == "CANIR" else f"{found.lines}_SYZY",
            lines=found.lines,
            camera_angle=found.camera_angle,
            grating_angle=found.grating_angle,
            filter2=found.blocking_filter,
            lamps=("Fe",) if centre < 4800 else ("HgAr", "Ne"),
            gain=gain,
            read_noise=read_noise,
        )
        return cls(**values | changes)

    def window(self, n_rows: int, y_binning: int = 2, x_binning: int = 2) -> SetUp:
        """The same with a read-out window of `n_rows` binned rows about the middle of the slit."""
        y_origin = round(_SLIT_CENTRE) - n_rows * y_binning // 2
        return replace(
            self, n_rows=n_rows, y_origin=y_origin, y_binning=y_binning, x_binning=x_binning
        )

    @property
    def geometry(self) -> Geometry:
        """Where the array lies on the detector."""
        return Geometry(self.x_binning, self.y_binning, 0, self.y_origin)

    @property
    def shape(self) -> tuple[int, int]:
        """(n_rows, n_columns) of a spectroscopic frame."""
        return self.n_rows, FULL_WIDTH // self.x_binning

    @property
    def slit_width(self) -> float:
        """Width of the slit [arcsec]."""
        found = re.match(r"[\d.]+", self.slit)
        return float(found[0]) if found else 1.0

    @property
    def line_width(self) -> float:
        """FWHM of a line through the slit [unbinned pixels]."""
        return float(np.hypot(1.5, 0.85 * self.slit_width / PIXEL_SCALE))


_MODES = (*instruments.MODES, instruments.Mode(930, "CUSTOM", 24.0, 13.0, "NO_FILTER"))
MODE_NAMES = tuple(f"{mode.lines}_{mode.name}" for mode in _MODES)


@dataclass(frozen=True)
class Observation:
    """What the telescope was doing: written to the header, without effect on the pixels."""

    object_name: str = "SN2026abc"
    start: datetime = datetime(2026, 3, 16, 3, 0, 0, tzinfo=UTC)
    proposal: str = "SOAR2026A-012"
    block: int = 592177373
    observation: int = 10985637
    configuration: int = 762295033
    request: int = 3476405
    number: int = 30
    ra: str = "11:51:46.145"
    dec: str = "-65:23:55.511"
    airmass: float = 1.25
    seeing: float = -1.0  # of the DIMM; -1 is missing [arcsec]
    observer: str = "goodman_live"


@dataclass(frozen=True, eq=False)
class Truth:
    """What the frame was made from. Row 0, which the electronics spoil, is not covered.

    Attributes
    ----------
    electrons
        Expected electrons of each pixel (n_rows, n_columns), all defects of slit and chip
        included, cosmic rays and noise not.
    bias
        Level of each pixel without light (n_rows, n_columns) [adu].
    cosmic_rays, hot_pixels, saturated
        Flat indices of the pixels that cosmic rays hit (by more than the read noise), that
        have dark current, that stand at the end of the scale.
    wavelength
        At the centre of each column, on the row of the trace (n_columns,) [Angstrom, air].
    trace
        Array row of the object in each column (n_columns,); the row of `wavelength`.
    flux
        Electrons of the object in each column (n_columns,), all rows, slit and pixel
        response taken as perfect.
    sky
        Electrons of the sky per pixel in each column on the row of the trace (n_columns,).
    lines
        For arcs: columns wavelength, array column on the middle row, electrons of one row, ion.
    stars
        For images: array column, row and electrons of each star.
    """

    electrons: NDArray[np.float32]
    bias: NDArray[np.float32]
    cosmic_rays: NDArray[np.int64]
    hot_pixels: NDArray[np.int64]
    saturated: NDArray[np.int64]
    wavelength: NDArray[np.float64] | None = None
    trace: NDArray[np.float64] | None = None
    flux: NDArray[np.float64] | None = None
    sky: NDArray[np.float64] | None = None
    lines: Table | None = None
    stars: Table | None = None


# Optics ------------------------------------------------------------------------------------


def bend_of_lines(rows: ArrayLike) -> NDArray[np.float64]:
    """Shift of a line along the columns on detector rows: tilt and curvature [unbinned px]."""
    y = (np.asarray(rows, dtype=float) - _SLIT_CENTRE) / 900.0
    return 2.6 * y + 2.0 * y**2


def wavelength_at(
    setup: SetUp, columns: ArrayLike, rows: ArrayLike = _SLIT_CENTRE
) -> NDArray[np.float64]:
    """Wavelength that falls on detector positions [Angstrom, air].

    The grating equation with the camera's axis off the middle of the chip by what real arcs
    show (a few ten pixels, more at large camera angles) and a little distortion.
    """
    axis = 2040.0 + 4.6 * setup.camera_angle + setup.zero_shift
    x = (np.asarray(columns, dtype=float) - bend_of_lines(rows) - axis) / 1000.0
    millimetres = PIXEL_SIZE * 1000.0 * x * (1.0 - 0.003 + 0.0003 * x + 0.0002 * x**2)
    alpha = np.radians(setup.grating_angle)
    beta = np.radians(setup.camera_angle) - alpha + np.arctan(millimetres / CAMERA_FOCAL_LENGTH)
    return 1e7 / setup.lines * (np.sin(alpha) + np.sin(beta))


def column_of(
    setup: SetUp, wavelength: ArrayLike, row: float = _SLIT_CENTRE
) -> NDArray[np.float64]:
    """Detector column on which a wavelength falls, NaN off the chip: the inverse."""
    grid = wavelength_at(setup, _EDGES, row)
    return np.interp(np.asarray(wavelength, dtype=float), grid, _EDGES, left=np.nan, right=np.nan)


def throughput(setup: SetUp, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of the photons on the mirror that become electrons, slit and air left out."""
    first, last = wavelength_at(setup, [50.0, 4110.0])
    blaze = np.exp(-0.5 * ((wavelength - (first + last) / 2) / (0.45 * (last - first))) ** 2)
    cuts = {"Blue": (3450.0, 130.0, 8700.0, 450.0), "Red": (3750.0, 130.0, 9600.0, 300.0)}
    low, low_width, high, high_width = cuts[setup.camera]
    chip = expit((wavelength - low) / low_width) * expit((high - wavelength) / high_width)
    blocking = re.fullmatch(r"[GOR]G(\d+)", setup.filter2)
    passed = expit((wavelength - 10 * float(blocking[1])) / 40.0) if blocking else 1.0
    return 0.3 * blaze * chip * passed


def _atmosphere(wavelength: NDArray[np.float64], airmass: float) -> NDArray[np.float64]:
    """Transmission of the air: scattering and the A and B bands of oxygen."""
    magnitudes = 0.07 + 0.12 * (5500.0 / wavelength) ** 4
    bands = [(6872.0, 8.0, 0.4), (6890.0, 15.0, 0.2), (7605.0, 14.0, 0.7), (7640.0, 22.0, 0.45)]
    transmission = 10 ** (-0.4 * magnitudes * airmass)
    for centre, width, depth in bands:
        transmission *= 1 - depth * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
    return transmission


def _moffat_cumulative(offset: NDArray[np.float64], fwhm: ArrayLike) -> NDArray[np.float64]:
    """Integral of a Moffat profile (beta 3 in two dimensions) along the slit up to `offset`."""
    v = offset * (2.0 * np.sqrt(2.0**0.4 - 1.0) / np.asarray(fwhm))
    square = v * v
    return 0.5 + v * (3.0 + 2.0 * square) / (4.0 * (1.0 + square) ** 1.5)


# Sources -----------------------------------------------------------------------------------


def _planck(wavelength: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    return wavelength**-5.0 / np.expm1(1.4388e8 / (wavelength * temperature))


def type_ia(wavelength: NDArray[np.float64], redshift: float = 0.011) -> NDArray[np.float64]:
    """A Type Ia supernova before maximum light: broad P Cygni features on a hot continuum.

    Relative flux per Angstrom; the features are Ca, Si, S, Mg, Fe and O near 10,000 km/s.
    """
    rest = wavelength / (1 + redshift)
    flux = _planck(rest, 13000.0)
    features = (
        (3945.0, 17000.0, 0.62, 5500.0),  # Ca II H and K; wavelength, speed, depth, width [km/s]
        (4130.0, 10500.0, 0.16, 2800.0),  # Si II
        (4481.0, 13000.0, 0.32, 6000.0),  # Mg II and Fe II
        (5018.0, 12500.0, 0.33, 5500.0),  # Fe II
        (5454.0, 11000.0, 0.14, 2500.0),  # S II W
        (5640.0, 11000.0, 0.19, 2500.0),
        (5972.0, 11000.0, 0.13, 3000.0),  # Si II
        (6355.0, 11500.0, 0.55, 3500.0),  # Si II
        (7774.0, 12500.0, 0.22, 4500.0),  # O I
        (8579.0, 14000.0, 0.45, 6000.0),  # Ca II infrared
    )
    for centre, speed, depth, width in features:
        velocity = 2.998e5 * (rest / centre - 1)
        flux *= 1 - depth * np.exp(-0.5 * ((velocity + speed) / width) ** 2)
        flux *= 1 + 0.35 * depth * np.exp(-0.5 * ((velocity - 0.15 * speed) / width) ** 2)
    return flux


def white_dwarf(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """A hot white dwarf: broad Balmer lines. Relative flux per Angstrom."""
    flux = _planck(wavelength, 25000.0)
    for n in range(3, 12):
        centre = 3645.0682 * n**2 / (n**2 - 4.0)
        width = 28.0 * (1.0 if n < 7 else 7.0 / n)
        depth = 0.55 if n < 9 else 0.55 * (9.0 / n) ** 3
        flux *= 1 - depth / (1 + (np.abs(wavelength - centre) / width) ** 1.7)
    return flux


def flat_spectrum(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same flux per Angstrom at all wavelengths."""
    return np.ones_like(wavelength)


SOURCES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = (
    MappingProxyType(
        {"type_ia": type_ia, "white_dwarf": white_dwarf, "flat": flat_spectrum}
    )
)
"""Spectra of objects by name; each takes wavelengths [Angstrom] and gives relative flux."""


def _photon_rate(
    source: str, magnitude: float, wavelength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Photons / s / Angstrom on the mirror from an object of AB magnitude at 5500 Angstrom."""
    if source not in SOURCES:
        raise ValueError(f"The source must be one of {', '.join(SOURCES)}, not {source!r}.")
    shape = SOURCES[source](wavelength) * wavelength
    at_5500 = SOURCES[source](np.array([5500.0]))[0] * 5500.0
    return 996.0 * _COLLECTING_AREA * 10 ** (-0.4 * magnitude) * shape / at_5500


# Light on the chip ---------------------------------------------------------------------------
#
# A spectrum is carried as the running sum of its electrons along `_EDGES`, at the middle of the
# slit. The electrons of a pixel are then the difference between its two borders, shifted by the
# bend of its row: exact for any binning, and one interpolation per frame.


def _running_sum(setup: SetUp, rate: NDArray[np.float64], fwhm: float) -> NDArray[np.float64]:
    """Running sum of a continuum of `rate` [electron / Angstrom] in the cells of `_EDGES`."""
    cells = rate * np.diff(wavelength_at(setup, _EDGES))
    cells = gaussian_filter1d(cells, fwhm / 2.3548 / 0.25, mode="nearest")
    return np.concatenate([[0.0], np.cumsum(cells)])


def _running_sum_of_lines(
    setup: SetUp, wavelength: NDArray[np.float64], electrons: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same for Gaussian lines of given electrons; lines off the chip add nothing."""
    cells = np.zeros(len(_EDGES) - 1)
    sigma = setup.line_width / 2.3548
    for column, total in zip(column_of(setup, wavelength), electrons, strict=True):
        if np.isfinite(column):
            first, last = np.searchsorted(_EDGES, [column - 7 * sigma, column + 7 * sigma])
            cells[first : last - 1] += total * np.diff(ndtr((_EDGES[first:last] - column) / sigma))
    return np.concatenate([[0.0], np.cumsum(cells)])


def _cell_wavelengths(setup: SetUp) -> NDArray[np.float64]:
    return wavelength_at(setup, (_EDGES[1:] + _EDGES[:-1]) / 2)


def _disperse(
    setup: SetUp, running_sum: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Electrons of the pixels of array rows `rows`: (len(rows), n_columns)."""
    borders = setup.geometry.columns_to_detector(np.arange(setup.shape[1] + 1) - 0.5)
    bend = bend_of_lines(setup.geometry.rows_to_detector(rows))
    return np.diff(np.interp(borders - bend[:, None], _EDGES, running_sum), axis=1)


def _column_weights(setup: SetUp) -> NDArray[np.float64]:
    """Share of each array column (n_columns,) that collects light."""
    weights = np.zeros(setup.shape[1] * setup.x_binning)
    weights[slice(*_LIT[setup.camera])] = 1.0
    if setup.camera == "Blue":
        for column, weight in _BLUE_EDGES.items():
            if column < len(weights):
                weights[column] = weight
    return weights.reshape(-1, setup.x_binning).mean(axis=1)


def _slit_illumination(setup: SetUp) -> NDArray[np.float64]:
    """Light through the slit on each array row (n_rows,): soft ends, slow change, dust."""
    rows = np.arange(setup.n_rows * setup.y_binning) + setup.y_origin
    light = expit((rows - SLIT_ROWS[0]) / 0.7) * expit((SLIT_ROWS[1] - rows) / 0.7)
    light *= 1 - 0.015 * ((rows - 2000.0) / 800.0) ** 2
    for row, width, depth in ((1262, 2.5, 0.06), (1641, 1.6, 0.03), (2107, 3.0, 0.05), (2391, 2.0, 0.04)):
        light *= 1 - depth * np.exp(-0.5 * ((rows - row) / width) ** 2)
    return light.reshape(-1, setup.y_binning).mean(axis=1)


def _chip_seed(camera: str, geometry: Geometry, what: int) -> list[int]:
    values = geometry.x_binning, geometry.y_binning, geometry.x_origin, geometry.y_origin
    return [20170101, what, len(camera), *values]


@lru_cache(maxsize=4)
def _pixel_response(camera: str, geometry: Geometry, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Sensitivity of the pixels about one, the same in every frame (1 %)."""
    rng = np.random.default_rng(_chip_seed(camera, geometry, 1))
    response = 1.0 + 0.01 * rng.standard_normal(shape, dtype=np.float32)
    response.setflags(write=False)
    return response


@lru_cache(maxsize=4)
def _bias_pattern(camera: str, geometry: Geometry, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Structure of the bias level, the same in every frame [adu]."""
    rng = np.random.default_rng(_chip_seed(camera, geometry, 2))
    columns = geometry.columns_to_detector(np.arange(shape[1]))
    rows = np.linspace(-1.0, 1.0, shape[0])
    if camera == "Blue":
        inside = (columns > 16) & (columns < 4113)
        profile = 3.5 * np.exp(-(columns - 16) / 110.0) + 2.5 * np.exp((columns - 4112) / 90.0)
        along, down, noise = np.where(inside, profile, -2.3), 0.3 * rows, 0.8
    else:
        along, down, noise = 0.4 * np.sin(columns / 700.0), 1.2 * (rows**2 - 0.3), 0.5
    pattern = along[None, :] + down[:, None] + noise * rng.standard_normal(shape, dtype=np.float32)
    pattern = pattern.astype(np.float32)
    pattern.setflags(write=False)
    return pattern


def _hot_pixels(
    camera: str, geometry: Geometry, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Flat indices of hot pixels and their dark current [electron / s]."""
    rng = np.random.default_rng(_chip_seed(camera, geometry, 3))
    count = max(int(3e-5 * shape[0] * shape[1]), 3)
    columns = rng.integers(shape[1] // 20, shape[1] - shape[1] // 40, count)
    indices = rng.integers(1, shape[0], count) * shape[1] + columns
    indices, first = np.unique(indices, return_index=True)
    return indices, rng.lognormal(0.0, 1.3, count)[first]


# Cosmic rays ---------------------------------------------------------------------------------


def _track(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """One particle: offsets (x, y) of its path in unbinned pixels, electrons left at each."""
    if rng.random() < 0.75:  # a muon: straight, its length given by its slant
        length = min(1.2 * np.tan(np.arccos(np.sqrt(1 - rng.random()) ** 0.5)), 120.0)
        turning, density = 0.0, 1000.0
    else:  # an electron knocked loose nearby: a worm
        length, turning, density = rng.exponential(8.0), 0.35, 700.0
    n_steps = int(length / 0.25) + 2
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(turning * rng.standard_normal(n_steps))
    x, y = 0.25 * np.cumsum(np.cos(angles)), 0.25 * np.cumsum(np.sin(angles))
    electrons = 0.25 * density * np.hypot(1.0, 1.2 / max(length, 0.3)) * rng.lognormal(0.0, 0.4)
    return x, y, electrons


def _cosmic_rays(
    geometry: Geometry,
    shape: tuple[int, int],
    lit: tuple[int, int],
    exposure: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Flat indices of the pixels hit, and their electrons."""
    n_x, n_y = shape[1] * geometry.x_binning, shape[0] * geometry.y_binning
    rate = _COSMIC_RAYS * n_x * n_y / (FULL_WIDTH * 1896)
    xs, ys, charges = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for _ in range(rng.poisson(rate * exposure)):
        x, y, electrons = _track(rng)
        xs.append(x + rng.uniform(0, n_x) + 0.3 * rng.standard_normal(len(x)))
        ys.append(y + rng.uniform(0, n_y) + 0.3 * rng.standard_normal(len(x)))
        charges.append(np.full(len(x), electrons))
    x, y, charge = (np.concatenate(parts) for parts in (xs, ys, charges))
    on_chip = (x >= lit[0] - geometry.x_origin) & (x < min(lit[1] - geometry.x_origin, n_x))
    on_chip &= (y >= 0) & (y < n_y)
    columns = (x[on_chip] // geometry.x_binning).astype(int)
    rows = (y[on_chip] // geometry.y_binning).astype(int)
    indices, inverse = np.unique(rows * shape[1] + columns, return_inverse=True)
    return indices, np.bincount(inverse, weights=charge[on_chip], minlength=len(indices))


# Amplifier -----------------------------------------------------------------------------------


def _full_scale(setup: SetUp, shape: tuple[int, int]) -> NDArray[np.float64] | float:
    """Highest value a pixel can reach [adu]: converter, plateau of the Red camera or full well."""
    readout = instruments.find_readout(setup.camera, setup.gain, setup.read_noise)
    well = 65535.0 if readout is None or readout.digital_first else 2 * readout.half_full_well
    if setup.camera == "Red" and well > _RED_PLATEAU:
        return _RED_PLATEAU + 250.0 * np.sin(np.arange(shape[1]) * 12.9898 + 0.5)
    return min(well, 65535.0)


def _expose(
    setup: SetUp,
    geometry: Geometry,
    electrons: NDArray[np.float32],
    exposure: float,
    seed: Seed,
) -> tuple[NDArray[np.float32], Truth]:
    """Let the chip collect `electrons` (expected, of every pixel) and read it: pixels [adu]."""
    rng = np.random.default_rng(seed)
    shape = electrons.shape
    hot, dark_current = _hot_pixels(setup.camera, geometry, shape)
    electrons = electrons.astype(np.float32, copy=True)
    electrons.flat[hot] += dark_current * exposure
    hits, charges = _cosmic_rays(geometry, shape, _LIT[setup.camera], exposure, rng)
    level = _BIAS_LEVEL[setup.camera] + 0.3 * rng.standard_normal()
    bias = _bias_pattern(setup.camera, geometry, shape) + np.float32(level)
    adu = _draw_photons(electrons, rng)
    adu.flat[hits] += charges
    adu += setup.read_noise * rng.standard_normal(shape, dtype=np.float32)
    adu = bias + adu / np.float32(setup.gain)
    _spoil_borders(adu, bias, setup, geometry, rng)
    full_scale = _full_scale(setup, shape)
    saturated = np.flatnonzero(adu >= full_scale)
    adu = np.clip(np.rint(adu), 0.0, np.rint(full_scale)).astype(np.float32)
    hits = hits[charges > setup.read_noise]
    return adu, Truth(electrons, bias, hits, hot, saturated)


def _draw_photons(
    electrons: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Poisson deviates; where nothing is expected nothing is drawn, which saves most time."""
    drawn = np.zeros(electrons.shape, dtype=np.float32)
    lit = electrons > 0
    drawn[lit] = rng.poisson(electrons[lit])
    return drawn


def _spoil_borders(
    adu: NDArray[np.float32],
    bias: NDArray[np.float32],
    setup: SetUp,
    geometry: Geometry,
    rng: np.random.Generator,
) -> None:
    """What the electronics do to the first row and columns (`adu` changed in place)."""
    n_columns = adu.shape[1]
    if setup.camera == "Blue":
        adu[0] = bias[0] + 0.1 * (adu[0] - bias[0]) + 4.0
        adu[0, 0] += 1550.0
        spikes = rng.integers(0, n_columns, max(n_columns // 150, 1))
        adu[0, spikes] = rng.uniform(0.0, 65534.0, len(spikes))
        return
    adu[0] = bias[0] + 0.5 * (adu[0] - bias[0])
    if geometry.x_origin == 0:
        # The charge left of the end of a row appears at the start of the next one.
        end = (adu[:, -max(n_columns // 40, 1) :] - bias[:, -max(n_columns // 40, 1) :]).mean(axis=1)
        trail = np.array([0.15, 0.1, 0.07, 0.06, 0.001])[:: setup.x_binning]
        adu[1:, : len(trail)] += end[:-1, None] * trail


# Header --------------------------------------------------------------------------------------

_LAMP_CARDS = {
    "LAMP_HGA": ("HgAr", "Hg(Ar)"),
    "LAMP_NE": ("Ne", "Neon"),
    "LAMP_AR": ("Ar", "Argon"),
    "LAMP_FE": ("Fe", "Iron"),
    "LAMP_CU": ("Cu", "Copper"),
    "LAMP_QUA": ("quartz", "Quartz"),
    "LAMP_BUL": ("bulb", "Bulb"),
    "LAMP_DOM": ("dome", "Dome"),
}


def _controller_cards(
    camera: str, geometry: Geometry, shape: tuple[int, int], exposure: float
) -> Iterator[tuple[str, Any, str]]:
    """Telemetry as the two controllers write it: numbered cards, meaning in the comments."""
    window = {
        "Serial Origin": geometry.x_origin,
        "Serial Length": shape[1],
        "Serial Binning": geometry.x_binning,
        "Serial Post Scan": 0,
        "Parallel Origin": geometry.y_origin,
        "Parallel Length": shape[0],
        "Parallel Binning": geometry.y_binning,
        "Parallel Post Scan": 0,
    }
    if camera == "Blue":
        units = {"Serial Length": " Binned Pixels", "Parallel Length": " Binned Pixels"}
        control = [(v, f"{k},{units.get(k, ' Pixels')}") for k, v in window.items()]
        status = [(-106.2, "CCD 0 CCD Temp., C"), (0.0, "Chamber Pressure, Torr")]
        chip = [(16, "Serial Pre-Masked,"), (4096, "Serial Active Pix.,"), ("CCD 486", "CCD Model")]
        groups = [("Status", status), ("Factory", chip), ("Control", control)]
    else:
        control = [(16, "Bits Per Pixel, (16)"), (34, "DSI Sample Time,")]
        control += [(v, f"{k},") for k, v in sorted(window.items())]
        status = [(24624, "Camera Flags,"), (-125.0, "Cold End Temperature, C")]
        chip = [(750, "Tested Speeds, (Not Defined)"), ("e2V CCD231-84-1-F21", "CCD Model")]
        factory = [(1110, "Instrument Model,"), (50, "Serial Pre-Masked,"), (4096, "Serial Active Pix.,")]
        setup = [(exposure, "Exposure Time, Sec.")]
        groups = [("Status", status), ("Miscellaneous", chip), ("Setup", setup)]
        groups += [("Factory", factory), ("Control", control)]
    for i, (name, values) in enumerate(groups):
        yield f"N_PRM{i}", len(values), name
        for j, (value, comment) in enumerate(values):
            yield f"PG{i}_{j}", value, comment


def _time_cards(start: datetime, exposure: float, shutter: bool) -> Iterator[tuple[str, Any, str]]:
    said = start + timedelta(seconds=0.084)
    end = said + timedelta(seconds=exposure)
    text = f"{said:%H:%M:%S.%f}"[:-3] + " to " + f"{end:%H:%M:%S.%f}"[:-3]
    yield "DATE-OBS", said.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3], "YYYY-MM-DDThh:mm:ss.sss"
    yield "DATE", start.strftime("%Y-%m-%d"), "Date Format is YYYY-MM-DD"
    yield "TIME", text, "~ Start & Stop of Exposure"
    yield "UT", said.strftime("%H:%M:%S.%f")[:-3], "time at approx. start of exposure [UTC]"
    if shutter:
        closed = start + timedelta(seconds=max(exposure - 0.09, 0.0))
        yield "OPENTIME", start.strftime("%H:%M:%S.%f0"), "GPS-Synched Time for Shutter Open (UT)"
        yield "OPENDATE", start.strftime("%Y-%m-%d"), "GPS-Synched Time for Shutter Open (UT)"
        yield "CLOSETIM", closed.strftime("%H:%M:%S.%f0"), "GPS-Synched Time for Shutter Close"


def _telescope_cards(observation: Observation) -> Iterator[tuple[str, Any, str]]:
    yield "RA", observation.ra, "right ascension [hh:mm:ss.sss]"
    yield "DEC", observation.dec, "declination [dd:mm:ss.sss]"
    yield "AIRMASS", observation.airmass, "airmass at approx. start of exposure"
    yield "FOCUS", -997.37, "SOAR telescope focus"
    yield "ROTATOR", 76.5, "Nasymth cage rotator angle [deg]"
    yield "POSANGLE", 0.0, "position angle [deg. E of N]"
    yield "SEEING", observation.seeing, "DIMM seeing [arcsec]"
    yield "OBSRA", observation.ra, "target right ascension [hh:mm:ss.sss]"
    yield "OBSDEC", observation.dec, "target declination  [hh:mm:ss.sss]"


def _instrument_cards(setup: SetUp, lamps: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    for card, (lamp, comment) in _LAMP_CARDS.items():
        yield card, "TRUE" if lamp in lamps else "FALSE", comment
    yield "CAM_ANG", setup.camera_angle + 0.0002, "camera angle [deg]"
    yield "GRT_ANG", setup.grating_angle - 0.0003, "grating angle [deg]"
    yield "CAM_TARG", setup.camera_angle, "camera target [deg]"
    yield "GRT_TARG", setup.grating_angle, "grating target [deg]"
    yield "CAM_FOC", -1847, "camera focus"
    yield "COLL_FOC", 1002, "collimator focus"
    yield "FILTER", setup.filter, "primary filter wheel"
    yield "FILTER2", setup.filter2, "secondary filter wheel"
    yield "GRATING", setup.grating, "VPH grating [1/mm]"
    yield "SLIT", setup.slit, "slit [arcsec]"


def _schedule_cards(observation: Observation) -> Iterator[tuple[str, Any, str]]:
    yield "OBSID", observation.observation, ""
    yield "CONFID", observation.configuration, ""
    yield "REQNUM", observation.request, ""
    yield "PROPID", observation.proposal, ""
    yield "SITEID", "sor", ""
    yield "TELID", "4m0a", ""
    yield "RLEVEL", 0, ""
    yield "BLKUID", observation.block, ""
    yield "IMAGEID", str(observation.number), ""
    yield "HEADERVE", "1.0.1", ""


def _roi_name(geometry: Geometry, shape: tuple[int, int]) -> str:
    binning = f"{geometry.x_binning}x{geometry.y_binning}"
    full_rows = 1896 // geometry.y_binning
    if shape == (full_rows, FULL_WIDTH // geometry.x_binning) and geometry.y_origin == 980:
        return f"Spectroscopic {binning}"
    window = f"{geometry.x_origin}_{shape[1]}_{geometry.y_origin}_{shape[0]}"
    return f"CUST_{window}_{binning}"


def _raw_header(
    setup: SetUp,
    geometry: Geometry,
    shape: tuple[int, int],
    observation: Observation,
    *,
    obstype: str,
    exposure: float,
    lamps: Sequence[str] = (),
) -> fits.Header:
    """Header in the style written since 2019, keywords in the order of real files."""
    blue = setup.camera == "Blue"
    imaging = setup.grating == "NO_GRATING"
    mode = instruments.mode_name(
        setup.grating, setup.lines, setup.camera_angle, setup.grating_angle
    )
    wavmode = "Imaging" if imaging else "Custom" if "CUSTOM" in mode else mode
    unbinned = f"[1:{shape[1] * geometry.x_binning},1:{shape[0] * geometry.y_binning}]"
    cards = [
        ("OBJECT", observation.object_name, "Name of the object observed"),
        *_time_cards(observation.start, exposure, obstype != "BIAS"),
        *_controller_cards(setup.camera, geometry, shape, exposure),
        ("TELESCOP", "SOAR 4.1m", ""),
        ("INSTRUME", "ghts_blue" if blue else "ghts_red", ""),
        ("INSTCONF", setup.camera, ""),
        ("INSTSWV", "goodman_live simulation", ""),
        ("CAMERA", "Si 600-658" if blue else "Si 1110-111", ""),
        *_telescope_cards(observation),
        *_instrument_cards(setup, lamps),
        ("WAVMODE", wavmode, "Wavelength"),
        ("EXPTIME", float(exposure), "integration time"),
        ("RDNOISE", setup.read_noise, "CCD readnoise [e-]"),
        ("GAIN", setup.gain, "CCD gain [e-/ADU]"),
        ("OBSTYPE", obstype, "observation type"),
        ("OBSERVER", observation.observer, ""),
        ("PROPOSAL", "", ""),
        ("EQUINOX", 2000.0, "equinox of coordinates"),
        ("ROI", _roi_name(geometry, shape), ""),
        ("DISPAXIS", 1, ""),
        ("DETSIZE", "[1:4096,1:4096]", ""),
        ("TRIMSEC", unbinned, ""),  # wrong on purpose, as in real files
        ("CCDSIZE", "[1:4096,1:4096]", ""),
        ("CCDSUM", f"{geometry.x_binning} {geometry.y_binning}", ""),
        ("BUNIT", "adu", ""),
        *_schedule_cards(observation),
    ]
    return fits.Header([fits.Card(*card) for card in cards])


# Frames --------------------------------------------------------------------------------------


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
    adu, truth = _expose(setup, geometry, electrons.astype(np.float32), exposure, seed)
    header = _raw_header(
        setup, geometry, adu.shape, observation, obstype=obstype, exposure=exposure, lamps=lamps
    )
    header["FILENAME"] = (
        file_name(observation, {"BIAS": "bias", "LAMPFLAT": "quartz", "ARC": "comp"}.get(obstype, "")),
        "name of the raw frame",
    )
    return CCDData(adu, unit=u.adu, header=header), replace(truth, **truths)


def _on_chip(setup: SetUp, light: NDArray[np.float64]) -> NDArray[np.float64]:
    """Light after the slit (n_rows, n_columns) as the pixels see it."""
    response = _pixel_response(setup.camera, setup.geometry, setup.shape)
    return light * _slit_illumination(setup)[:, None] * _column_weights(setup) * response


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
    return _finished(
        setup, np.zeros(setup.shape), observation, seed, obstype="BIAS", exposure=0.0
    )


def simulate_flat(
    setup: SetUp,
    observation: Observation | None = None,
    *,
    peak: float = 30000.0,
    exposure: float = 5.0,
    seed: Seed = 0,
) -> tuple[CCDData, Truth]:
    """A quartz flat whose brightest columns lie `peak` [adu] above the bias. See `simulate_bias`."""
    wavelength = _cell_wavelengths(setup)
    rate = _planck(wavelength, 3000.0) * wavelength * throughput(setup, wavelength)
    running_sum = _running_sum(setup, rate, setup.line_width)
    light = _disperse(setup, running_sum, np.arange(setup.n_rows, dtype=float))
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
    peak: float = 45000.0,
    exposure: float = 2.0,
    seed: Seed = 0,
) -> tuple[CCDData, Truth]:
    """An arc of the lamps of `setup`, its brightest line `peak` [adu] high. See `simulate_bias`.

    Above 65,535 (Blue) or 56,000 adu (Red) lines saturate, as they do in most real arcs.
    """
    catalogue = lines_of(setup.lamps)
    columns = column_of(setup, catalogue.wavelength)
    catalogue = catalogue.select((columns > 20) & (columns < FULL_WIDTH - 5))
    running_sum = _running_sum_of_lines(setup, catalogue.wavelength, catalogue.intensity)
    light = _disperse(setup, running_sum, np.arange(setup.n_rows, dtype=float))
    scale = peak * setup.gain / light[setup.n_rows // 2].max()
    light = scale * light + 10.0 * setup.gain  # the lamps' own weak continuum
    middle = setup.n_rows // 2
    on_row = column_of(
        setup, catalogue.wavelength, float(setup.geometry.rows_to_detector(middle))
    )
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
        wavelength=_wavelength_along(setup, trace),
    )


def _wavelength_along(setup: SetUp, trace: NDArray[np.float64]) -> NDArray[np.float64]:
    geometry = setup.geometry
    columns = geometry.columns_to_detector(np.arange(setup.shape[1]))
    return wavelength_at(setup, columns, geometry.rows_to_detector(trace))


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
    frame = _disperse(
        setup,
        _sky_sum(setup, exposure, sky_magnitude),
        np.arange(setup.n_rows, dtype=float),
    )
    columns = np.arange(setup.shape[1])
    sky = frame[np.clip(np.rint(trace).astype(int), 0, setup.n_rows - 1), columns]
    frame[band] += light
    weights = _column_weights(setup) > 0
    return _finished(
        setup,
        _on_chip(setup, frame),
        observation,
        seed,
        obstype="SPECTRUM",
        exposure=exposure,
        wavelength=_wavelength_along(setup, trace),
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
    wavelength = _cell_wavelengths(setup)
    rate = _photon_rate(source, magnitude, wavelength) * throughput(setup, wavelength)
    rate *= exposure * _atmosphere(wavelength, observation.airmass)
    half_slit = np.array(setup.slit_width / 2)
    rate *= 2 * _moffat_cumulative(half_slit, seeing) - 1
    running_sum = _running_sum(setup, rate, min(setup.line_width, 0.85 * seeing / PIXEL_SCALE))
    fwhm = seeing / PIXEL_SCALE / setup.y_binning
    fwhm = fwhm * (_wavelength_along(setup, trace) / 5500.0) ** -0.2
    reach = 15 * fwhm.max()
    band = slice(
        int(max(trace.min() - reach, 0)), int(min(trace.max() + reach, setup.n_rows - 1)) + 1
    )
    rows = np.arange(band.start, band.stop, dtype=float)
    profile = np.diff(
        _moffat_cumulative(np.append(rows, band.stop)[:, None] - 0.5 - trace, fwhm), axis=0
    )
    return band, _disperse(setup, running_sum, rows) * profile


def _sky_sum(setup: SetUp, exposure: float, sky_magnitude: float) -> NDArray[np.float64]:
    """Running sum of the night sky on one array row [electron]."""
    solid_angle = setup.slit_width * PIXEL_SCALE * setup.y_binning
    wavelength = _cell_wavelengths(setup)
    redder = 10 ** (0.4 * 0.00045 * (wavelength - 5500.0))
    rate = _photon_rate("flat", sky_magnitude, wavelength) * redder * throughput(setup, wavelength)
    photons = SKY_LINES[:, 1] * _RAYLEIGH * _COLLECTING_AREA
    lines = photons * throughput(setup, SKY_LINES[:, 0]) * solid_angle * exposure
    continuum = _running_sum(setup, rate * solid_angle * exposure, setup.line_width)
    return continuum + _running_sum_of_lines(setup, SKY_LINES[:, 0], lines)


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
    per_second = 996.0 * 1400.0 * _COLLECTING_AREA * 0.35
    light = np.full(shape, per_second * 10 ** (-0.4 * sky_magnitude) * area * exposure)
    fwhm = seeing / PIXEL_SCALE
    for star in stars:
        light += star["electrons"] * _star_image(shape, geometry, star["column"], star["row"], fwhm)
    light *= _pixel_response(setup.camera, geometry, shape)
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
    per_second = 996.0 * 1400.0 * _COLLECTING_AREA * 0.35
    return Table(
        {
            "column": rng.uniform(5, shape[1] - 5, n_stars),
            "row": rng.uniform(5, shape[0] - 5, n_stars),
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


# Nights --------------------------------------------------------------------------------------


def file_name(observation: Observation, suffix: str = "") -> str:
    """Name of the raw file, such as '0030_SN2026abc.fits'."""
    words = [f"{observation.number:04d}", observation.object_name]
    if suffix and suffix != observation.object_name:
        words.append(suffix)
    return "_".join(words) + ".fits"


def write_raw(ccd: CCDData, path: Path) -> None:
    """Write a simulated frame as the telescope does: unsigned 16 bit, complete or not at all."""
    header = ccd.header.copy()
    header.remove("FILENAME", ignore_missing=True)
    header.add_comment(f"Triggered, Saved as: {path.name}")
    with io.appearing(path) as temporary:
        fits.PrimaryHDU(ccd.data.astype(np.uint16), header).writeto(temporary, overwrite=True)


@dataclass(frozen=True)
class _Planned:
    """One frame of a night before it is taken; `options` go to its function."""

    kind: str
    observation: Observation
    exposure: float
    options: Mapping[str, Any]


_TARGETS = (
    ("SN2026abc", "type_ia", 16.3, "11:51:46.145", "-05:23:55.511"),
    ("WDJ1208-3021", "white_dwarf", 15.5, "12:08:18.402", "-30:21:14.730"),
    ("AT2026xyz", "type_ia", 17.2, "13:35:02.778", "-12:40:09.120"),
    ("GJ9999", "flat", 16.0, "14:02:33.009", "-41:07:50.654"),
)
_READ_OUT = timedelta(seconds=4.5)
_OBSTYPES = {
    "bias": "BIAS",
    "flat": "LAMPFLAT",
    "arc": "ARC",
    "spectrum": "SPECTRUM",
    "acquisition": "ACQUISITION",
}


def _plan_night(
    night: str,
    n_bias: int,
    n_flat: int,
    n_arc: int,
    n_science: int,
    exposure: float,
    proposals: Sequence[str],
) -> Iterator[_Planned]:
    """The frames of a night in the order of time."""
    noon = datetime.strptime(night, "%Y%m%d").replace(tzinfo=UTC)
    plain = Observation(proposal="calibrate", block=0, observation=0, configuration=0, request=0)
    clock, number = noon + timedelta(hours=20, minutes=30), 0
    for kind, name, count, seconds in (("bias", "bias", n_bias, 0.0), ("flat", "quartz", n_flat, 5.0)):
        for _ in range(count):
            number += 1
            taken = replace(plain, object_name=name, start=clock, number=number)
            yield _Planned(kind, taken, seconds, {})
            clock += timedelta(seconds=seconds) + _READ_OUT
        clock += timedelta(minutes=4)
    clock = noon + timedelta(hours=24, minutes=30)
    for i, proposal in enumerate(proposals):
        name, source, magnitude, ra, dec = _TARGETS[i % len(_TARGETS)]
        target = Observation(
            object_name=name,
            proposal=proposal,
            block=592177373 + 17 * i,
            observation=10985637 + i,
            configuration=762295033 + 3 * i,
            ra=ra,
            dec=dec,
            airmass=round(1.1 + 0.15 * i, 2),
        )
        n_here, n_arcs = (len(range(i, n, len(proposals))) for n in (n_science, n_arc))
        steps = [("acquisition", 10.0, {})] if n_here else []
        steps += [("spectrum", exposure, {"source": source, "magnitude": magnitude})] * n_here
        steps += [("arc", 2.0, {})] * n_arcs
        for kind, seconds, options in steps:
            number += 1
            taken = replace(target, start=clock, number=number)
            yield _Planned(kind, taken, seconds, options)
            clock += timedelta(seconds=seconds) + _READ_OUT
        clock += timedelta(minutes=8)


_SUFFIXES = {"acquisition": "acq", "arc": "comp"}


def write_night(
    folder: Path,
    *,
    setup: SetUp | None = None,
    n_bias: int = 12,
    n_flat: int = 12,
    n_arc: int = 2,
    n_science: int = 6,
    exposure: float = 300.0,
    night: str = "20260315",
    proposals: Sequence[str] = ("SOAR2026A-012", "SOAR2026A-034"),
    flat_slit: str = "3.0_LONG_SLIT",
    arc_setup: SetUp | None = None,
    seed: int = 1,
) -> Table:
    """Write a night of raw frames with known truth.

    In the afternoon bias and flat frames; after dusk, for each proposal, one observing block:
    acquisition image, science frames, arcs. Beside them stands `truth.ecsv`, in the folder
    `truth` the spectrum of each science frame.

    Parameters
    ----------
    folder
        Made if needed; files of the same name are replaced.
    setup
        Of all spectra; by default 400_M2 on the Red camera, full window.
    n_arc, n_science
        In total; they are dealt out to the proposals in turn.
    exposure
        Of the science frames [s].
    night
        'YYYYMMDD', the date of the afternoon.
    flat_slit
        Slit of the flats, which are usually taken through a wider one.
    arc_setup
        Of the arcs, when they were taken differently (another slit with its `zero_shift`,
        another binning); by default as the science.
    seed
        Of the whole night.

    Returns
    -------
    Table
        One row per frame, as in `truth.ecsv`.
    """
    setup = setup or SetUp.preset("400_M2")
    folder = Path(folder)
    setups = {"flat": replace(setup, slit=flat_slit), "arc": arc_setup or setup}
    rows = []
    plan = _plan_night(night, n_bias, n_flat, n_arc, n_science, exposure, proposals)
    for planned in plan:
        used = setups.get(planned.kind, setup)
        ccd, truth = _take(used, planned, [seed, planned.observation.number])
        name = file_name(planned.observation, _SUFFIXES.get(planned.kind, ""))
        write_raw(ccd, folder / name)
        rows.append(_truth_row(name, planned, used, truth))
        if truth.flux is not None:
            _write_truth_spectrum(truth, folder / "truth" / name.replace(".fits", ".ecsv"))
    table = Table(rows=rows)
    table.write(folder / "truth.ecsv", overwrite=True)
    return table


def _take(setup: SetUp, planned: _Planned, seed: Seed) -> tuple[CCDData, Truth]:
    if planned.kind == "bias":
        return simulate_bias(setup, planned.observation, seed=seed)
    take = {
        "flat": simulate_flat,
        "arc": simulate_arc,
        "spectrum": simulate_spectrum,
        "acquisition": simulate_image,
    }[planned.kind]
    return take(
        setup, planned.observation, exposure=planned.exposure, seed=seed, **planned.options
    )


def _truth_row(name: str, planned: _Planned, setup: SetUp, truth: Truth) -> dict[str, Any]:
    observation = planned.observation
    wavelength = np.array([np.nan]) if truth.wavelength is None else truth.wavelength
    return {
        "file": name,
        "kind": planned.kind,
        "object": observation.object_name,
        "proposal": observation.proposal,
        "block": observation.block,
        "start": observation.start.strftime("%Y-%m-%dT%H:%M:%S"),
        "exposure": planned.exposure,
        "slit": setup.slit,
        "source": planned.options.get("source", ""),
        "magnitude": planned.options.get("magnitude", np.nan),
        "row": np.nan if truth.trace is None else truth.trace[len(truth.trace) // 2],
        "first_wavelength": wavelength[0],
        "last_wavelength": wavelength[-1],
        "n_cosmic_ray_pixels": len(truth.cosmic_rays),
        "n_saturated": len(truth.saturated),
    }


def _write_truth_spectrum(truth: Truth, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table = Table(
        {
            "wavelength": np.round(truth.wavelength, 4),
            "flux": np.round(truth.flux, 3),
            "sky": np.round(truth.sky, 4),
            "trace": np.round(truth.trace, 3),
        }
    )
    table.write(path, overwrite=True)
