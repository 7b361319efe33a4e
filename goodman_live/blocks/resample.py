"""A spectrum on a linear wavelength axis, for tools that know no other.

The native grid is the measurement; this copy conserves flux: every new bin gets the light
of the pixels in proportion to their overlap. A pixel is shared by two bins, so that the noise of
neighbours is correlated, which no single column of errors can tell: work that needs honest
errors over several pixels takes the native grid.
"""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable

from ..history import record_step
from ..quality import Quality, flag, with_quality


def linear_copy(spectrum: QTable, header: fits.Header) -> CCDData:
    """Copy of a spectrum on a linear wavelength axis.

    Parameters
    ----------
    spectrum
        Columns `wavelength` [Angstrom], strictly monotonic, `flux`, `uncertainty` and `mask`.
    header
        Header of the product; not modified.

    Returns
    -------
    CCDData
        Flux per native pixel (n,) [electron], as many pixels as the native grid, with its
        uncertainty, DQ bits of all pixels that went in, and the linear WCS in the forms that
        IRAF, DS9 and FITS WCS readers expect. Pixels without a flux are bridged and flagged
        NO_DATA in the bins that they touch; where they are most of a bin, its uncertainty is
        NaN.
    """
    backwards = spectrum["wavelength"][-1] < spectrum["wavelength"][0]
    order = slice(None, None, -1 if backwards else 1)
    names = ("wavelength", "flux", "uncertainty")
    wavelength, flux, error = (spectrum[name].value[order] for name in names)
    n_pixels = len(flux)
    start, step = float(wavelength[0]), float((wavelength[-1] - wavelength[0]) / (n_pixels - 1))
    centres = start + step * np.arange(n_pixels)
    pixel, new, share = overlaps(pixel_edges(wavelength), pixel_edges(centres))
    known = np.isfinite(flux) & np.isfinite(error)
    filled = np.interp(wavelength, wavelength[known], flux[known]) if known.any() else 0 * centres
    variance = np.where(known, error, 0.0) ** 2
    missing = np.bincount(new, share * ~known[pixel], n_pixels)
    quality = np.zeros(n_pixels, dtype=np.uint16)
    np.bitwise_or.at(quality, new, np.asarray(spectrum["mask"])[order][pixel].astype(np.uint16))
    flag(quality, missing > 0, Quality.NO_DATA)
    errors = np.sqrt(np.bincount(new, share**2 * variance[pixel], n_pixels))
    data = np.bincount(new, share * filled[pixel], n_pixels)
    header = header.copy()
    _write_axis(header, start, step)
    result = CCDData(
        data.astype(np.float32),
        uncertainty=StdDevUncertainty(np.where(missing > 0.5, np.nan, errors).astype(np.float32)),
        unit=u.electron,
        header=header,
    )
    return with_quality(result, quality)


def _write_axis(header: fits.Header, start: float, step: float) -> None:
    """Write a linear axis in air wavelengths [Angstrom] into `header` (changed in place)."""
    for keyword in [k for k in header if k.startswith(("LTM", "LTV"))]:
        del header[keyword]
    cards = {
        "WCSDIM": 1,
        "CTYPE1": ("LINEAR", "wavelength in air"),
        "CUNIT1": "Angstrom",
        "CRPIX1": 1.0,
        "CRVAL1": start,
        "CDELT1": step,
        "CD1_1": step,
        "DC-FLAG": (0, "linear wavelength axis"),
        "LTM1_1": 1.0,
        "WAT0_001": "system=equispec",
        "WAT1_001": "wtype=linear label=Wavelength units=angstroms",
        "SPECSYS": ("TOPOCENT", "no velocity correction applied"),
        "BUNIT": "electron",
    }
    record_step(header, "linear_copy", cards=cards)


def overlaps(edges: np.ndarray, new_edges: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How the pixels between `edges` (n + 1,) are shared out to bins between `new_edges`.

    Returns
    -------
    tuple of ndarray
        Pixel, bin, and share of the pixel that falls into the bin, for every pair that overlaps.
    """
    borders = np.union1d(edges, new_edges)
    low, high = max(edges[0], new_edges[0]), min(edges[-1], new_edges[-1])
    borders = borders[(borders >= low) & (borders <= high)]
    middle = (borders[1:] + borders[:-1]) / 2
    pixel = np.searchsorted(edges, middle) - 1
    new = np.searchsorted(new_edges, middle) - 1
    return pixel, new, np.diff(borders) / np.diff(edges)[pixel]


def pixel_edges(centres: np.ndarray) -> np.ndarray:
    """Edges (n + 1,) of pixels centred at (n,) values that rise or fall."""
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
