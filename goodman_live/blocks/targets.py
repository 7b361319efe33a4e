"""Objects along the slit, found by significance, not by a fraction of the brightest.

Light along the slit is explained by Moffat profiles fitted together, until nothing is left that
stands out. Refused are none: no object is a clear outcome, `NoTargetFound`.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace

import numpy as np
import param
from astropy.nddata import CCDData
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import least_squares

from ..errors import NoTargetFound
from ..instruments import PIXEL_SCALE, Geometry
from ..settings import Settings
from .profile import Profile, best_slope, collapse, smooth_sky, smoothed_error, straighten

THRESHOLD = 5.0  # [sigma of the smoothed profile], times the setting
MIN_ROWS = 10
# Sigma of the Gaussians that peaks are looked for with [rows].
_SCALES = (1.5, 3.0, 6.0, 12.0, 24.0)
_FLAT = 0.004  # of the sky: what flats leave of the slit's illumination over 12 rows and more
_MODEL = 0.2  # of a fitted model: what may be left of an object where it is bright,
_HALO = 0.015  # of its peak: and around it, falling with the square of the distance in FWHM
_ONE_HILL = 0.5  # maxima are one object if the valley between them is higher than this share,
_ONE_DONUT = 0.2  # or than this one if they are as high as each other to a fifth: out of focus
_EXPONENT = 1.2  # smallest exponent of a Moffat profile


class TargetSettings(Settings):
    """Which objects on the slit are extracted."""

    group = "Spectroscopic Target"
    max_targets = param.Integer(
        label="Maximum number of targets",
        default=3,
        bounds=(1, 50),
        doc="Largest number of objects extracted from one frame, the most significant first.",
    )
    target_fit_model = param.Selector(
        default="gaussian",
        objects=["gaussian", "moffat"],
        doc="Model of the spatial profile that gives an object's centre and width.",
    )
    background_threshold = param.Number(
        default=1.0,
        bounds=(0.1, 100.0),
        doc="Objects must stand out by five times this many sigma of the smoothed profile.",
    )
    target_min_width = param.Number(
        label="Narrowest target [arcsec]",
        default=0.4,
        bounds=(0.0, 100.0),
        doc="Smallest FWHM of an object [arcsec].",
    )
    target_max_width = param.Number(
        label="Widest target [arcsec]",
        default=30.0,
        bounds=(0.1, 300.0),
        doc="Largest FWHM of an object [arcsec].",
    )


@dataclass(frozen=True)
class Target:
    """One object on the slit.

    `row` is its centre at the frame's middle column [detector rows], `slope` its drift
    [detector rows per detector column], `fwhm` its width [detector rows], `significance` its
    peak in sigma of the smoothed profile, `exponent` that of its wings' Moffat profile,
    `row_error` and `fwhm_error` what photons and read noise leave uncertain [detector rows].
    """

    row: float
    slope: float
    fwhm: float
    significance: float
    exponent: float = 2.5
    row_error: float = 0.0
    fwhm_error: float = 0.0

    @property
    def fwhm_arcsec(self) -> float:
        """Width on the sky [arcsec]."""
        return self.fwhm * PIXEL_SCALE

    def to_dict(self) -> dict[str, float]:
        """Plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, float]) -> Target:
        """Inverse of `to_dict`."""
        return cls(**values)


