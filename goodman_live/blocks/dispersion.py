"""The wavelength of every detector column: the grating equation, and solutions that rest on arcs.

A solution is the grating equation of the spectrograph and a low polynomial that corrects it,
kept as one Chebyshev series. How lines are identified and fitted is told in `wavelength`.

All wavelengths are in air [Angstrom], all positions unbinned detector columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev

from ..history import record_step
from ..instruments import CAMERA_FOCAL_LENGTH, PIXEL_SIZE

AXIS_COLUMN = 2080.0  # detector column on the camera's axis
DOMAIN = (50.0, 4109.0)  # detector columns of a solution's polynomial
SOLUTION_ORDER = 6  # degree that holds grating equation and correction to a milli-pixel


@dataclass(frozen=True)
class Spectrograph:
    """The grating equation with what is uncertain in it.

    `offset` is how far the spectrum lies from where the camera angle puts it [unbinned
    pixels], `scale` the focal length in units of the nominal one.
    """

    lines: int
    camera_angle: float
    grating_angle: float
    offset: float = 0.0
    scale: float = 1.0

    def wavelength_at(self, columns: np.ndarray) -> np.ndarray:
        """Wavelength [Angstrom] at detector columns."""
        alpha = np.radians(self.grating_angle)
        focal = CAMERA_FOCAL_LENGTH * self.scale / PIXEL_SIZE
        beta = (
            np.radians(self.camera_angle) - alpha - self.offset * PIXEL_SIZE / CAMERA_FOCAL_LENGTH
        )
        angle = beta + np.arctan((np.asarray(columns, dtype=float) - AXIS_COLUMN) / focal)
        return 1e7 / self.lines * (np.sin(alpha) + np.sin(angle))

    def column_at(self, wavelength: np.ndarray) -> np.ndarray:
        """Detector column of wavelengths [Angstrom]; NaN where the grating does not send them."""
        alpha = np.radians(self.grating_angle)
        focal = CAMERA_FOCAL_LENGTH * self.scale / PIXEL_SIZE
        beta = (
            np.radians(self.camera_angle) - alpha - self.offset * PIXEL_SIZE / CAMERA_FOCAL_LENGTH
        )
        sine = np.asarray(wavelength, dtype=float) * self.lines / 1e7 - np.sin(alpha)
        angle = np.arcsin(np.where(np.abs(sine) < 1, sine, np.nan)) - beta
        return AXIS_COLUMN + focal * np.tan(np.where(np.abs(angle) < 1.2, angle, np.nan))

    def moved(self, offset: float, scale: float) -> Spectrograph:
        """The same set-up with another offset [unbinned pixels] and scale."""
        return Spectrograph(self.lines, self.camera_angle, self.grating_angle, offset, scale)

    @property
    def dispersion(self) -> float:
        """Dispersion on the axis [Angstrom per unbinned pixel]."""
        return float(np.diff(self.wavelength_at(np.array([-0.5, 0.5]) + AXIS_COLUMN))[0])


def first_guess(lines: int, camera_angle: float, grating_angle: float) -> Spectrograph:
    """Grating equation with the camera's typical flexure.

    In library arcs the lines lie at higher columns than the plain equation says, by about
    4.4 pixels per degree of camera angle less 10, within 100 pixels (170 at the steepest).
    """
    offset = 4.4 * abs(camera_angle) - 10.0
    return Spectrograph(lines, camera_angle, grating_angle, offset, 0.998)


@dataclass(frozen=True)
class WavelengthSolution:
    """Wavelength of every detector column, and what it rests on.

    Chebyshev coefficients [Angstrom, air] over `domain` [detector columns]. `rms` of the fitted
    lines and `held_out` of lines left out of their fit, `held_out_offset` the mean of every
    second line as the others predict it [Angstrom], all weighted; lists of the lines used, with
    how far the parts of a blend may move each (`blends`), and what all of them were believed to
    scatter by (`scatter`) [Angstrom]. `order` is the degree of the correction to the grating
    equation with the camera's `offset` and `scale`.
    `lamps` are those whose lines explain the arc, `warning` a sentence where they are not those
    that the header names.
    `status` is 'calibrated', or 'provisional' when it is only the grating equation, or another
    arc's.
    """

    coefficients: tuple[float, ...]
    domain: tuple[float, float]
    status: str
    rms: float = float("nan")
    held_out: float = float("nan")
    held_out_offset: float = float("nan")
    n_found: int = 0
    order: int = 0
    columns: tuple[float, ...] = ()
    wavelengths: tuple[float, ...] = ()
    ions: tuple[str, ...] = ()
    blends: tuple[float, ...] = ()
    scatter: float = float("nan")
    offset: float = float("nan")
    scale: float = float("nan")
    confidence: float = 0.0
    lamps: tuple[str, ...] = ()
    warning: str = ""

    def wavelength_at(self, columns: np.ndarray | float) -> np.ndarray:
        """Wavelength [Angstrom, air] at detector columns."""
        return Chebyshev(self.coefficients, domain=self.domain)(np.asarray(columns, dtype=float))

    @property
    def dispersion(self) -> float:
        """Mean dispersion [Angstrom per unbinned pixel]."""
        ends = self.wavelength_at(np.array(self.domain))
        return float((ends[1] - ends[0]) / (self.domain[1] - self.domain[0]))

    def to_dict(self) -> dict[str, Any]:
        """Plain values as JSON has them; figures that it does not have are left out."""
        known = asdict(self)
        return {k: v for k, v in known.items() if not (isinstance(v, float) and np.isnan(v))}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> WavelengthSolution:
        """Inverse of `to_dict`."""
        tuples = ("coefficients", "domain", "columns", "wavelengths", "ions", "blends", "lamps")
        return cls(**{k: tuple(v) if k in tuples else v for k, v in values.items()})


def provisional_solution(
    lines: int, camera_angle: float, grating_angle: float
) -> WavelengthSolution:
    """Wavelengths from the grating equation alone; good to a few tens of pixels."""
    guess = first_guess(lines, camera_angle, grating_angle)
    return WavelengthSolution(
        series_of(guess, np.zeros(1)),
        DOMAIN,
        "provisional",
        offset=guess.offset,
        scale=guess.scale,
    )


def correction_terms(column: np.ndarray, order: int) -> np.ndarray:
    middle, half = np.mean(DOMAIN), (DOMAIN[1] - DOMAIN[0]) / 2
    return np.polynomial.chebyshev.chebvander((column - middle) / half, order)


def series_of(model: Spectrograph, correction: np.ndarray) -> tuple[float, ...]:
    """Chebyshev coefficients over DOMAIN of the grating equation plus its correction."""
    columns = np.linspace(*DOMAIN, 200)
    values = (
        model.wavelength_at(columns) + correction_terms(columns, len(correction) - 1) @ correction
    )
    return tuple(map(float, Chebyshev.fit(columns, values, SOLUTION_ORDER, domain=DOMAIN).coef))


def record_solution(header, solution: WavelengthSolution, arcs: Sequence[str]) -> None:
    """Write a wavelength solution into a header (changed in place)."""
    cards: dict[str, Any] = {
        "GSP_WSTA": (solution.status, "calibrated, or provisional (no arc of its own)"),
        "GSP_FUNC": ("Chebyshev1D", "wavelength [Angstrom, air] of detector column"),
        "GSP_ORDR": (len(solution.coefficients) - 1, "its degree; of the fit see GSP_WORD"),
        "GSP_NPIX": (int(solution.domain[1] - solution.domain[0]) + 1, "columns of its domain"),
        "GSP_WDM1": (solution.domain[0], "first detector column of its domain"),
        "GSP_WDM2": (solution.domain[1], "last detector column of its domain"),
    }
    for number, value in enumerate(solution.coefficients):
        cards[f"GSP_C{number:03d}"] = value
    if solution.status == "calibrated":
        cards |= _calibrated_cards(solution, arcs)
    if solution.warning:
        header.add_comment(solution.warning)
    inputs = {f"arc{number}": name for number, name in enumerate(arcs, start=1)}
    record_step(header, "calibrate_wavelength", letter="w", inputs=inputs, cards=cards)


def read_solution(header) -> WavelengthSolution:
    """The wavelengths that `record_solution` wrote, without the lines that they rest on.

    Raises
    ------
    KeyError
        If the header has none.
    """
    coefficients = [header[f"GSP_C{number:03d}"] for number in range(header["GSP_ORDR"] + 1)]
    return WavelengthSolution(
        tuple(map(float, coefficients)),
        (float(header["GSP_WDM1"]), float(header["GSP_WDM2"])),
        str(header["GSP_WSTA"]),
    )


def _calibrated_cards(solution: WavelengthSolution, arcs: Sequence[str]) -> dict[str, Any]:
    """What a solution from an arc rests on; cards of figures that it does not have are left out."""
    cards: dict[str, Any] = {
        "GSP_LAMP": (arcs[0] if arcs else "", "arc"),
        "GSP_WLMP": (" ".join(solution.lamps), "lamps whose lines explain the arc"),
        "GSP_WORD": (solution.order, "degree of the correction that was fitted"),
        "GSP_WPOI": (len(solution.columns), "lines used"),
        "GSP_WREJ": (solution.n_found - len(solution.columns), "lines found but not used"),
    }
    figures = {
        "GSP_WRMS": (solution.rms, 4, "rms of the lines fitted [Angstrom]"),
        "GSP_WHLD": (solution.held_out, 4, "rms of lines held out [Angstrom]"),
        "GSP_WHPX": (solution.held_out / abs(solution.dispersion), 4, "the same [unbinned pixels]"),
        "GSP_WHOF": (solution.held_out_offset, 4, "mean of half the lines, held out [Angstrom]"),
        "GSP_WOFF": (solution.offset, 2, "camera flexure found [unbinned pixels]"),
        "GSP_WCON": (solution.confidence, 3, "confidence of the identification"),
    }
    if solution.columns:
        first, last = min(solution.columns), max(solution.columns)
        ends = solution.wavelength_at(np.array([first, last]))
        figures |= {
            "GSP_WCL1": (first, 1, "first line used [detector column]"),
            "GSP_WCL2": (last, 1, "last line used; extrapolated beyond"),
            "GSP_WWL1": (float(ends[0]), 2, "first line used [Angstrom]"),
            "GSP_WWL2": (float(ends[1]), 2, "last line used; extrapolated beyond"),
        }
    for keyword, (value, digits, comment) in figures.items():
        if np.isfinite(value):
            cards[keyword] = (round(float(value), digits), comment)
    return cards
