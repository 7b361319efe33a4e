"""A spectrum on a linear wavelength axis, for tools that know no other.

The native grid is the measurement; this copy conserves flux: every new bin gets the light
of the pixels in proportion to their overlap.
"""

from __future__ import annotations

import numpy as np
from astropy.io import fits
from astropy.table import QTable

from ..history import record_step


def linear_copy(spectrum: QTable, header: fits.Header) -> fits.PrimaryHDU:
    """Copy of a spectrum on a linear wavelength axis.

    Parameters
    ----------
    spectrum
        Columns `wavelength` [Angstrom], strictly monotonic, and `flux`.
    header
        Header of the product; not modified.

    Returns
    -------
    PrimaryHDU
        Flux per native pixel (n,) float32, as many pixels as the native grid, with the linear
        WCS in the forms that IRAF, DS9 and FITS WCS readers expect.
    """
    wavelength, flux = spectrum["wavelength"].value, spectrum["flux"].value
    if wavelength[-1] < wavelength[0]:
        wavelength, flux = wavelength[::-1], flux[::-1]
    start, step = float(wavelength[0]), float((wavelength[-1] - wavelength[0]) / (len(flux) - 1))
    centres = start + step * np.arange(len(flux))
    data = rebin(_edges(wavelength), flux, _edges(centres))
    header = header.copy()
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
    return fits.PrimaryHDU(data.astype(np.float32), header=header)


def rebin(edges: np.ndarray, flux: np.ndarray, new_edges: np.ndarray) -> np.ndarray:
    """Light of pixels between `edges` (n + 1,) shared out to bins between `new_edges`.

    Conserves the total where the bins cover the pixels.
    """
    cumulative = np.concatenate([[0.0], np.cumsum(flux)])
    return np.diff(np.interp(new_edges, edges, cumulative))


def _edges(centres: np.ndarray) -> np.ndarray:
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate([[2 * centres[0] - middle[0]], middle, [2 * centres[-1] - middle[-1]]])