def find_targets(ccd: CCDData, settings: TargetSettings | None = None) -> tuple[Target, ...]:
    """Find the objects on the slit, the most significant first.

    The frame is collapsed along the dispersion in blocks, each freed of its sky; the slope of
    the traces is the one that makes the summed profile most significant. The profile is looked
    at smoothed with Gaussians of several widths; what stands out is fitted, all objects of a
    group together, taken away, and the rest looked at again, with allowance for what a model
    may leave of a bright object.

    Parameters
    ----------
    ccd
        Frame (n_rows, n_columns) [electron] with uncertainty and DQ; not modified.

    Raises
    ------
    NoTargetFound
        If nothing stands out.

    Notes
    -----
    With 900 rows, five widths and 21 slopes there are 5,000 to 20,000 independent places to look
    at: pure noise passes five sigma (one side: 3e-7) in one frame of some hundred.
    """
    settings = settings or TargetSettings()
    if ccd.shape[0] < MIN_ROWS:
        raise NoTargetFound(
            f"{ccd.header['GSP_ONAM']} must have at least {MIN_ROWS} rows to show an object, "
            f"not {ccd.shape[0]}."
        )
    geometry = Geometry.from_cards(ccd.header)
    threshold = THRESHOLD * settings.background_threshold
    blocks, middle = collapse(ccd), (ccd.shape[1] - 1) / 2
    slope = best_slope(blocks, geometry, middle)
    profile = straighten(blocks, slope * (blocks.columns - middle))
    hills, rest = _explain(profile, threshold, geometry.y_binning)
    if settings.target_fit_model == "gaussian":
        hills = [_gaussian_core(profile, rest, hill) for hill in hills]
    found = [
        _target_of(hill, slope, geometry) for hill in hills if _is_object(hill, profile, threshold)
    ]
    narrowest, widest = settings.target_min_width, settings.target_max_width
    fitting = [target for target in found if narrowest <= target.fwhm_arcsec <= widest]
    fitting.sort(key=lambda target: -target.significance)
    if found and not fitting:
        widths = ", ".join(f"{target.fwhm_arcsec:.1f}" for target in found)
        raise NoTargetFound(
            f"{ccd.header['GSP_ONAM']} shows no object between {narrowest:g} and {widest:g} arcsec "
            f"wide, but of {widths} arcsec. Look at target_min_width and target_max_width."
        )
    if not found:
        raise NoTargetFound(
            f"{ccd.header['GSP_ONAM']} shows no object on the slit above {threshold:g} sigma "
            "of its spatial profile. Look at the reduced image, or borrow the trace of a "
            "brighter frame."
        )
    return tuple(fitting[: settings.max_targets])


@dataclass(frozen=True)
class _Hill:
    """Moffat profile in a spatial profile: centre, width [array rows], height [electron]."""

    height: float
    row: float
    fwhm: float
    exponent: float = 3.9
    significance: float = 0.0
    row_error: float = 0.0
    fwhm_error: float = 0.0

    def at(self, rows: np.ndarray) -> np.ndarray:
        return self.height * moffat((rows - self.row) / self.fwhm, self.exponent)

    def doubt(self, rows: np.ndarray, light: np.ndarray) -> np.ndarray:
        """What may be left of the object in `light` when its model is taken away."""
        distance = np.abs(rows - self.row) / self.fwhm
        core = moffat(np.maximum(distance - 0.5, 0.0), self.exponent)
        height = np.max(light, where=distance < 0.5, initial=self.height)
        return height * (_MODEL * core + _HALO / (1 + distance**2))


def moffat(distance: np.ndarray, exponent: float) -> np.ndarray:
    """Moffat profile of height one, at distances from its centre [FWHM]."""
    return (1 + 4 * (2 ** (1 / exponent) - 1) * distance**2) ** -exponent


def _model(hills: list[_Hill], rows: np.ndarray) -> np.ndarray:
    return sum((hill.at(rows) for hill in hills), np.zeros(len(rows)))


def _target_of(hill: _Hill, slope: float, geometry: Geometry) -> Target:
    """The object in detector coordinates; `slope` is in array rows per array column."""
    binning = geometry.y_binning
    return Target(
        row=float(geometry.rows_to_detector(hill.row)),
        slope=float(slope * binning / geometry.x_binning),
        fwhm=float(hill.fwhm * binning),
        significance=float(hill.significance),
        exponent=float(hill.exponent),
        row_error=float(hill.row_error * binning),
        fwhm_error=float(hill.fwhm_error * binning),
    )


def _is_object(hill: _Hill, profile: Profile, threshold: float) -> bool:
    rows = profile.rows
    return rows[0] + 1 <= hill.row <= rows[-1] - 1 and hill.significance > threshold


def _explain(profile: Profile, threshold: float, binning: int) -> tuple[list[_Hill], np.ndarray]:
    """All that stands out of a profile, and what then is left of it (n_rows,)."""
    n_rows = len(profile.rows)
    degree = int(np.clip(n_rows * binning / 300, 0 if n_rows < 40 else 1, 5))
    hills: list[_Hill] = []
    rest = profile.light - smooth_sky(profile.light, profile.error, degree)
    for sigma in _SCALES:
        if sigma > 1.5 and 8 * sigma > n_rows:
            break
        for _ in range(6):
            seeds = _seeds(profile, rest, hills, sigma, threshold)
            if not seeds:
                break
            hills = _fitted(profile, rest + _model(hills, profile.rows), [*hills, *seeds])
            light = profile.light - _model(hills, profile.rows)
            rest = light - smooth_sky(light, profile.error, degree)
    return [replace(h, significance=_significance(profile, rest, h)) for h in hills], rest


