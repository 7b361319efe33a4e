"""The round field of an image: what lies outside it saw no sky.

The circle is found from the pixels where they show it. A frame that holds the whole field
without showing its edge, such as a short exposure of a dark sky, is given the known circle;
any other window is left alone, for a circle drawn wrongly is worse than none.
"""

from __future__ import annotations

import numpy as np
from astropy.nddata import CCDData

from ..history import record_step
from ..instruments import PIXEL_SCALE, Geometry
from ..quality import Quality, flag, quality_of, with_quality

FIELD_DIAMETER = 432.0  # [arcsec]
FIELD_CENTRE = 2078.0, 1936.0  # column, row: the middle of the imaging window [unbinned pixels]
CELL = 24  # side of the cells whose medians are looked at [unbinned pixels]

Circle = tuple[float, float, float]


def mask_field(ccd: CCDData) -> CCDData:
    """Flag the pixels outside the round field of an image UNLIT.

    Parameters
    ----------
    ccd
        Trimmed frame (n_rows, n_columns), its level removed; not modified.

    Returns
    -------
    CCDData
        The same pixels; column, row and radius of the field are in the header [unbinned pixels].
    """
    result = ccd.copy()
    geometry = Geometry.from_cards(ccd.header)
    circle, source = find_field(ccd.data, geometry), "seen in the pixels"
    if circle is None and _holds_field(geometry, ccd.shape):
        circle, source = (*FIELD_CENTRE, FIELD_DIAMETER / PIXEL_SCALE / 2), "known"
    cards = {}
    quality = quality_of(ccd)
    if circle is not None:
        flag(quality, outside(circle, geometry, ccd.shape), Quality.UNLIT)
        names = "GSP_FLDX", "GSP_FLDY", "GSP_FLDR"
        words = "column of the field's middle", "row of the field's middle", "radius of the field"
        for name, word, value in zip(names, words, circle, strict=True):
            cards[name] = (round(value, 1), f"{word} [unbinned px], {source}")
    record_step(result.header, "mask_field", cards=cards)
    return with_quality(result, quality)


def find_field(data: np.ndarray, geometry: Geometry) -> Circle | None:
    """Column, row and radius of the lit circle [unbinned pixels]; None where none shows.

    Parameters
    ----------
    data
        Pixels (n_rows, n_columns) in any unit.
    geometry
        Where they lie on the detector.
    """
    size = max(CELL // geometry.y_binning, 1), max(CELL // geometry.x_binning, 1)
    n_cells = data.shape[0] // size[0], data.shape[1] // size[1]
    if min(n_cells) < 20:
        return None
    cells = data[: n_cells[0] * size[0], : n_cells[1] * size[1]]
    cells = cells.reshape(n_cells[0], size[0], n_cells[1], size[1])
    cells = np.median(cells.swapaxes(1, 2).reshape(*n_cells, -1), axis=2)
    dark, bright = np.percentile(cells, [2, 60])
    noise = 1.4826 * np.median(np.abs(np.diff(cells, axis=1))) / np.sqrt(2)
    if bright - dark < 8 * noise:
        return None
    row, column = _edges(cells > (dark + bright) / 2)
    x = geometry.columns_to_detector(column * size[1] - 0.5)
    y = geometry.rows_to_detector(row * size[0] - 0.5)
    return _circle_through(x, y)


def _edges(lit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the borders of the lit cells seen along both axes [cells]."""
    row, column = np.nonzero(lit[:, 1:] != lit[:, :-1])
    other_row, other_column = np.nonzero(lit[1:] != lit[:-1])
    rows = np.concatenate([row + 0.5, other_row + 1.0])
    return rows, np.concatenate([column + 1.0, other_column + 0.5])


def _circle_through(x: np.ndarray, y: np.ndarray) -> Circle | None:
    """Circle through most of the points, if it can be the field's."""
    known = FIELD_DIAMETER / PIXEL_SCALE / 2
    keep = np.abs(np.hypot(x - FIELD_CENTRE[0], y - FIELD_CENTRE[1]) - known) < 0.15 * known
    for _ in range(5):
        if keep.sum() < 40:
            return None
        design = np.stack([x[keep] - known, y[keep] - known, np.ones(keep.sum())], axis=1)
        square = (x[keep] - known) ** 2 + (y[keep] - known) ** 2
        a, b, c = np.linalg.lstsq(design, square, rcond=None)[0]
        column, row = a / 2 + known, b / 2 + known
        radius = float(np.sqrt(max(c + a**2 / 4 + b**2 / 4, 0.0)))
        keep = np.abs(np.hypot(x - column, y - row) - radius) < CELL
    angles = np.arctan2(y[keep] - row, x[keep] - column)
    around = len(np.unique((angles // (np.pi / 8)).astype(int)))
    if abs(radius - known) > 0.05 * known or keep.mean() < 0.5 or around < 8:
        return None
    return float(column), float(row), radius


def _holds_field(geometry: Geometry, shape: tuple[int, int]) -> bool:
    """Whether nearly the whole field lies within the window."""
    reach = 0.97 * FIELD_DIAMETER / PIXEL_SCALE / 2
    columns = geometry.columns_to_detector(np.array([-0.5, shape[1] - 0.5])) - FIELD_CENTRE[0]
    rows = geometry.rows_to_detector(np.array([-0.5, shape[0] - 0.5])) - FIELD_CENTRE[1]
    return bool(max(columns[0], rows[0]) <= -reach and min(columns[1], rows[1]) >= reach)


def outside(circle: Circle, geometry: Geometry, shape: tuple[int, int]) -> np.ndarray:
    """Pixels (n_rows, n_columns) whose centres lie outside the circle [unbinned pixels]."""
    x = geometry.columns_to_detector(np.arange(shape[1])) - circle[0]
    y = geometry.rows_to_detector(np.arange(shape[0])) - circle[1]
    return x**2 + y[:, None] ** 2 > circle[2] ** 2
