"""Cosmic rays, found by L.A.Cosmic (van Dokkum 2001, PASP 113, 1420).

Works in electrons with the frame's own noise. Hits are flagged and replaced; the flag, not
the uncertainty, says that nothing is known there.
"""

from __future__ import annotations

from itertools import pairwise

import astroscrappy
import numpy as np
import param
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.ndimage import median_filter

from ..history import record_step
from ..quality import Quality, flag, quality_of, with_quality
from ..settings import Settings

UNEVENNESS = 0.01  # error of the model of sky and object, share of their light


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

    Sky and object with their lines, estimated by medians along the dispersion and along the
    slit, are handed to the method as background, so that neither ridges nor lines are taken
    for hits. One percent of that light is not trusted: it is not known better. An image has no
    dispersion, and no such background.

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
    variance, background = ccd.uncertainty.array**2, None
    if ccd.header.get("GSP_TECH") != "imaging":
        background = light_background(ccd.data, ccd.uncertainty.array)
        variance = variance + (UNEVENNESS * np.maximum(background, 0.0)) ** 2
    hits, cleaned = astroscrappy.detect_cosmics(
        np.ascontiguousarray(ccd.data, dtype=np.float32),
        inmask=None if ccd.mask is None else np.ascontiguousarray(ccd.mask),
        inbkg=background,
        invar=np.ascontiguousarray(variance, dtype=np.float32),
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


def light_background(data: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Sky with its lines, and object with its lines: all that is no hit (n_rows, n_columns)."""
    ridge = ridge_background(data)
    lines = np.ascontiguousarray(ridge_background((data - ridge).T, block=24).T)
    return ridge + lines + _lines_of_object(data - lines, ridge, uncertainty)


def _lines_of_object(data: np.ndarray, ridge: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """What the object's own spectral lines change the ridge by (n_rows, n_columns).

    A line of the object changes all its rows by one factor, a hit only some: the factor is the
    median over nine rows of what the data are of the ridge, where the ridge stands out.
    """
    change = np.zeros_like(ridge)
    sky = np.median(ridge, axis=0)
    strong = ridge - sky > 5 * uncertainty
    rows = np.flatnonzero(strong.any(axis=1))
    if len(rows) == 0:
        return change
    near = slice(rows[0], rows[-1] + 1)
    strong, shape = strong[near], ridge[near] - sky
    factor = np.where(strong, (data[near] - sky) / np.where(strong, shape, 1.0), 1.0)
    factor = median_filter(factor, size=(9, 1), mode="nearest")
    change[near] = np.where(strong, (factor - 1.0) * shape, 0.0)
    return change


def ridge_background(data: np.ndarray, block: int = 16) -> np.ndarray:
    """Sky and object, smooth along the dispersion: medians of blocks of columns, joined linearly.

    Parameters
    ----------
    data
        (n_rows, n_columns).
    block
        Columns per block.
    """
    n_columns = data.shape[1]
    n_blocks = max(n_columns // block, 1)
    edges = np.linspace(0, n_columns, n_blocks + 1).astype(int)
    medians = np.stack(
        [np.median(data[:, a:b], axis=1) for a, b in pairwise(edges)],
        axis=1,
    )
    centres = (edges[:-1] + edges[1:] - 1) / 2
    position = np.clip(
        np.interp(np.arange(n_columns), centres, np.arange(n_blocks)), 0, n_blocks - 1
    )
    left = np.minimum(position.astype(int), max(n_blocks - 2, 0))
    right = np.minimum(left + 1, n_blocks - 1)
    weight = (position - left).astype(np.float32)
    return np.ascontiguousarray(
        medians[:, left] * (1 - weight) + medians[:, right] * weight, dtype=np.float32
    )
