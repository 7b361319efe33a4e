"""Slit, chip and amplifier with their defects, cosmic rays, and the reading of a frame.

Slit and chip are the same in every frame of one read-out window, so that a flat or a bias
removes what they do.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from .. import instruments
from ..instruments import FULL_WIDTH, Geometry
from .setup import SLIT_ROWS, Seed, SetUp, Truth

_LIT = {"Blue": (18, 4112), "Red": (50, FULL_WIDTH)}  # fully sensitive columns of the chip
_BLUE_EDGES = {17: 4.5, 4111: 1.2, 4112: 4.0}  # border columns that collect too much
_BLUE_BAD_COLUMNS = ((2047, 0, 0.2), (2525, 2540, 0.5))  # column, first row, electron / s
_BIAS_LEVEL = {"Blue": 435.0, "Red": 493.0}  # [adu]
_RED_PLATEAU = 56200.0  # [adu] where saturated Red cores stop
_COSMIC_RAYS = 0.5  # tracks / s / full frame of 2071 x 948 binned 2 x 2


def column_weights(setup: SetUp) -> NDArray[np.float64]:
    """Share of each array column (n_columns,) that collects light."""
    weights = np.zeros(setup.shape[1] * setup.x_binning)
    weights[slice(*_LIT[setup.camera])] = 1.0
    if setup.camera == "Blue":
        for column, weight in _BLUE_EDGES.items():
            if column < len(weights):
                weights[column] = weight
    return weights.reshape(-1, setup.x_binning).mean(axis=1)


def slit_illumination(setup: SetUp) -> NDArray[np.float64]:
    """Light through the slit on each array row (n_rows,): soft ends, slow change, dust."""
    rows = np.arange(setup.n_rows * setup.y_binning) + setup.y_origin
    light = expit((rows - SLIT_ROWS[0]) / 0.7) * expit((SLIT_ROWS[1] - rows) / 0.7)
    light *= 1 - 0.015 * ((rows - 2000.0) / 800.0) ** 2
    for row, width, depth in (
        (1262, 2.5, 0.04),
        (1641, 1.6, 0.02),
        (2107, 3.0, 0.03),
        (2391, 2.0, 0.02),
    ):
        light *= 1 - depth * np.exp(-0.5 * ((rows - row) / width) ** 2)
    return light.reshape(-1, setup.y_binning).mean(axis=1)


def _chip_seed(camera: str, geometry: Geometry, what: int) -> list[int]:
    values = geometry.x_binning, geometry.y_binning, geometry.x_origin, geometry.y_origin
    return [20170101, what, len(camera), *values]


@lru_cache(maxsize=4)
def pixel_response(camera: str, geometry: Geometry, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Sensitivity of the pixels about one, the same in every frame (1 %)."""
    rng = np.random.default_rng(_chip_seed(camera, geometry, 1))
    response = 1.0 + 0.01 * rng.standard_normal(shape, dtype=np.float32)
    response.setflags(write=False)
    return response


@lru_cache(maxsize=4)
def _bias_pattern(camera: str, geometry: Geometry, shape: tuple[int, int]) -> NDArray[np.float32]:
    """Structure of the bias level, the same in every frame [adu]."""
    rng = np.random.default_rng(_chip_seed(camera, geometry, 2))
    columns = geometry.columns_to_detector(np.arange(shape[1]))
    rows = np.linspace(-1.0, 1.0, shape[0])
    if camera == "Blue":
        inside = (columns > 16) & (columns < 4113)
        profile = 3.5 * np.exp(-(columns - 16) / 110.0) + 2.5 * np.exp((columns - 4112) / 90.0)
        along, down, noise = np.where(inside, profile, -2.3), 0.3 * rows, 0.8
    else:
        along, down, noise = 0.4 * np.sin(columns / 700.0), 1.2 * (rows**2 - 0.3), 0.5
    pattern = along[None, :] + down[:, None] + noise * rng.standard_normal(shape, dtype=np.float32)
    pattern = pattern.astype(np.float32)
    pattern.setflags(write=False)
    return pattern


