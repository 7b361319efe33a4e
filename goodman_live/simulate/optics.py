"""Where light of each wavelength falls, and how much of it arrives.

A spectrum is carried as the running sum of its electrons along `EDGES`, at the middle of the
slit. The electrons of a pixel are then the difference between its two borders, shifted by the
bend of its row: exact for any binning, and one interpolation per frame.
"""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.special import expit, ndtr

from ..instruments import CAMERA_FOCAL_LENGTH, FULL_WIDTH, PIXEL_SIZE
from .setup import SLIT_CENTRE, SetUp

EDGES = np.arange(-60.0, FULL_WIDTH + 60.0, 0.25)  # fine grid along the dispersion


def bend_of_lines(rows: ArrayLike) -> NDArray[np.float64]:
    """Shift of a line along the columns on detector rows: tilt and curvature [unbinned px]."""
    y = (np.asarray(rows, dtype=float) - SLIT_CENTRE) / 900.0
    return 2.6 * y + 2.0 * y**2


def wavelength_at(
    setup: SetUp, columns: ArrayLike, rows: ArrayLike = SLIT_CENTRE
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


def column_of(setup: SetUp, wavelength: ArrayLike, row: float = SLIT_CENTRE) -> NDArray[np.float64]:
    """Detector column on which a wavelength falls, NaN off the chip: the inverse."""
    grid = wavelength_at(setup, EDGES, row)
    return np.interp(np.asarray(wavelength, dtype=float), grid, EDGES, left=np.nan, right=np.nan)


def throughput(setup: SetUp, wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fraction of the photons on the mirror that become electrons, slit and air left out."""
    first, last = wavelength_at(setup, [50.0, 4110.0])
    blaze = np.exp(-0.5 * ((wavelength - (first + last) / 2) / (0.6 * (last - first))) ** 2)
    cuts = {"Blue": (3450.0, 130.0, 8700.0, 450.0), "Red": (3750.0, 130.0, 9600.0, 300.0)}
    low, low_width, high, high_width = cuts[setup.camera]
    chip = expit((wavelength - low) / low_width) * expit((high - wavelength) / high_width)
    blocking = re.fullmatch(r"[GOR]G(\d+)", setup.filter2)
    passed = expit((wavelength - 10 * float(blocking[1])) / 40.0) if blocking else 1.0
    return 0.3 * blaze * chip * passed


def atmosphere(wavelength: NDArray[np.float64], airmass: float) -> NDArray[np.float64]:
    """Transmission of the air: scattering and the A and B bands of oxygen."""
    magnitudes = 0.07 + 0.12 * (5500.0 / wavelength) ** 4
    bands = [(6872.0, 8.0, 0.4), (6890.0, 15.0, 0.2), (7605.0, 14.0, 0.7), (7640.0, 22.0, 0.45)]
    transmission = 10 ** (-0.4 * magnitudes * airmass)
    for centre, width, depth in bands:
        transmission *= 1 - depth * np.exp(-0.5 * ((wavelength - centre) / width) ** 2)
    return transmission


def moffat_cumulative(offset: NDArray[np.float64], fwhm: ArrayLike) -> NDArray[np.float64]:
    """Integral of a Moffat profile (beta 3 in two dimensions) along the slit up to `offset`."""
    v = offset * (2.0 * np.sqrt(2.0**0.4 - 1.0) / np.asarray(fwhm))
    square = v * v
    return 0.5 + v * (3.0 + 2.0 * square) / (4.0 * (1.0 + square) ** 1.5)


def running_sum(setup: SetUp, rate: NDArray[np.float64], fwhm: float) -> NDArray[np.float64]:
    """Running sum of a continuum of `rate` [electron / Angstrom] in the cells of `EDGES`."""
    cells = rate * np.diff(wavelength_at(setup, EDGES))
    cells = gaussian_filter1d(cells, fwhm / 2.3548 / 0.25, mode="nearest")
    return np.concatenate([[0.0], np.cumsum(cells)])


def running_sum_of_lines(
    setup: SetUp, wavelength: NDArray[np.float64], electrons: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The same for Gaussian lines of given electrons; lines off the chip add nothing."""
    cells = np.zeros(len(EDGES) - 1)
    sigma = setup.line_width / 2.3548
    for column, total in zip(column_of(setup, wavelength), electrons, strict=True):
        if np.isfinite(column):
            first, last = np.searchsorted(EDGES, [column - 7 * sigma, column + 7 * sigma])
            cells[first : last - 1] += total * np.diff(ndtr((EDGES[first:last] - column) / sigma))
    return np.concatenate([[0.0], np.cumsum(cells)])


def cell_wavelengths(setup: SetUp) -> NDArray[np.float64]:
    return wavelength_at(setup, (EDGES[1:] + EDGES[:-1]) / 2)


def disperse(
    setup: SetUp, sums: NDArray[np.float64], rows: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Electrons of the pixels of array rows `rows`: (len(rows), n_columns)."""
    borders = setup.geometry.columns_to_detector(np.arange(setup.shape[1] + 1) - 0.5)
    bend = bend_of_lines(setup.geometry.rows_to_detector(rows))
    return np.diff(np.interp(borders - bend[:, None], EDGES, sums), axis=1)


def wavelength_along(setup: SetUp, trace: NDArray[np.float64]) -> NDArray[np.float64]:
    """Wavelength of each array column on the array rows of a trace (n_columns,)."""
    geometry = setup.geometry
    columns = geometry.columns_to_detector(np.arange(setup.shape[1]))
    return wavelength_at(setup, columns, geometry.rows_to_detector(trace))
