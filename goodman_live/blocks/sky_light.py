"""The light of the sky whose wavelengths are known: its emission lines, and scattered sunlight.

Templates of both, and what makes a sky comparable with them. Nothing is measured here.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import median_filter

# Night-sky emission: air wavelength [Angstrom] and rough brightness [rayleigh]. Wavelengths of
# [O I] and Na I from the NIST database, of OH (means of doublets) from Osterbrock et al. (1996,
# PASP 108, 277); OH brightness relative to each other after Rousselot et al. (2000, A&A 354,
# 1134). Left out is what lies in the A band of oxygen.
_EMISSION = """
    5577.338 240  5889.951 40  5895.924 22  6257.961 5  6287.434 7  6300.304 130  6306.869 4
    6363.776 43  6498.729 6  6533.044 8  6553.617 7  6863.955 21  6870.994 5  6889.288 9
    6900.833 14  6912.623 8  6923.220 18  6939.521 8  6949.045 12  6969.930 5  7276.405 44
    7284.439 10  7303.716 10  7316.282 33  7329.148 12  7340.885 37  7358.659 9  7369.366 29
    7392.210 10  7523.95 47  7571.746 35  7712.83 40  7716.69 38  7750.640 62  7794.112 45
    7808.467 20  7821.503 54  7841.266 14  7853.244 60  7860.39 37  7870.39 45  7913.708 121
    7921.119 41  7949.204 25  7964.650 82  7979.77 31  7993.332 90  8014.059 25  8025.81 64
    8062.18 32  8281.29 53  8288.618 87  8298.46 101  8344.602 250  8352.793 89  8382.392 55
    8399.170 170  8415.231 65  8430.174 191  8452.250 54  8465.358 134  8493.389 80  8504.628 70
    8761.314 105  8767.912 143  8778.333 164  8791.186 49  8827.096 370  8836.016 130
    8849.82 47  8867.605 89  8885.850 250  8903.114 97  8919.641 283  8943.395 82  8958.084 206
    8988.366 50  9001.115 110
"""
EMISSION = dict(np.array(_EMISSION.split(), dtype=float).reshape(-1, 2).tolist())
# Fraunhofer lines, air wavelengths and equivalent widths [Angstrom] in the solar spectrum:
# Moore, Minnaert and Houtgast (1966, NBS Monograph 61). The G band of CH is one broad feature.
_ABSORPTION = """
    3570.100 1.38  3581.209 2.14  3608.869 1.05  3618.777 1.41  3631.475 1.36  3647.851 0.97
    3719.947 1.66  3734.874 3.03  3737.141 1.07  3745.574 1.20  3749.495 1.91  3758.245 1.65
    3763.803 0.83  3767.204 0.82  3815.851 1.27  3820.436 1.71  3825.891 1.52  3832.310 1.69
    3838.302 1.92  3856.381 0.65  3859.922 1.55  3886.294 0.92  3905.532 0.82  3933.682 20.25
    3944.016 0.49  3961.535 0.62  3968.492 15.47  4045.825 1.17  4063.605 0.79  4071.749 0.72
    4101.748 3.13  4143.878 0.47  4226.740 1.48  4260.486 0.60  4271.774 0.76  4307.912 4.0
    4325.775 0.79  4340.475 2.86  4383.557 1.01  4404.761 0.90  4415.135 0.42  4861.342 3.68
    4920.514 0.47  4957.613 0.70  5167.327 0.94  5172.698 1.26  5183.619 1.58  5269.550 0.48
    5328.051 0.38  6562.808 4.02
"""
ABSORPTION = dict(np.array(_ABSORPTION.split(), dtype=float).reshape(-1, 2).tolist())


def flattened(sky: np.ndarray, step: float, emission: bool) -> tuple[np.ndarray, float]:
    """Sky without its continuum, and the noise of a pixel of it."""
    continuum = median_filter(sky, size=continuum_window(step), mode="nearest")
    if emission:
        signal = sky - continuum
    else:
        signal = (sky - continuum) / np.maximum(continuum, 0.1 * np.max(continuum) + 1e-9)
        signal = np.clip(signal, -1.0, 0.3)
    difference = np.diff(signal)
    noise = 1.4826 * np.median(np.abs(difference - np.median(difference))) / np.sqrt(2)
    noise = max(float(noise), 1e-9)
    if emission:
        # One very bright line must not outvote all others.
        signal = noise * np.arcsinh(np.maximum(signal, -3 * noise) / noise / 5) * 5
    return signal, noise


def continuum_window(step: float) -> int:
    """Pixels of the running median that is the continuum: 120 Angstrom."""
    return max(int(120.0 / step), 15) | 1


def template_of(
    grid: np.ndarray, lines: Mapping[float, float], fwhm: float, emission: bool
) -> np.ndarray:
    """Emission lines, or the logarithm-like dips of saturated absorption lines."""
    result = np.zeros(len(grid))
    for wavelength, strength in lines.items():
        if emission:
            profile = strength**0.5 * np.exp(-4 * np.log(2) * ((grid - wavelength) / fwhm) ** 2)
            result += profile
        else:
            # Strong Fraunhofer lines have damping wings; their width follows their strength.
            width = np.hypot(fwhm, 0.6 * strength)
            depth = min(1.06 * strength / width, 1.5) / 1.5
            result -= depth * np.exp(-4 * np.log(2) * ((grid - wavelength) / width) ** 2)
    return result