@lru_cache(maxsize=4)
def _hot_pixels(
    camera: str, geometry: Geometry, shape: tuple[int, int]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Flat indices of pixels and columns with dark current, and that current [electron / s]."""
    rng = np.random.default_rng(_chip_seed(camera, geometry, 3))
    count = max(int(3e-5 * shape[0] * shape[1]), 3)
    columns = rng.integers(shape[1] // 20, shape[1] - shape[1] // 40, count)
    indices = rng.integers(1, shape[0], count) * shape[1] + columns
    current = rng.lognormal(0.0, 1.3, count)
    for column, first_row, per_second in _BLUE_BAD_COLUMNS if camera == "Blue" else ():
        column = int(geometry.columns_from_detector(column))
        rows = np.arange(max(int(geometry.rows_from_detector(first_row)), 1), shape[0])
        if 0 <= column < shape[1]:
            indices = np.concatenate([indices, rows * shape[1] + column])
            current = np.concatenate([current, np.full(len(rows), per_second)])
    indices, first = np.unique(indices, return_index=True)
    return indices, current[first]


# Cosmic rays ---------------------------------------------------------------------------------


def _track(rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """One particle: offsets (x, y) of its path in unbinned pixels, electrons left at each."""
    if rng.random() < 0.75:  # a muon: straight, its length given by its slant
        length = min(1.2 * np.tan(np.arccos(np.sqrt(1 - rng.random()) ** 0.5)), 120.0)
        turning, density = 0.0, 1000.0
    else:  # an electron knocked loose nearby: a worm
        length, turning, density = rng.exponential(8.0), 0.35, 700.0
    n_steps = int(length / 0.25) + 2
    angles = rng.uniform(0, 2 * np.pi) + np.cumsum(turning * rng.standard_normal(n_steps))
    x, y = 0.25 * np.cumsum(np.cos(angles)), 0.25 * np.cumsum(np.sin(angles))
    electrons = 0.25 * density * np.hypot(1.0, 1.2 / max(length, 0.3)) * rng.lognormal(0.0, 0.4)
    return x, y, electrons


def _cosmic_rays(
    geometry: Geometry,
    shape: tuple[int, int],
    lit: tuple[int, int],
    exposure: float,
    rng: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Flat indices of the pixels hit, and their electrons."""
    n_x, n_y = shape[1] * geometry.x_binning, shape[0] * geometry.y_binning
    rate = _COSMIC_RAYS * n_x * n_y / (FULL_WIDTH * 1896)
    xs, ys, charges = [np.zeros(0)], [np.zeros(0)], [np.zeros(0)]
    for _ in range(rng.poisson(rate * exposure)):
        x, y, electrons = _track(rng)
        xs.append(x + rng.uniform(0, n_x) + 0.3 * rng.standard_normal(len(x)))
        ys.append(y + rng.uniform(0, n_y) + 0.3 * rng.standard_normal(len(x)))
        charges.append(np.full(len(x), electrons))
    x, y, charge = (np.concatenate(parts) for parts in (xs, ys, charges))
    on_chip = (x >= lit[0] - geometry.x_origin) & (x < min(lit[1] - geometry.x_origin, n_x))
    on_chip &= (y >= 0) & (y < n_y)
    columns = (x[on_chip] // geometry.x_binning).astype(int)
    rows = (y[on_chip] // geometry.y_binning).astype(int)
    indices, inverse = np.unique(rows * shape[1] + columns, return_inverse=True)
    return indices, np.bincount(inverse, weights=charge[on_chip], minlength=len(indices))


# Amplifier -----------------------------------------------------------------------------------


def _full_scale(setup: SetUp, shape: tuple[int, int]) -> NDArray[np.float64] | float:
    """Highest value a pixel can reach [adu]: converter, plateau of the Red camera or full well."""
    readout = instruments.find_readout(setup.camera, setup.gain, setup.read_noise)
    well = 65535.0 if readout is None or readout.digital_first else 2 * readout.half_full_well
    if setup.camera == "Red" and well > _RED_PLATEAU:
        return _RED_PLATEAU + 250.0 * np.sin(np.arange(shape[1]) * 12.9898 + 0.5)
    return min(well, 65535.0)


def expose(
    setup: SetUp,
    geometry: Geometry,
    electrons: NDArray[np.float32],
    exposure: float,
    seed: Seed,
) -> tuple[NDArray[np.float32], Truth]:
    """Let the chip collect `electrons` (expected, of every pixel) and read it: pixels [adu]."""
    rng = np.random.default_rng(seed)
    shape = electrons.shape
    hot, dark_current = _hot_pixels(setup.camera, geometry, shape)
    electrons = electrons.astype(np.float32, copy=True)
    electrons.flat[hot] += dark_current * exposure
    hits, charges = _cosmic_rays(geometry, shape, _LIT[setup.camera], exposure, rng)
    level = _BIAS_LEVEL[setup.camera] + 0.3 * rng.standard_normal()
    bias = _bias_pattern(setup.camera, geometry, shape) + np.float32(level)
    adu = _draw_photons(electrons, rng)
    adu.flat[hits] += charges
    adu += setup.read_noise * rng.standard_normal(shape, dtype=np.float32)
    adu = bias + adu / np.float32(setup.gain)
    _spoil_borders(adu, bias, setup, geometry, rng)
    full_scale = _full_scale(setup, shape)
    saturated = np.flatnonzero(adu >= full_scale)
    adu = np.clip(np.rint(adu), 0.0, np.rint(full_scale)).astype(np.float32)
    hits = hits[charges > setup.read_noise]
    return adu, Truth(electrons, bias, hits, hot, saturated)


def _draw_photons(electrons: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Poisson deviates; where nothing is expected nothing is drawn, which saves most time."""
    drawn = np.zeros(electrons.shape, dtype=np.float32)
    lit = electrons > 0
    drawn[lit] = rng.poisson(electrons[lit])
    return drawn


def _spoil_borders(
    adu: NDArray[np.float32],
    bias: NDArray[np.float32],
    setup: SetUp,
    geometry: Geometry,
    rng: np.random.Generator,
) -> None:
    """What the electronics do to the first row and columns (`adu` changed in place)."""
    n_columns = adu.shape[1]
    if setup.camera == "Blue":
        adu[0] = bias[0] + 0.1 * (adu[0] - bias[0]) + 4.0
        adu[0, 0] += 1550.0
        spikes = rng.integers(0, n_columns, max(n_columns // 150, 1))
        adu[0, spikes] = rng.uniform(0.0, 65534.0, len(spikes))
        return
    adu[0] = bias[0] + 0.5 * (adu[0] - bias[0])
    if geometry.x_origin == 0:
        # The charge left of the end of a row appears at the start of the next one.
        last = slice(-max(n_columns // 40, 1), None)
        end = (adu[:, last] - bias[:, last]).mean(axis=1)
        trail = np.pad([0.15, 0.1, 0.07, 0.06, 0.001], (0, -5 % geometry.x_binning))
        trail = trail.reshape(-1, geometry.x_binning).mean(axis=1)
        adu[1:, : len(trail)] += end[:-1, None] * trail
