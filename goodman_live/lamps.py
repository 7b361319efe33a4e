"""The lamp library: a folder of calibrated arcs that users add to.

Each arc is a small FITS file: light and wavelength by detector column, the set-up, the lamps,
and where it came from. What is taken in: an arc spectrum that this package calibrated, a raw
arc, which is reduced first, and an arc of the predecessor's library. Refused are arcs without a
solution, spectra of anything else, and what is there already.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import QTable
from numpy.polynomial import Chebyshev
from numpy.polynomial.chebyshev import chebval

from . import io, recipes
from .blocks.dispersion import WavelengthSolution, read_solution
from .blocks.templates import Template
from .errors import FrameError, GoodmanError, NoWavelengthSolution
from .instruments import LIT_COLUMNS
from .metadata import ARC_LAMPS, FrameInfo

VARIABLE = "GOODMAN_LIVE_LAMPS"
_TEXTS = {
    "LAMPS": "lamps",
    "CAMERA": "camera",
    "SLIT": "slit",
    "DATE-OBS": "date",
    "ORIGFILE": "origin",
}


def library_folder(given: Path | None = None) -> Path:
    """The library: as given, as the variable GOODMAN_LIVE_LAMPS says, or in the user's data."""
    if given is not None:
        return given
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    data = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(data) / "goodman_live" / "lamps"


def read_library(folder: Path, info: FrameInfo | None = None) -> list[Template]:
    """Arcs of a library by name, only those of the set-up of `info` if it is given.

    A file that is no such arc (any more) is passed over: a second opinion stops no reduction.
    """
    found = []
    for path in sorted(folder.glob(f"{info.lines}_*.fits" if info else "*.fits")):
        try:
            template = _read(path)
        except FrameError:
            continue
        if info is None or template.is_of_setup(info):
            found.append(template)
    return found


def add_to_library(path: Path, folder: Path) -> Template:
    """Take an arc into a library; the file itself is only read.

    Raises
    ------
    GoodmanError
        If it is no calibrated arc of this instrument, or in the library already.
    """
    return keep_template(template_of(path), folder)


def keep_template(template: Template, folder: Path) -> Template:
    """Take a template into a library.

    Raises
    ------
    GoodmanError
        If its light or its name is in the library already.
    """
    for other in read_library(folder):
        if np.array_equal(other.flux, template.flux.astype(np.float32)):
            raise GoodmanError(f"{template.origin} is in the library already, as {other.name}.")
    target = folder / f"{template.name}.fits"
    if target.exists():
        raise GoodmanError(
            f"The library holds a {template.name} already. Remove it first if it is to be replaced."
        )
    cards = {
        "GRTLINES": (template.lines, "lines per mm of the grating"),
        "CAM_TARG": template.camera_angle,
        "GRT_TARG": template.grating_angle,
        "LAMPS": " ".join(template.lamps),
        **{card: getattr(template, name) for card, name in _TEXTS.items() if name != "lamps"},
    }
    table = QTable(
        {
            "column": template.column,
            "flux": template.flux.astype(np.float32),
            "wavelength": template.wavelength,
        }
    )
    io.write_template(table, cards, target)
    return template


def remove_from_library(name: str, folder: Path) -> None:
    """Take an arc out of a library.

    Raises
    ------
    GoodmanError
        If there is none of that name.
    """
    names = {path.stem for path in folder.glob("*.fits")}
    name = name.removesuffix(".fits")
    if name not in names:
        listed = ", ".join(sorted(names)) or "nothing"
        raise GoodmanError(f"NAME must be an arc of the library, not {name}; it holds {listed}.")
    (folder / f"{name}.fits").unlink()


def _read(path: Path) -> Template:
    table = io.read_template(path)
    header = table.meta["header"]
    try:
        texts = {name: str(header[card]) for card, name in _TEXTS.items()}
        return Template(
            name=path.stem,
            column=np.asarray(table["column"], dtype=float),
            flux=np.asarray(table["flux"]),
            wavelength=np.asarray(table["wavelength"], dtype=float),
            lines=int(header["GRTLINES"]),
            camera_angle=float(header["CAM_TARG"]),
            grating_angle=float(header["GRT_TARG"]),
            **texts | {"lamps": tuple(texts["lamps"].split())},
        )
    except (KeyError, ValueError) as error:
        raise FrameError(f"{path.name} must be an arc of a lamp library: {error}.") from None


def template_of(path: Path) -> Template:
    """The arc in a file: a product of ours, an arc of the predecessor, or a raw one, solved now.

    Raises
    ------
    GoodmanError
        If it is no calibrated arc of this instrument.
    """
    header = io.read_header(path)
    if "GSP_STEP" in header:
        return _from_product(path, header)
    if any(card in header for card in ("GSP_C000", "GSP_P000", "GSP_P001")):
        return _from_predecessor(path)
    return _from_raw(path)


