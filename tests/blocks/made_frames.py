"""Small frames with a truth that can be read off: what the tests of the blocks work on."""

from __future__ import annotations

import numpy as np
from astropy import units as u
from astropy.nddata import CCDData, StdDevUncertainty

from goodman_live.history import start_header
from goodman_live.instruments import Geometry
from goodman_live.quality import with_quality
from goodman_live.simulate import Observation, SetUp
from goodman_live.simulate.header import raw_header

READ_NOISE = 4.0


def raw_frame(data: np.ndarray, *, obstype: str = "BIAS", y_origin: int = 980, **setup) -> CCDData:
    """Raw frame of the Blue camera, 2x2, holding `data` [adu]."""
    chosen = SetUp.preset("400_M2", **({"camera": "Blue", "y_origin": y_origin} | setup))
    header = raw_header(
        chosen, chosen.geometry, data.shape, Observation(), obstype=obstype, exposure=0.0
    )
    header["FILENAME"] = "0030_made.fits"
    return CCDData(data.astype(np.float32), unit=u.adu, header=header)


def electron_frame(
    expected: np.ndarray,
    *,
    seed: int | None = 0,
    binning: tuple[int, int] = (2, 2),
    origin: tuple[int, int] = (50, 980),
    read_noise: float = READ_NOISE,
    unit: u.UnitBase = u.electron,
    name: str = "0030_made.fits",
) -> CCDData:
    """Frame as the first blocks leave it: photon and read noise about `expected`, by seed."""
    data = np.array(expected, dtype=float)
    if seed is not None:
        rng = np.random.default_rng(seed)
        data = rng.poisson(np.maximum(data, 0)) + rng.normal(0, read_noise, data.shape)
    raw = raw_frame(np.zeros((2, 60)), obstype="SPECTRUM")
    header = start_header(raw.header, name)
    for keyword, value in Geometry(*binning, *origin).to_cards().items():
        header[keyword] = value
    header["GSP_RDNO"], header["GSP_SATU"], header["GSP_GAIN"] = read_noise, 65535.0, 1.4
    error = np.sqrt(np.maximum(data, 0) + read_noise**2)
    ccd = CCDData(
        data.astype(np.float32),
        uncertainty=StdDevUncertainty(error.astype(np.float32)),
        unit=unit,
        header=header,
    )
    return with_quality(ccd, np.zeros(data.shape, dtype=np.uint16))


def star(shape: tuple[int, int], row, fwhm: float, electrons) -> np.ndarray:
    """A Gaussian star integrated over the pixels: `electrons` in each column, centred on `row`."""
    from scipy.special import ndtr

    centre = np.broadcast_to(row, shape[1])
    edges = np.arange(shape[0] + 1)[:, None] - 0.5
    return np.diff(ndtr((edges - centre) / (fwhm / 2.3548)), axis=0) * electrons


def set_quality(ccd: CCDData, where, bit: int) -> CCDData:
    """The frame with a DQ bit set (changed in place)."""
    quality = np.array(ccd.flags)
    quality[where] |= np.uint16(bit)
    return with_quality(ccd, quality)
