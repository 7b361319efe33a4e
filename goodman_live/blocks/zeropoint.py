"""The zero point of the wavelengths, measured on the sky of the science frame itself.

An arc taken through another slit, or long before, is off by a constant. The sky knows:
its emission lines in the red, and in the blue the Fraunhofer lines of the sunlight that
moon, dust and twilight scatter. The sky is compared with a template of either, which says
which feature is which; then each feature is centred by itself. A shift is reported only
when it stands out, and never guessed; where there was no arc, the scale is measured too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import param

from ..history import record_step
from ..settings import Settings
from .dispersion import WavelengthSolution
from .sky_centres import centred_one_by_one
from .sky_light import ABSORPTION, EMISSION
from .sky_match import ZeroPoint, compare_stretched

WIDEST_STRETCH = 0.015  # of the scale of a grating equation without an arc [fraction]
LONE_FEATURE = 5.0  # [unbinned pixels] that one feature may move an arc of the same slit by


class ZeroPointSettings(Settings):
    """Whether and how the sky corrects the wavelengths."""

    group = "Wavelength calibration"
    sky_zero_point = param.Boolean(
        label="Zero point from the sky",
        default=True,
        doc="Correct the zero point of the wavelengths on the sky where it is clear.",
    )
    sky_zero_point_search = param.Number(
        label="Zero point search range",
        default=60.0,
        bounds=(1.0, 500.0),
        doc="Largest shift that is looked for [unbinned pixels].",
    )


def measure_zero_point(
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    search: float,
    *,
    widest_stretch: float = 0.0,
) -> ZeroPoint | None:
    """Compare a sky spectrum with the night sky's emission and with scattered sunlight.

    Parameters
    ----------
    wavelength
        Wavelengths (n,) [Angstrom, air], increasing.
    sky
        Sky (n,), any unit; values that are not finite are bridged.
    fwhm
        Resolution [Angstrom].
    search
        Largest shift looked for [Angstrom].
    widest_stretch
        How wrong the scale may be [fraction]; 0 for that of an arc, which is right.

    Returns
    -------
    ZeroPoint or None
        The clear one, emission before sunlight, which a galaxy's own can imitate; else the most
        significant. None where the spectrum covers no feature.
    """
    finite = np.isfinite(sky)
    if not finite.any():
        return None
    sky = np.interp(wavelength, wavelength[finite], sky[finite])
    found = [
        compare_stretched(wavelength, sky, fwhm, search, widest_stretch, *known)
        for known in ((EMISSION, "sky emission"), (ABSORPTION, "scattered sunlight"))
    ]
    found = [f for f in found if f is not None]
    clear = [f for f in found if f.clear]
    best = clear[0] if clear else max(found, key=lambda f: f.significance, default=None)
    if best is None or not best.clear:
        return best
    return centred_one_by_one(best, wavelength, sky, fwhm, widest_stretch > 0)


def correct_zero_point(
    solution: WavelengthSolution,
    wavelength: np.ndarray,
    sky: np.ndarray,
    fwhm: float,
    header,
    settings: ZeroPointSettings | None = None,
) -> WavelengthSolution:
    """Solution with the zero point that the sky shows; what was found is recorded in `header`.

    A shift is applied when it is clear, larger than three times its error and than a tenth of
    the resolution; sunlight, whose template is approximate, must show at least a quarter of it.
    One feature alone moves an arc through the same slit by a few pixels at most: flexure does no
    more, but a line of the object may stand there. The scale of a provisional solution is
    corrected with it where enough lines show it.
    """
    settings = settings or ZeroPointSettings()
    if not settings.sky_zero_point:
        return solution
    search = settings.sky_zero_point_search * abs(solution.dispersion)
    widest = WIDEST_STRETCH if solution.status == "provisional" else 0.0
    measured = measure_zero_point(wavelength, sky, fwhm, search, widest_stretch=widest)
    if measured is None:
        cards = _cards("no feature of the sky", None, False)
        record_step(header, "correct_zero_point", cards=cards)
        return solution
    least = (0.1 if measured.features == "sky emission" else 0.25) * fwhm
    applied = measured.clear and abs(measured.shift) > max(3 * measured.error, least)
    applied |= measured.clear and measured.stretch != 0
    if measured.n_features == 1 and solution.status == "calibrated" and "GSP_WSLT" not in header:
        applied &= abs(measured.shift) < LONE_FEATURE * abs(solution.dispersion)
    record_step(header, "correct_zero_point", cards=_cards(measured.features, measured, applied))
    return _corrected(solution, measured) if applied else solution


def _corrected(solution: WavelengthSolution, measured: ZeroPoint) -> WavelengthSolution:
    coefficients = (1 + measured.stretch) * np.array(solution.coefficients)
    coefficients[0] += measured.shift - measured.stretch * measured.pivot
    return replace(solution, coefficients=tuple(map(float, coefficients)))


def _cards(features: str, measured: ZeroPoint | None, applied: bool) -> Mapping[str, Any]:
    cards: dict[str, Any] = {
        "GSP_WZFE": (features, "what the zero point was looked for on"),
        "GSP_WZAP": (applied, "zero point of the sky applied"),
    }
    if measured is None:
        return cards
    cards |= {
        "GSP_WZOK": (measured.clear, "whether it can be relied on"),
        "GSP_WZPT": (round(measured.shift, 3), "shift seen on the sky [Angstrom]"),
        "GSP_WZER": (round(measured.error, 3), "its error [Angstrom]"),
        "GSP_WZSG": (round(measured.significance, 1), "its significance [sigma]"),
        "GSP_WZNF": (measured.n_features, "features centred one by one"),
    }
    if measured.redshifted:
        cards["GSP_WZVE"] = (True, "it grows with wavelength: light of a galaxy")
    if measured.stretch:
        cards |= {
            "GSP_WZSC": (round(measured.stretch, 6), "stretch of the scale seen on the sky"),
            "GSP_WZSE": (round(measured.stretch_error, 6), "its error"),
            "GSP_WZPV": (round(measured.pivot, 2), "shift is that at [Angstrom]"),
        }
    return cards
