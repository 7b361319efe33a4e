"""What the Goodman spectrograph is: detectors, readouts, gratings, modes, geometry.

Numbers are facts of the instrument, measured on real frames or published by the
observatory. Pixel coordinates are zero-based centres of *unbinned detector* columns
and rows, counted from the first column read with serial origin 0 (prescan included);
FITS sections appear only at the edge.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

PIXEL_SIZE = 0.015  # [mm]
PIXEL_SCALE = 0.15  # [arcsec per unbinned pixel]
CAMERA_FOCAL_LENGTH = 377.3  # [mm]
LATITUDE, LONGITUDE, ALTITUDE = -30.237892, -70.733642, 2748.0  # [deg, deg, m]

FULL_WIDTH = 4142  # unbinned columns read out, prescan included
LIT_COLUMNS = (50, 4110)  # zero-based, half open, unbinned
PRESCAN_COLUMNS = {"Red": (6, 49), "Blue": (1, 16)}  # one-based, inclusive, unbinned
GARBAGE_ROWS = 1  # the first row read out is never usable
DIGITAL_SATURATION = {"Blue": 65535.0, "Red": 55000.0}  # Red cores plateau at 55,300-57,000 adu


@dataclass(frozen=True)
class Readout:
    """One readout mode of one camera."""

    camera: str
    rate: int  # [kHz]
    attenuation: int
    gain: float  # [electron / adu]
    read_noise: float  # [electron]
    half_full_well: float  # [adu]
    digital_first: bool


READOUTS = tuple(
    Readout(*row)
    for row in (
        ("Blue", 50, 0, 0.25, 3.33, 279600.0, True),
        ("Blue", 50, 2, 0.47, 3.35, 148723.0, True),
        ("Blue", 50, 3, 0.91, 3.41, 76813.0, True),
        ("Blue", 100, 0, 0.56, 3.69, 124821.0, True),
        ("Blue", 100, 2, 1.06, 3.72, 65943.0, True),
        ("Blue", 100, 3, 2.06, 3.99, 33932.0, False),
        ("Blue", 200, 0, 1.40, 4.74, 49928.0, False),
        ("Blue", 200, 2, 2.67, 5.12, 26179.0, False),
        ("Blue", 400, 0, 5.67, 8.62, 12328.0, False),
        ("Red", 100, 3, 1.54, 3.45, 66558.0, True),
        ("Red", 100, 2, 3.48, 5.88, 29454.0, False),
        ("Red", 344, 3, 1.48, 3.89, 69257.0, True),
        ("Red", 344, 0, 3.87, 7.05, 26486.0, False),
        ("Red", 750, 2, 1.47, 5.27, 69728.0, True),
        ("Red", 750, 2, 1.45, 5.27, 69728.0, True),
        ("Red", 750, 0, 3.77, 8.99, 27188.0, False),
        ("Red", 750, 0, 3.78, 8.99, 27188.0, False),
    )
)


def find_readout(camera: str | None, gain: float, read_noise: float) -> Readout | None:
    """Readout mode with this gain [electron/adu] and read noise [electron], if it is a known one.

    A camera of None matches either (legacy headers do not name it).
    """
    for readout in READOUTS:
        if (
            camera in (None, readout.camera)
            and abs(readout.gain - gain) < 0.005
            and abs(readout.read_noise - read_noise) < 0.005
        ):
            return readout
    return None


def saturation_level(camera: str, gain: float, read_noise: float) -> float:
    """Level above which a raw pixel is saturated [adu].

    Half the full well, unless the converter saturates first; unknown readouts are
    taken as limited by the converter.
    """
    digital = DIGITAL_SATURATION.get(camera, 65535.0)
    readout = find_readout(camera, gain, read_noise)
    if readout is None or readout.digital_first:
        return digital
    return min(readout.half_full_well, digital)


@dataclass(frozen=True)
class Mode:
    """A preset set-up: grating, camera and grating angle [deg], order-blocking filter."""

    lines: int  # [1/mm]
    name: str
    camera_angle: float
    grating_angle: float
    blocking_filter: str


MODES = tuple(
    Mode(*row)
    for row in (
        (400, "M1", 11.6, 5.8, "NO_FILTER"),
        (400, "M2", 16.1, 7.5, "GG455"),
        (600, "UV", 15.25, 7.0, "NO_FILTER"),
        (600, "BLUE", 17.0, 7.0, "NO_FILTER"),
        (600, "MID", 20.0, 10.0, "GG385"),
        (600, "RED", 27.0, 12.0, "GG495"),
        (930, "M1", 20.6, 10.3, "NO_FILTER"),
        (930, "M2", 25.2, 12.6, "NO_FILTER"),
        (930, "M3", 29.9, 15.0, "GG385"),
        (930, "M4", 34.6, 18.3, "GG495"),
        (930, "M5", 39.4, 19.7, "GG495"),
        (930, "M6", 44.2, 22.1, "OG570"),
        (1200, "M0", 26.0, 16.3, "NO_FILTER"),
        (1200, "M1", 29.5, 16.3, "NO_FILTER"),
        (1200, "M2", 34.4, 18.7, "NO_FILTER"),
        (1200, "M3", 39.4, 20.2, "NO_FILTER"),
        (1200, "M4", 44.4, 22.2, "GG455"),
        (1200, "M5", 49.6, 24.8, "GG455"),
        (1200, "M6", 54.8, 27.4, "GG495"),
        (1200, "M7", 60.2, 30.1, "OG570"),
        (1200, "CANIR", 60.2, 30.1, "OG570"),
    )
)


def mode_name(grating: str, lines: int, camera_angle: float, grating_angle: float) -> str:
    """Name of the mode, such as '400_M2', or 'CUSTOM' with the central wavelength in nm.

    Decided by grating and angles [deg] (within 0.06 deg), never by the header's WAVMODE.
    """
    for mode in MODES:
        if (
            mode.lines == lines
            and abs(mode.camera_angle - camera_angle) < 0.06
            and abs(mode.grating_angle - grating_angle) < 0.06
            and (mode.name == "CANIR") == ("CANIR" in grating.upper())
        ):
            return f"{lines}_{mode.name}"
    centre = central_wavelength(lines, camera_angle, grating_angle)
    return f"{lines}_CUSTOM_{centre / 10:.0f}nm"


def central_wavelength(lines: int, camera_angle: float, grating_angle: float) -> float:
    """Wavelength at the camera's axis by the grating equation [Angstrom]."""
    alpha, beta = np.radians(grating_angle), np.radians(camera_angle - grating_angle)
    return float(1e7 / lines * (np.sin(alpha) + np.sin(beta)))