def _noise(profile: Profile, rest: np.ndarray, sigma: float) -> np.ndarray:
    """Noise (n_rows,) of a profile smoothed by `sigma` rows.

    At least what the rest of the profile scatters by about its median, downwards: ripples of
    flat and sky are noise too.
    """
    noise = smoothed_error(profile.error, sigma)
    if len(rest) >= 25 * sigma:
        low, middle = np.percentile(gaussian_filter1d(rest, sigma), [16, 50])
        noise = np.maximum(noise, middle - low)
    return np.hypot(noise, _FLAT * max(profile.sky, 0.0) * min(sigma / 12, 1.0) ** 3)


def _seeds(
    profile: Profile, rest: np.ndarray, hills: list[_Hill], sigma: float, threshold: float
) -> list[_Hill]:
    """Hills to be fitted to what is left of a profile, highest first."""
    smooth = gaussian_filter1d(rest, sigma)
    noise = _noise(profile, rest, sigma)
    light = rest + _model(hills, profile.rows)
    doubt = sum((h.doubt(profile.rows, light) for h in hills), np.zeros(len(rest)))
    allowed = threshold * np.hypot(noise, doubt)
    inner = np.arange(2, len(smooth) - 2)
    maxima = inner[
        (smooth[inner] >= smooth[inner - 1])
        & (smooth[inner] > smooth[inner + 1])
        & (smooth[inner] > allowed[inner])
    ]
    summits: list[list[int]] = []
    for row in sorted(maxima, key=lambda row: -smooth[row]):
        separate = smooth[row] - threshold * noise[row]
        for summit in summits:
            top = summit[0]
            valley = min(smooth[min(row, top) : max(row, top) + 1])
            as_high = smooth[row] > 0.8 * smooth[top]
            share = _ONE_DONUT if as_high else _ONE_HILL
            if valley > min(share * smooth[row], separate):
                summit.extend([row] if as_high else [])
                break
        else:
            summits.append([row])
    return [_hill_at(profile.rows[0], smooth, summit, sigma) for summit in summits]


def _hill_at(first: int, smooth: np.ndarray, summit: list[int], sigma: float) -> _Hill:
    """Hill to start a fit with, about maxima of equal height, the highest first."""
    low, high = min(summit), max(summit)
    width = _width(smooth, summit[0], sigma) + high - low
    return _Hill(float(smooth[summit[0]]), first + (low + high) / 2, width)


