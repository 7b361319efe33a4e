"""Cosmic rays, found by gaps in local histograms (Pych 2004) or by L.A.Cosmic (van Dokkum 2001).

L.A.Cosmic: PASP 113, 1420, through astroscrappy. The gaps: see `dcr`. Both work in electrons
with the frame's own noise. Hits are flagged and replaced; the flag, not the uncertainty, says
that nothing is known there.
"""

from __future__ import annotations

from types import MappingProxyType

import astroscrappy
import numpy as np
import param
from astropy.nddata import CCDData, StdDevUncertainty
from scipy.ndimage import median_filter

from ..history import record_step
from ..instruments import Geometry
from ..quality import Quality, flag, quality_of, with_quality
from ..settings import Settings
from .dcr import falloff, find_hits, replaced_along_rows, sharp_only

# By camera and binning: width of the gap [standard deviations], half sizes of the boxes and
# growing radius [pixels] of dcr. The predecessor's Red 2x2 did not grow; see docs/accuracy.md.
GAPS = MappingProxyType(
    {
        ("Red", 1): {"threshold": 3.0, "x_radius": 9, "y_radius": 9, "growing_radius": 1},
        ("Red", 2): {"threshold": 4.0, "x_radius": 7, "y_radius": 9, "growing_radius": 1},
        ("Red", 3): {"threshold": 3.0, "x_radius": 9, "y_radius": 9, "growing_radius": 1},
        ("Blue", 1): {"threshold": 3.0, "x_radius": 8, "y_radius": 8, "growing_radius": 1},
        ("Blue", 2): {"threshold": 3.0, "x_radius": 9, "y_radius": 9, "growing_radius": 1},
        ("Blue", 3): {"threshold": 3.0, "x_radius": 9, "y_radius": 9, "growing_radius": 1},
    }
)
SHARPEST = (
    3.3,
    2.9,
)  # FWHM of an image along the slit (0.5 arcsec) and of a line [unbinned pixels]
MARGIN = 0.5  # noise lets an image look sharper than it is
ALONG, ACROSS, OBJECT = 34, 50, 17  # length of blocks of the background [unbinned pixels]
LIFTED = 0.5  # what a block of an object may stand above its neighbours, share of their light
STRIP = 64  # rows worked on together: they fit into the processor's cache
UNEVENNESS = 0.01  # error of the model of sky and object, share of their light


class CosmicSettings(Settings):
    """How cosmic rays are found."""

    group = "General"
    cosmic_ray_rejection = param.Selector(
        default="default",
        objects=["default", "dcr", "lacosmic", "none"],
        doc="Method of cosmic ray rejection; 'default' is dcr.",
    )
    dcr_threshold = param.Number(
        label="DCR threshold",
        default=0.0,
        bounds=(0.0, 50.0),
        doc="Width of the gap beyond which dcr sees hits [standard deviations]; "
        "0 takes what suits camera and binning.",
    )
    cosmic_sigma = param.Number(
        label="L.A.Cosmic: sigma",
        default=5.0,
        bounds=(2.0, 50.0),
        doc="Laplacian significance of a hit [sigma].",
    )
    cosmic_object_limit = param.Number(
        label="L.A.Cosmic: object limit",
        default=5.0,
        bounds=(0.1, 100.0),
        doc="Contrast with the fine structure that tells a hit from a sharp line or star.",
    )