def template_with(
    info: FrameInfo, column: np.ndarray, flux: np.ndarray, solution: WavelengthSolution
) -> Template:
    """An arc with wavelengths that somebody has fitted: `flux` (n,) at detector columns (n,).

    Raises
    ------
    GoodmanError
        If `info` is not that of an arc, or does not say which lamps were lit.
    """
    _refuse_no_arc(info)
    return _named(Path(info.file_name), info, column, flux, solution.wavelength_at(column))


def _from_raw(path: Path) -> Template:
    raw = io.read_raw(path)
    info = io.info_of(raw)
    _refuse_no_arc(info)
    done = recipes.reduce_arc(raw)
    spectrum = done.spectra[0]
    if spectrum.linear.header["GSP_WSTA"] != "calibrated":
        raise NoWavelengthSolution(f"{path.name} could not be solved. {' '.join(done.skipped)}")
    return _template(path, info, spectrum.table, spectrum.linear.header)


def _from_product(path: Path, header: fits.Header) -> Template:
    if header.get("GSP_WSTA") != "calibrated":
        raise NoWavelengthSolution(
            f"{path.name} must be a calibrated arc spectrum (GSP_WSTA), "
            f"not {header.get('GSP_WSTA', 'one without wavelengths')}. "
            "Add the w... product of an arc."
        )
    table = io.read_spectrum(path)
    info = FrameInfo.from_header(header, (1, len(table)), header["GSP_ONAM"])
    _refuse_no_arc(info)
    return _template(path, info, table, header)


def _template(path: Path, info: FrameInfo, table: QTable, header: fits.Header) -> Template:
    wavelength = table["wavelength"].value
    every = np.arange(0.0, 4300.0)
    column = np.interp(wavelength, read_solution(header).wavelength_at(every), every)
    return _named(path, info, column, table["flux"].value, wavelength)


def _from_predecessor(path: Path) -> Template:
    """An arc of the goodman-pipeline package: pixels of the trimmed frame, counted from zero."""
    flux, header = io.read_one_dimensional(path)
    info = FrameInfo.from_header(header, (1, len(flux)), path.name)
    _refuse_no_arc(info)
    pixel = np.arange(len(flux), dtype=float)
    if "GSP_C000" in header:
        n_terms = sum(f"GSP_C{number:03d}" in header for number in range(20))
        wavelength = chebval(pixel, [header[f"GSP_C{number:03d}"] for number in range(n_terms)])
    else:
        wavelength = _through_pairs(path, header, pixel)
    if not (np.all(np.diff(wavelength) > 0) and 2500 < wavelength[0] < wavelength[-1] < 12000):
        raise NoWavelengthSolution(
            f"{path.name} must have wavelengths that rise from pixel to pixel within 2500 to 12000 "
            "Angstrom by its GSP_ cards; they do not."
        )
    binning = info.geometry.x_binning
    column = LIT_COLUMNS[0] + binning * pixel + (binning - 1) / 2
    return _named(path, info, column, flux, wavelength)


def _through_pairs(path: Path, header: fits.Header, pixel: np.ndarray) -> np.ndarray:
    """Wavelengths of a cubic through the lines that were identified by hand."""
    cards = [card for card in header if re.fullmatch(r"GSP_P\d{3}", card)]
    pairs = [(header[card], header.get(f"GSP_A{card[5:]}", 0)) for card in cards]
    place, line = np.array([p for p in pairs if float(p[1]) > 0], dtype=float).reshape(-1, 2).T
    if len(place) < 6:
        raise NoWavelengthSolution(
            f"{path.name} must have at least 6 identified lines (GSP_P, GSP_A), not {len(place)}."
        )
    return Chebyshev.fit(place, line, 3)(pixel)


def _refuse_no_arc(info: FrameInfo) -> None:
    if info.kind not in ("arc", "focus") or info.lines is None:
        raise GoodmanError(f"{info.file_name} must be an arc, not {info.kind} ({info.technique}).")
    if not set(info.lamps) & set(ARC_LAMPS):
        raise GoodmanError(
            f"{info.file_name} must say which lamps were lit, in its LAMP_ cards, its object or "
            "its name."
        )


def _named(
    path: Path, info: FrameInfo, column: np.ndarray, flux: np.ndarray, wavelength: np.ndarray
) -> Template:
    lamps = tuple(lamp for lamp in info.lamps if lamp in ARC_LAMPS)
    date = f"{info.exposure_start:%Y-%m-%dT%H:%M:%S}"
    parts = [
        f"{info.lines}",
        f"{info.camera_angle:.2f}",
        f"{info.grating_angle:.2f}",
        "-".join(lamps),
        info.camera,
        f"{info.exposure_start:%Y%m%dT%H%M%S}",
    ]
    return Template(
        "_".join(parts),
        column,
        np.where(np.isfinite(flux), flux, 0.0),
        wavelength,
        info.lines,
        info.camera_angle,
        info.grating_angle,
        lamps,
        info.camera,
        info.slit,
        date,
        path.name,
    )
