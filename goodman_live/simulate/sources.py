"""What shines: objects, lamps and the night sky."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

COLLECTING_AREA = 1.25e5  # [cm2]
RAYLEIGH = 1.87e-6  # photons / s / cm2 / arcsec2 of a line of 1 rayleigh

# Night sky: wavelength [Angstrom, air] and brightness [rayleigh], middle of the night. Atomic
# lines and OH wavelengths: Osterbrock et al. 1996, PASP 108, 277, and 1997, PASP 109, 614;
# brightness of the OH lines relative to each other: the model of Rousselot et al. 2000, A&A 354,
# 1134, as used for the MODS spectrographs; absolute scale typical of Leinert et al. 1998.
_SKY_TABLE = """
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
"""
SKY_LINES = np.array(_SKY_TABLE.split(), dtype=float).reshape(-1, 2)


def planck(wavelength: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    return wavelength**-5.0 / np.expm1(1.4388e8 / (wavelength * temperature))


def type_ia(wavelength: NDArray[np.float64], redshift: float = 0.011) -> NDArray[np.float64]:
    """A Type Ia supernova before maximum light: broad P Cygni features on a hot continuum.

    Relative flux per Angstrom; the features are Ca, Si, S, Mg, Fe and O near 10,000 km/s.
    """
    rest = wavelength / (1 + redshift)
    flux = planck(rest, 13000.0)
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
    flux = planck(wavelength, 25000.0)
    for n in range(3, 12):
        centre = 3645.0682 * n**2 / (n**2 - 4.0)
        width = 28.0 * (1.0 if n < 7 else 7.0 / n)
        depth = 0.55 if n < 9 else 0.55 * (9.0 / n) ** 3
        flux *= 1 - depth / (1 + (np.abs(wavelength - centre) / width) ** 1.7)
    return flux


def flat_spectrum(wavelength: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same flux per Angstrom at all wavelengths."""
    return np.ones_like(wavelength)


SOURCES: Mapping[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = MappingProxyType(
    {"type_ia": type_ia, "white_dwarf": white_dwarf, "flat": flat_spectrum}
)
"""Spectra of objects by name; each takes wavelengths [Angstrom] and gives relative flux."""


def photon_rate(
    source: str, magnitude: float, wavelength: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Photons / s / Angstrom on the mirror from an object of AB magnitude at 5500 Angstrom."""
    if source not in SOURCES:
        raise ValueError(f"The source must be one of {', '.join(SOURCES)}, not {source!r}.")
    shape = SOURCES[source](wavelength) * wavelength
    at_5500 = SOURCES[source](np.array([5500.0]))[0] * 5500.0
    return 996.0 * COLLECTING_AREA * 10 ** (-0.4 * magnitude) * shape / at_5500
