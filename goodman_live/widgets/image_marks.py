"""What is laid over an image: pixels that cannot be trusted, traces, apertures, background zones.

The marks of the pixels come from the DQ plane (a raw frame has none: there it is the saturation
that its camera is known for), all else from what extracted spectra tell of themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from astropy.nddata import CCDData
from astropy.table import QTable
from numpy.polynomial import Legendre

from ..instruments import PIXEL_SCALE, Geometry
from ..quality import Quality

if TYPE_CHECKING:
    from ..metadata import FrameInfo

OVER_IMAGE = {"trace": "#3d9bff", "aperture": "#ffae2b", "zone": "#3ecf8e"}
SAMPLES = 60  # points of a curve over the image
MARKED = (  # of a pixel with several the last counts: bits, what it is, colour
    (Quality.INTERPOLATED, "interpolated", "#e0b400"),
    (
        Quality.NO_DATA | Quality.HOT | Quality.UNLIT | Quality.NOT_FINITE | Quality.DEAD,
        "bad or unlit",
        "#a17bff",
    ),
    (Quality.COSMIC_RAY, "cosmic ray", "#12b5c9"),
    (Quality.SATURATED, "saturated", "#ff4d3d"),
)


def marks_of_quality(quality: np.ndarray) -> np.ndarray:
    """Number of the kind in `MARKED`, from 1 on, of each pixel of a DQ plane; 0 for good ones."""
    marks = np.zeros(quality.shape, dtype=np.uint8)
    if not quality.any():
        return marks
    for number, (bits, _, _) in enumerate(MARKED, start=1):
        marks[(quality & np.uint16(bits)) != 0] = number
    return marks


def marks_of_frame(ccd: CCDData) -> np.ndarray:
    """The same of a raw frame or of a product."""
    if ccd.flags is not None:
        return marks_of_quality(np.asarray(ccd.flags))
    marks = np.zeros(ccd.shape, dtype=np.uint8)
    if _is_raw(ccd):
        marks[np.asarray(ccd.data) >= _info_of(ccd).saturation] = len(MARKED)
    return marks


def legend_of(marks: np.ndarray) -> list[tuple[str, str, float]]:
    """What there is among the marks: name, colour, and share [%] of all pixels."""
    counts = np.bincount(marks.ravel(), minlength=len(MARKED) + 1)
    return [
        (name, colour, 100.0 * float(counts[number]) / marks.size)
        for number, (_, name, colour) in reversed(list(enumerate(MARKED, start=1)))
        if counts[number]
    ]


def scales_of(ccd: CCDData) -> tuple[float, float]:
    """Arcsec per pixel along x and y of a raw frame or of a product."""
    if _is_raw(ccd):
        geometry = _info_of(ccd).geometry
    else:
        geometry = Geometry.from_cards(ccd.header)
    return PIXEL_SCALE * geometry.x_binning, PIXEL_SCALE * geometry.y_binning


def is_image(ccd: CCDData) -> bool:
    """Whether a frame, raw or reduced, shows the sky and not spectra."""
    if _is_raw(ccd):
        return _info_of(ccd).technique == "imaging"
    return ccd.header.get("GSP_TECH") == "imaging"


def _is_raw(ccd: CCDData) -> bool:
    return "GSP_ONAM" not in ccd.header


def _info_of(raw: CCDData) -> FrameInfo:
    """What a raw frame is; its header is read once."""
    if raw not in _infos:
        from ..io import info_of

        _infos[raw] = info_of(raw)
    return _infos[raw]


_infos: WeakKeyDictionary[CCDData, FrameInfo] = WeakKeyDictionary()


@dataclass(frozen=True)
class Zones:
    """Edges of the aperture and of the background zones as distances from the centre.

    All in array rows: `centre`; `aperture` below and above the centre; `below` and `above`, inner
    and outer edge of each zone; `sides` tells whether there is one below and one above.
    """

    centre: float
    aperture: tuple[float, float]
    below: tuple[float, float]
    above: tuple[float, float]
    sides: tuple[bool, bool]

    @classmethod
    def of_header(cls, header: Mapping[str, Any], geometry: Geometry, centre: float) -> Zones:
        """Those that an extracted spectrum of a frame of this geometry tells of.

        `centre` is the trace's detector row in its middle.
        """
        scale = 1.0 / geometry.y_binning
        low, high = _section(header["GSP_EXTR"])
        zones = [header[card] for card in ("GSP_BKG1", "GSP_BKG2")]
        edges = [
            tuple(sorted(scale * abs(e - centre) for e in _section(zone)))
            for zone in zones
            if zone != "none"
        ]
        aperture = scale * (centre - low), scale * (high - centre)
        first, last = (edges[0], edges[-1]) if edges else (aperture, aperture)
        row = float(geometry.rows_from_detector(centre))
        return cls(row, aperture, first, last, (zones[0] != "none", zones[1] != "none"))

    @property
    def offsets(self) -> list[tuple[float, str]]:
        """Distance of each line from the centre, upwards, and what it is of `OVER_IMAGE`."""
        found = [(0.0, "trace"), (-self.aperture[0], "aperture"), (self.aperture[1], "aperture")]
        if self.sides[0]:
            found += [(-self.below[0], "zone"), (-self.below[1], "zone")]
        if self.sides[1]:
            found += [(self.above[0], "zone"), (self.above[1], "zone")]
        return found


def _section(text: str) -> tuple[float, float]:
    low, high = text.split(":")
    return float(low), float(high)


Curve = tuple[np.ndarray, np.ndarray, str]


def curves_of(rows: np.ndarray, zones: Zones) -> list[Curve]:
    """Columns, rows and colour of the lines over an image: trace, aperture, zones.

    `rows` (n_columns,) are those of the trace.
    """
    at = np.linspace(0, len(rows) - 1, SAMPLES).round().astype(int)
    return [(at, rows[at] + offset, OVER_IMAGE[what]) for offset, what in zones.offsets]


def curves_of_spectrum(ccd: CCDData, spectrum: QTable) -> list[Curve]:
    """The same from a spectrum product; none where it does not tell, as of an arc."""
    header = spectrum.meta.get("header", {})
    if "GSP_EXTR" not in header or "GSP_TORD" not in header:
        return []
    geometry = Geometry.from_cards(ccd.header)
    domain = header["GSP_TDM1"], header["GSP_TDM2"]
    terms = [header[f"GSP_TC{number:02d}"] for number in range(header["GSP_TORD"] + 1)]
    trace = Legendre(terms, domain=domain)  # as blocks.trace writes it, which is slow to import
    rows = trace(geometry.columns_to_detector(np.arange(ccd.shape[1])))
    zones = Zones.of_header(header, geometry, float(trace(np.mean(domain))))
    return curves_of(geometry.rows_from_detector(rows), zones)


def wavelength_of(ccd: CCDData, spectrum: QTable) -> np.ndarray | None:
    """Wavelength (n_columns,) [Angstrom] along the trace, None if the spectrum is of another size.

    Spectra have one pixel per column of the image that they were extracted of.
    """
    wavelength = np.asarray(spectrum["wavelength"].value, dtype=float)
    return wavelength if len(wavelength) == ccd.shape[1] else None