def reject_cosmic_rays(ccd: CCDData, settings: CosmicSettings | None = None) -> CCDData:
    """Flag and replace cosmic rays.

    Sky and object with their lines, estimated by medians along the dispersion and along the
    slit, are told to the method, so that neither ridges nor lines are taken for hits. An image
    has no dispersion, and only the level of its sky is told. With either method a peak that the
    sharpest image of a point can have is no hit. Hits are replaced by the model and what the
    neighbours along the dispersion differ from it. NaN is no hit.

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
    if method == "none":
        result = ccd.copy()
        record_step(result.header, "reject_cosmic_rays", settings=settings)
        return result
    if method == "default":
        method = "dcr"
    bad = np.zeros(ccd.shape, dtype=bool) if ccd.mask is None else ccd.mask
    light = _light_of(ccd, bad)
    hits = _METHODS[method](ccd, light, bad, settings)
    result = CCDData(
        replaced_along_rows(ccd.data, hits, bad, light).astype(np.float32, copy=False),
        uncertainty=StdDevUncertainty(ccd.uncertainty.array.copy()),
        unit=ccd.unit,
        header=ccd.header.copy(),
    )
    del light
    quality = quality_of(ccd)
    flag(quality, hits, Quality.COSMIC_RAY)
    cards = {
        "GSP_COSM": {"dcr": "DCR", "lacosmic": "LACosmic"}[method],
        "GSP_NCOS": (int(hits.sum()), "pixels flagged as cosmic rays"),
    }
    record_step(result.header, "reject_cosmic_rays", letter="c", settings=settings, cards=cards)
    return with_quality(result, quality)


def _by_gaps(
    ccd: CCDData, light: np.ndarray, bad: np.ndarray, settings: CosmicSettings
) -> np.ndarray:
    """Hits by `dcr`."""
    geometry = Geometry.from_cards(ccd.header)
    options = dict(GAPS[ccd.header.get("GSP_CAM", "Blue"), min(geometry.x_binning, 3)])
    if settings.dcr_threshold > 0:
        options["threshold"] = settings.dcr_threshold
    noise = _noise_of(ccd, light)
    sharpest = sharpest_image(geometry)
    return find_hits(ccd.data, noise, light, **options, sharpest=sharpest, ignore=bad)


def sharpest_image(geometry: Geometry) -> tuple[float, float]:
    """Part of its peak that an image has at least one pixel up and down, and left and right."""
    binning = geometry.y_binning, geometry.x_binning
    return tuple(MARGIN * falloff(f / b) for f, b in zip(SHARPEST, binning, strict=True))


def _by_laplacian(
    ccd: CCDData, light: np.ndarray, bad: np.ndarray, settings: CosmicSettings
) -> np.ndarray:
    """Hits by L.A.Cosmic; what an image of a point can look like is left alone."""
    noise = _noise_of(ccd, light)
    trusted = ccd.uncertainty.array**2 + (UNEVENNESS * np.maximum(light, 0.0)) ** 2
    hits, _ = astroscrappy.detect_cosmics(
        np.ascontiguousarray(ccd.data, dtype=np.float32),
        inmask=bad,
        inbkg=light,
        invar=np.ascontiguousarray(trusted, dtype=np.float32),
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
    sharpest = sharpest_image(Geometry.from_cards(ccd.header))
    return sharp_only(np.flatnonzero(hits), ccd.data, noise, light, sharpest)


_METHODS = {"dcr": _by_gaps, "lacosmic": _by_laplacian}


def _noise_of(ccd: CCDData, light: np.ndarray) -> np.ndarray:
    """Noise (n_rows, n_columns) of the light that is no hit; an image's stars have theirs."""
    if ccd.header.get("GSP_TECH") == "imaging":
        light = np.maximum(light, median_filter(ccd.data, size=3))
    return expected_noise(ccd.data, ccd.uncertainty.array, light, ccd.header["GSP_RDNO"])


def _light_of(ccd: CCDData, bad: np.ndarray) -> np.ndarray:
    """Light that is no hit: of an image, which has no dispersion, only the level of the sky."""
    if ccd.header.get("GSP_TECH") == "imaging":
        sky = np.median(ccd.data[~bad]) if not bad.all() else 0.0
        return np.full(ccd.shape, sky, dtype=np.float32)
    return light_background(ccd.data, ccd.uncertainty.array, Geometry.from_cards(ccd.header))