@dataclass(frozen=True)
class Geometry:
    """Where an array lies on the detector: binning and origin in unbinned pixels.

    Array pixel `i` covers the unbinned pixels `origin + i * binning` and the next
    `binning - 1`; its centre is at `origin + i * binning + (binning - 1) / 2`.
    """

    x_binning: int = 1
    y_binning: int = 1
    x_origin: int = 0
    y_origin: int = 0

    def columns_to_detector(self, columns: np.ndarray | float) -> np.ndarray:
        """Detector columns [unbinned pixels] of array columns (zero-based centres)."""
        return np.asarray(columns) * self.x_binning + self.x_origin + (self.x_binning - 1) / 2

    def rows_to_detector(self, rows: np.ndarray | float) -> np.ndarray:
        """Detector rows [unbinned pixels] of array rows (zero-based centres)."""
        return np.asarray(rows) * self.y_binning + self.y_origin + (self.y_binning - 1) / 2

    def columns_from_detector(self, columns: np.ndarray | float) -> np.ndarray:
        """Array columns (zero-based centres) of detector columns [unbinned pixels]."""
        return (np.asarray(columns) - self.x_origin - (self.x_binning - 1) / 2) / self.x_binning

    def rows_from_detector(self, rows: np.ndarray | float) -> np.ndarray:
        """Array rows (zero-based centres) of detector rows [unbinned pixels]."""
        return (np.asarray(rows) - self.y_origin - (self.y_binning - 1) / 2) / self.y_binning

    def cut(self, rows: slice, columns: slice) -> Geometry:
        """Geometry of the part `array[rows, columns]` (slices with non-negative starts)."""
        return Geometry(
            self.x_binning,
            self.y_binning,
            self.x_origin + (columns.start or 0) * self.x_binning,
            self.y_origin + (rows.start or 0) * self.y_binning,
        )

    def to_cards(self) -> dict[str, float]:
        """IRAF physical-coordinate cards: one-based, physical = unbinned detector pixel."""
        cards: dict[str, float] = {}
        for axis, binning, origin in (
            (1, self.x_binning, self.x_origin),
            (2, self.y_binning, self.y_origin),
        ):
            cards[f"LTM{axis}_{axis}"] = 1.0 / binning
            cards[f"LTV{axis}"] = 1.0 - (origin + (binning + 1) / 2) / binning
        return cards

    @classmethod
    def from_cards(cls, header) -> Geometry:
        """Geometry from the cards of `to_cards`."""
        binnings, origins = [], []
        for axis in (1, 2):
            binning = round(1.0 / header[f"LTM{axis}_{axis}"])
            binnings.append(binning)
            origins.append(round((1.0 - header[f"LTV{axis}"]) * binning - (binning + 1) / 2))
        return cls(*binnings, *origins)

    def to_dict(self) -> dict[str, int]:
        """Plain values."""
        return asdict(self)


def lit_section(geometry: Geometry, shape: tuple[int, int]) -> tuple[slice, slice]:
    """Rows and columns of a raw frame that saw light: no prescan, no garbage row.

    Parameters
    ----------
    geometry
        Geometry of the raw frame.
    shape
        (n_rows, n_columns) of the raw frame.
    """
    binning, offset = geometry.x_binning, geometry.x_origin // geometry.x_binning
    start = max(-(-(LIT_COLUMNS[0] + 1) // binning) - 1 - offset, 0)
    stop = min(LIT_COLUMNS[1] // binning - offset, shape[1])
    return slice(min(GARBAGE_ROWS, shape[0] - 1), shape[0]), slice(min(start, stop), stop)


def overscan_section(
    camera: str, geometry: Geometry, shape: tuple[int, int]
) -> tuple[slice, slice] | None:
    """Rows and columns of a raw frame's usable prescan, or None where none was read.

    The first Red columns carry the trail of bright lines and are left out.
    """
    if geometry.x_origin != 0 or camera not in PRESCAN_COLUMNS:
        return None
    first, last = PRESCAN_COLUMNS[camera]
    start, stop = -(-first // geometry.x_binning) - 1, last // geometry.x_binning
    if shape[1] <= stop:
        return None
    return slice(min(GARBAGE_ROWS, shape[0] - 1), shape[0]), slice(start, stop)


def to_fits_section(section: tuple[slice, slice]) -> str:
    """FITS section '[x1:x2,y1:y2]' (one-based, inclusive) of rows and columns."""
    rows, columns = section
    return f"[{columns.start + 1}:{columns.stop},{rows.start + 1}:{rows.stop}]"
