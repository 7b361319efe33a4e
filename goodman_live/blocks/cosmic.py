"""Cosmic rays, found by gaps in local histograms (Pych 2004) or by L.A.Cosmic (van Dokkum 2001).

L.A.Cosmic: PASP 113, 1420, through astroscrappy. The gaps: see `dcr`. Both work in electrons
with the frame's own noise. Hits are flagged and replaced; the flag, not the uncertainty, says
that nothing is known there.
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
from .dcr import find_hits, replaced_along_rows

UNEVENNESS = 0.01  # error of the model of sky and object, share of their light


class CosmicSettings(Settings):
    """How cosmic rays are found."""

    group = "General"
    cosmic_ray_rejection = param.Selector(
        default="default",
        objects=["default", "dcr", "lacosmic", "none"],
        doc="Method of cosmic ray rejection; 'default' is dcr for spectra, lacosmic for images.",
    )
    dcr_threshold = param.Number(
        default=3.0,
        bounds=(1.0, 50.0),
        doc="Width of the gap beyond which dcr sees hits [standard deviations].",
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
    slit, are told to the method, so that neither ridges nor lines are taken for hits. One
    percent of that light is not trusted: it is not known better. An image has no dispersion,
    and no such model; there 'default' is L.A.Cosmic, else the gaps.

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
    method = settings.cosmic_ray_rejection
    imaging = ccd.header.get("GSP_TECH") == "imaging"
    if method == "none":
        result = ccd.copy()
        record_step(result.header, "reject_cosmic_rays", settings=settings)
        return result
    if method == "default":
        method = "lacosmic" if imaging else "dcr"
    light = None if imaging else light_background(ccd.data, ccd.uncertainty.array)
    hits, cleaned = _METHODS[method](ccd, light, settings)
    del light
    result = CCDData(
        np.where(hits, cleaned, ccd.data).astype(np.float32, copy=False),
        uncertainty=StdDevUncertainty(ccd.uncertainty.array.copy()),
        unit=ccd.unit,
        header=ccd.header.copy(),
    )
    quality = quality_of(ccd)
    flag(quality, hits, Quality.COSMIC_RAY)
    cards = {
        "GSP_COSM": {"dcr": "DCR", "lacosmic": "LACosmic"}[method],
        "GSP_NCOS": (int(hits.sum()), "pixels flagged as cosmic rays"),
    }
    record_step(result.header, "reject_cosmic_rays", letter="c", settings=settings, cards=cards)
    return with_quality(result, quality)


def _by_gaps(
    ccd: CCDData, light: np.ndarray | None, settings: CosmicSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Hits by `dcr`, and the frame with them replaced along the dispersion."""
    model = np.zeros_like(ccd.data) if light is None else light
    bad = np.zeros(ccd.shape, dtype=bool) if ccd.mask is None else ccd.mask
    hits = find_hits(
        ccd.data, ccd.uncertainty.array, model, threshold=settings.dcr_threshold, ignore=bad
    )
    return hits, replaced_along_rows(ccd.data, hits, bad, model)


def _by_laplacian(
    ccd: CCDData, light: np.ndarray | None, settings: CosmicSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Hits by L.A.Cosmic, and the frame with them replaced by medians around them."""
    variance = ccd.uncertainty.array**2
    if light is not None:
        variance = variance + (UNEVENNESS * np.maximum(light, 0.0)) ** 2
    return astroscrappy.detect_cosmics(
        np.ascontiguousarray(ccd.data, dtype=np.float32),
        inmask=None if ccd.mask is None else np.ascontiguousarray(ccd.mask),
        inbkg=None if light is None else np.ascontiguousarray(light, dtype=np.float32),
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


_METHODS = {"dcr": _by_gaps, "lacosmic": _by_laplacian}


def light_background(data: np.ndarray, uncertainty: np.ndarray) -> np.ndarray:
    """Sky with its lines, and object with its lines: all that is no hit (n_rows, n_columns)."""
    ridge = ridge_background(data)
    lines = ridge_background((data - ridge).T, block=24).T
    change = _lines_of_object(data - lines, ridge, uncertainty)
    ridge += lines
    ridge += change
    return ridge


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
    medians = medians.astype(np.float32, copy=False)
    smooth, rise = medians[:, left], medians[:, right]
    rise -= smooth
    rise *= weight
    smooth += rise
    return smooth
