"""A small made-up night for tests of the pages: raw frames and spectra in the real formats."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import QTable

from goodman_live.catalog import CALIBRATED, Archive, FileRow
from goodman_live.history import start_header
from goodman_live.io import read_header, read_info, write_spectrum

FIRST = datetime(2024, 3, 9, 2, 0, tzinfo=UTC)


def write_raw(
    folder: Path, number: int, *, obstype: str = "OBJECT", name: str = "SN 2024x"
) -> Path:
    """Write a raw frame of 60 x 2071 pixels, exposed ``number`` minutes after the first."""
    cards = {
        "INSTRUME": "Goodman Spectrograph", "INSTCONF": "Blue", "OBSTYPE": obstype, "OBJECT": name,
        "EXPTIME": 240.0, "DATE-OBS": (FIRST + timedelta(minutes=number)).isoformat()[:-6],
        "GRATING": "SYZY_930", "CAM_TARG": 24.0, "GRT_TARG": 13.0, "SLIT": '1.0" long slit',
        "FILTER": "<NO FILTER>", "FILTER2": "<NO FILTER>", "CCDSUM": "2 2", "GAIN": 1.4,
        "RDNOISE": 4.74,
    }  # fmt: skip
    pixels = np.random.default_rng(number).normal(440, 4, (60, 2071)).clip(0).astype(np.uint16)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{number:04d}_{name.replace(' ', '')}.fits"
    fits.PrimaryHDU(pixels, fits.Header(cards)).writeto(path)
    return path


def add_raw(archive: Archive, number: int, **kinds: str) -> FileRow:
    """Write a raw frame into the archive and index it."""
    path = write_raw(archive.root / "20240308" / "RAW", number, **kinds)
    return archive.add_raw(path, read_info(path))


def spectrum_table(n_pixels: int = 400) -> QTable:
    """A flat spectrum of 100 with error 5, pixel 7 masked and pixel 9 without a number."""
    flux = np.full(n_pixels, 100.0)
    flux[7], flux[9] = 9000.0, np.nan
    mask = np.zeros(n_pixels, dtype=np.uint16)
    mask[7] = 16
    return QTable(
        {
            "wavelength": (3600 + 4.0 * np.arange(n_pixels)) * u.AA,
            "flux": flux * u.adu,
            "uncertainty": np.full(n_pixels, 5.0) * u.adu,
            "sky": np.full(n_pixels, 30.0) * u.adu,
            "mask": mask,
        }
    )


def add_spectrum(archive: Archive, raw: FileRow, *, status: str = "calibrated") -> FileRow:
    """Write a spectrum of a raw frame and index it, as the engine does."""
    table = spectrum_table()
    linear = CCDData(table["flux"].value, unit="electron", header=fits.Header())
    linear.header.update(start_header(read_header(archive.path(raw)), raw.file_name))
    linear.header["GSP_WSTA"] = status
    path = archive.folder(raw.night, "REDUCED") / f"wecfzst_{raw.file_name}"
    write_spectrum(table, linear, path)
    state = "done" if status == "calibrated" else "provisional"
    info = read_info(archive.path(raw))
    product = archive.add_product(path, CALIBRATED, info, original_id=raw.id, state=state)
    archive.set_state(raw.id, state)
    return product