def light_background(data: np.ndarray, uncertainty: np.ndarray, geometry: Geometry) -> np.ndarray:
    """Sky with its lines, and object with its lines: all that is no hit (n_rows, n_columns).

    Parameters
    ----------
    data, uncertainty
        (n_rows, n_columns) [electron].
    geometry
        Its binning scales the blocks of the medians.
    """
    along, centres = ridge_medians(data, ALONG, geometry.x_binning)
    noise = uncertainty[:, centres.astype(int)]
    along = _without_outliers(along, noise)
    light = joined(along, centres, data.shape[1])
    lines, middles = line_medians(data, light, ACROSS, geometry.y_binning)
    lines = _without_outliers(lines.T, uncertainty[middles.astype(int)].T).T
    rows = _rows_of_objects(along, noise)
    sky = joined(np.median(along, axis=0)[None, :], centres, data.shape[1])
    shape = light[rows] - sky
    _add_between_rows(light, lines, middles)
    if len(shape):
        reach = 2 * (OBJECT // (2 * min(geometry.y_binning, 2))) + 1
        light[rows] += _lines_of_object(data[rows] - light[rows], shape, uncertainty[rows], reach)
    return light


def ridge_medians(data: np.ndarray, length: int, binning: int) -> tuple[np.ndarray, np.ndarray]:
    """Medians of blocks of columns (n_rows, n_blocks), and their middle columns (n_blocks,)."""
    starts, size, step = _blocks(data.shape[1], length, binning)
    medians = np.empty((len(data), len(starts)), dtype=np.float32)
    for rows in _strips(len(data)):
        blocks = np.lib.stride_tricks.sliding_window_view(data[rows], size, axis=1)
        medians[rows] = _last_axis_median(blocks[:, starts, ::step])
    return medians, starts + (size - 1) / 2


def line_medians(
    data: np.ndarray, ridge: np.ndarray, length: int, binning: int
) -> tuple[np.ndarray, np.ndarray]:
    """Medians of blocks of rows, the ridge off (n_blocks, n_columns), and their middle rows."""
    starts, size, step = _blocks(len(data), length, binning)
    medians = np.empty((len(starts), data.shape[1]), dtype=np.float32)
    for number, start in enumerate(starts):
        rows = slice(start, start + size, step)
        medians[number] = _last_axis_median(np.ascontiguousarray((data[rows] - ridge[rows]).T))
    return medians, starts + (size - 1) / 2


def _without_outliers(medians: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Medians along the last axis, those that a long track lifted replaced by what is around."""
    padded = np.pad(medians, ((0, 0), (2, 2)), mode="edge")
    around = _last_axis_median(np.lib.stride_tricks.sliding_window_view(padded, 5, axis=1).copy())
    lifted = medians - around > noise + LIFTED * np.abs(around)
    return np.where(lifted, around, medians)


def _blocks(n_pixels: int, length: int, binning: int) -> tuple[np.ndarray, int, int]:
    """First pixels of blocks, the last flush with the end; their size; which pixels to take."""
    size = min(max(length // binning, length // 2), n_pixels)
    starts = np.arange(0, n_pixels - size + 1, size)
    if starts[-1] != n_pixels - size:
        starts = np.append(starts, n_pixels - size)
    return starts, size, 2 if binning == 1 else 1


def _strips(n_rows: int) -> list[slice]:
    return [slice(first, first + STRIP) for first in range(0, n_rows, STRIP)]


def _last_axis_median(values: np.ndarray) -> np.ndarray:
    """Median over the last axis, of even numbers the upper one; `values` is reordered."""
    middle = values.shape[-1] // 2
    values.partition(middle, axis=-1)
    return values[..., middle]


def joined(medians: np.ndarray, centres: np.ndarray, n_columns: int) -> np.ndarray:
    """Medians (n_rows, n_blocks) at `centres` joined by straight lines: (n_rows, n_columns)."""
    last = len(centres) - 1
    position = np.interp(np.arange(n_columns), centres, np.arange(last + 1))
    left = np.minimum(position.astype(int), max(last - 1, 0))
    weight = (position - left).astype(np.float32)
    smooth = np.empty((len(medians), n_columns), dtype=np.float32)
    for rows in _strips(len(medians)):
        part = medians[rows]
        rise = np.diff(part, axis=1, append=part[:, -1:])[:, left]
        rise *= weight
        np.add(part[:, left], rise, out=smooth[rows])
    return smooth


def _add_between_rows(light: np.ndarray, lines: np.ndarray, middles: np.ndarray) -> None:
    """Add lines (n_blocks, n_columns) at rows `middles`, joined, to `light` (in place)."""
    position = np.interp(np.arange(len(light)), middles, np.arange(len(middles)))
    for row, place in zip(light, position, strict=True):
        above, weight = int(place), np.float32(place % 1)
        row += (1 - weight) * lines[above]
        if weight > 0:
            row += weight * lines[above + 1]


def _rows_of_objects(medians: np.ndarray, uncertainty: np.ndarray) -> slice:
    """Rows (slice) between which objects stand out of the sky, in more than a few blocks."""
    strong = medians - np.median(medians, axis=0) > 5 * uncertainty
    rows = np.flatnonzero(strong.mean(axis=1) > 0.05)
    return slice(rows[0], rows[-1] + 1) if len(rows) else slice(0, 0)


def _lines_of_object(
    rest: np.ndarray, shape: np.ndarray, uncertainty: np.ndarray, reach: int
) -> np.ndarray:
    """What the object's own spectral lines change its light by (n_rows, n_columns).

    A line of the object changes all its rows by one factor, a hit only some: the factor is the
    median over `reach` rows of what is left in the data, over the object's smooth light
    `shape`, where that stands out.
    """
    strong = shape > 5 * uncertainty
    factor = np.where(strong, rest / np.where(strong, shape, 1.0), 0.0)
    return np.where(strong, median_filter(factor, size=(reach, 1), mode="nearest") * shape, 0.0)


def expected_noise(
    data: np.ndarray, uncertainty: np.ndarray, light: np.ndarray, read_noise: float
) -> np.ndarray:
    """Noise that `light` alone would have (n_rows, n_columns): a hit's own is not in it."""
    noise = np.empty_like(uncertainty, dtype=np.float32)
    least = np.float32(read_noise**2)
    for rows in _strips(len(data)):
        part = np.maximum(light[rows], 0)
        part += least
        part /= np.maximum(data[rows], 0) + least
        np.sqrt(part, out=part)
        np.multiply(part, uncertainty[rows], out=noise[rows])
    return noise