def _width(smooth: np.ndarray, peak: int, sigma: float) -> float:
    """FWHM [rows] of a hill, from where it falls to half of its height on its steeper side."""
    below = np.flatnonzero(smooth[peak:] < smooth[peak] / 2)
    above = np.flatnonzero(smooth[: peak + 1][::-1] < smooth[peak] / 2)
    sides = [int(side[0]) for side in (below, above) if len(side)]
    width = 2.0 * min(sides, default=len(smooth) // 4) - 0.5
    return float(np.sqrt(max(width**2 - (2.355 * sigma) ** 2, 4.0)))


def _significance(profile: Profile, rest: np.ndarray, hill: _Hill) -> float:
    """Peak of a hill in sigma of the profile smoothed by its own width."""
    sigma = min(max(hill.fwhm / 2.355, 1.0), _SCALES[-1], len(rest) / 8)
    smooth = gaussian_filter1d(hill.at(profile.rows), sigma)
    row = int(np.clip(np.rint(hill.row - profile.rows[0]), 0, len(rest) - 1))
    return smooth[row] / _noise(profile, rest, sigma)[row]


# Fits --------------------------------------------------------------------------------------


def _fitted(profile: Profile, light: np.ndarray, hills: list[_Hill]) -> list[_Hill]:
    """Hills fitted to `light`, those that overlap together; two that become one are one."""
    hills = sorted(hills, key=lambda hill: hill.row)
    while True:
        for first, last in _groups(hills):
            others = hills[:first] + hills[last:]
            free = light - _model(others, profile.rows)
            hills[first:last] = _fit_together(profile, free, hills[first:last])
        hills = sorted((h for h in hills if h.height > 0), key=lambda hill: hill.row)
        same = _twin(hills)
        if same is None:
            return hills
        del hills[same]


def _groups(hills: list[_Hill]) -> list[tuple[int, int]]:
    """Slices of hills, in the order of their rows, that reach into each other."""
    starts = [0]
    for number in range(1, len(hills)):
        left, right = hills[number - 1], hills[number]
        if right.row - left.row > 4 * (left.fwhm + right.fwhm) or number - starts[-1] >= 6:
            starts.append(number)
    return list(zip(starts, [*starts[1:], len(hills)], strict=True))


def _twin(hills: list[_Hill]) -> int | None:
    """Index of the lower one of two hills that are the same object."""
    for number in range(1, len(hills)):
        left, right = hills[number - 1], hills[number]
        if right.row - left.row < 0.6 * min(left.fwhm, right.fwhm):
            return number if right.height < left.height else number - 1
    return None


def _fit_together(profile: Profile, light: np.ndarray, hills: list[_Hill]) -> list[_Hill]:
    """Heights, centres, widths and exponents of overlapping hills above one level."""
    near = np.zeros(len(light), dtype=bool)
    for hill in hills:
        near |= np.abs(profile.rows - hill.row) < 4 * hill.fwhm + 3
    rows, light = profile.rows[near], light[near]
    highest = max(hill.height for hill in hills)
    # Half a percent of the light is the model's own error: the core must not rule alone.
    error = np.hypot(profile.error[near], 0.005 * light)
    level = 3 * np.median(error) + 0.02 * highest
    start = np.concatenate([[h.height, 0.0, 0.0, 1.0] for h in hills] + [[0.0]])

    def made(p: np.ndarray) -> list[_Hill]:
        return [
            _Hill(
                p[4 * n],
                hill.row + hill.fwhm * p[4 * n + 1],
                hill.fwhm * np.exp(np.clip(p[4 * n + 2], -4, 4)),
                _EXPONENT + np.exp(np.clip(p[4 * n + 3], -4, 4)),
            )
            for n, hill in enumerate(hills)
        ]

    def residuals(p: np.ndarray) -> np.ndarray:
        model = sum(hill.at(rows) for hill in made(p)) + p[-1]
        # Weak opinions: hills stay near where they were seen, exponents near those of seeing.
        opinions = [p[1:-1:4], p[2:-1:4], (p[3:-1:4] - 1.0) / 0.7, [p[-1] / level]]
        return np.concatenate([(light - model) / error, *opinions])

    scale = np.concatenate([[h.height, 1.0, 1.0, 1.0] for h in hills] + [[level]])
    fit = least_squares(residuals, start, method="lm", x_scale=scale, max_nfev=60 * len(start))
    spread = np.sqrt(np.abs(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac))))
    return [
        replace(
            new,
            row_error=old.fwhm * spread[4 * n + 1],
            fwhm_error=new.fwhm * spread[4 * n + 2],
        )
        for n, (old, new) in enumerate(zip(hills, made(fit.x), strict=True))
    ]


def _gaussian_core(profile: Profile, rest: np.ndarray, hill: _Hill) -> _Hill:
    """The hill with centre and width of a Gaussian through its core, all others taken away."""
    near = np.abs(profile.rows - hill.row) <= max(0.7 * hill.fwhm, 2.0)
    rows, light, error = (
        profile.rows[near],
        (rest + hill.at(profile.rows))[near],
        profile.error[near],
    )
    if len(rows) < 4:
        return hill

    def residuals(p: np.ndarray) -> np.ndarray:
        distance = (rows - hill.row) / hill.fwhm - p[1]
        model = p[0] * hill.height * np.exp(-4 * np.log(2) * (distance / np.exp(p[2])) ** 2)
        return np.append((light - model) / error, p[1:])

    fit = least_squares(residuals, [1.0, 0.0, 0.0], method="lm", max_nfev=200)
    _, moved, widened = fit.x
    if abs(moved) > 0.3 or abs(widened) > 0.3:
        return hill  # flat or hollow at its top: no Gaussian
    spread = np.sqrt(np.abs(np.diag(np.linalg.pinv(fit.jac.T @ fit.jac))))
    fwhm = hill.fwhm * float(np.exp(widened))
    return replace(
        hill,
        row=hill.row + hill.fwhm * moved,
        fwhm=fwhm,
        row_error=hill.fwhm * spread[1],
        fwhm_error=fwhm * spread[2],
    )
