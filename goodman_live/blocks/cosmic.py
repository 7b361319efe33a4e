"""Cosmic rays, found by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420).

Works in electrons with the frame's own noise. Hits are flagged and replaced, and their
uncertainty says that nothing is known there.
"""

from __future__ import annotations

import astroscrappy
import numpy as np
import param
from astropy.nddata import CCDData, StdDevUncertainty

from ..history import record_step
from ..quality import flag, Quality, quality_of, with_quality
from ..settings import Settings


class CosmicSettings(Settings):
    """How cosmic rays are found."""

    group = "General"
    cosmic_ray_rejection = param.Selector(
        default="default",
        objects=["default", "lacosmic", "none"],
        doc="Method of cosmic ray rejection; 'default' chooses by kind of frame.",
    )
    cosmic_sigma = param.Number(
        default=5.0, bounds=(2.0, 50.0), doc="Laplacian significance of a hit [sigma]."
    )
    cosmic_object_limit = param.Number(
        default=5.0,
        bounds=(0.1, 100.0),
        doc="Contrast with the fine structure that tells a hit from a sharp line or star.",
    )


def reject_cosmic_rays(ccd: CCDData, settings: CosmicSettings | None = None) -> CCDData:
    """Flag and replace cosmic rays.

    The smooth sky and the object, estimated by a median along the dispersion, are handed to
    the method as background, so that neither the spectrum's ridge nor its noise is taken for
    hits.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty; not modified.

    Returns
    -------
    CCDData
        Hits replaced, flagged COSMIC_RAY.
    """
    settings = settings or CosmicSettings()
    result = ccd.copy()
    if settings.cosmic_ray_rejection == "none":
        record_step(result.header, "reject_cosmic_rays", settings=settings)
        return result
    background = ridge_background(ccd.data)
    hits, cleaned = astroscrappy.detect_cosmics(
        np.ascontiguousarray(ccd.data, dtype=np.float32),
        inmask=None if ccd.mask is None else np.ascontiguousarray(ccd.mask),
        inbkg=background,
        invar=np.ascontiguousarray(ccd.uncertainty.array**2, dtype=np.float32),
        gain=1.0,
        readnoise=float(ccd.header["GSP_RDNO"]),
        satlevel=float(ccd.header["GSP_SATU"] * ccd.header["GSP_GAIN"]),
        sigclip=settings.cosmic_sigma,
        objlim=settings.cosmic_object_limit,
        cleantype="medmask",
        fsmode="median",
        niter=3,
        sepmed=True,
    )
    result.data = np.where(hits, cleaned, ccd.data).astype(np.float32)
    result.uncertainty = StdDevUncertainty(ccd.uncertainty.array.copy())
    quality = quality_of(ccd)
    flag(quality, hits, Quality.COSMIC_RAY)
    cards = {
        "GSP_COSM": "LACosmic",
        "GSP_NCOS": (int(hits.sum()), "pixels flagged as cosmic rays"),
    }
    record_step(result.header, "reject_cosmic_rays", letter="c", settings=settings, cards=cards)
    return with_quality(result, quality)


def ridge_background(data: np.ndarray, block: int = 16) -> np.ndarray:
    """Sky and object, smooth along the dispersion: medians of blocks of columns, joined linearly.

    Parameters
    ----------
    data
        (n_rows, n_columns).
    block
        Columns per block.
    """
    n_rows, n_columns = data.shape
    n_blocks = max(n_columns // block, 1)
    edges = np.linspace(0, n_columns, n_blocks + 1).astype(int)
    medians = np.stack(
        [np.median(data[:, a:b], axis=1) for a, b in zip(edges[:-1], edges[1:], strict=True)], axis=1
    )
    centres = (edges[:-1] + edges[1:] - 1) / 2
    position = np.clip(np.interp(np.arange(n_columns), centres, np.arange(n_blocks)), 0, n_blocks - 1)
    left = np.minimum(position.astype(int), max(n_blocks - 2, 0))
    right = np.minimum(left + 1, n_blocks - 1)
    weight = (position - left).astype(np.float32)
    return np.ascontiguousarray(
        medians[:, left] * (1 - weight) + medians[:, right] * weight, dtype=np.float32
    )
