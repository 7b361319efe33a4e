"""The instrument as set, what the telescope was doing, and the truth of a simulated frame."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from astropy.table import Table
from numpy.typing import NDArray

from .. import instruments
from ..instruments import FULL_WIDTH, PIXEL_SCALE, Geometry

SLIT_ROWS = (1034.0, 2710.0)  # detector rows between the ends of a long slit
SLIT_CENTRE = sum(SLIT_ROWS) / 2

Seed = int | Sequence[int]


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
        values = {
            "camera": camera,
            "grating": "1200_CANIR" if found.name == "CANIR" else f"{found.lines}_SYZY",
            "lines": found.lines,
            "camera_angle": found.camera_angle,
            "grating_angle": found.grating_angle,
            "filter2": found.blocking_filter,
            "lamps": ("Fe",) if centre < 4800 else ("HgAr", "Ne"),
            "gain": gain,
            "read_noise": read_noise,
        }
        return cls(**values | changes)

    def window(self, n_rows: int, y_binning: int = 2, x_binning: int = 2) -> SetUp:
        """The same with a read-out window of `n_rows` binned rows about the middle of the slit."""
        y_origin = round(SLIT_CENTRE) - n_rows * y_binning // 2
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
