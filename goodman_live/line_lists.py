"""Lines that people look for in spectra: of nebulae, of stars, of the night sky, of the air.

The table is `line_lists.csv` beside this module, which names its sources. The laboratory lines of
the arc lamps are another matter, see `lines`.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

LISTS = ("nebular", "stellar", "sky", "telluric")
AT_REST = ("sky", "telluric")  # they do not move with the object


@dataclass(frozen=True)
class Feature:
    """A line, or a band from `wavelength` to `end`.

    Attributes
    ----------
    kind
        The list it belongs to, one of `LISTS`.
    wavelength, end
        In air, at rest [Angstrom]; `end` is None for a line.
    name
        Such as ``"[O III]"``.
    weight
        1 to 3: how usual it is in spectra of its kind.
    source
        Whence the wavelength is, as the head of the table explains.
    """

    kind: str
    wavelength: float
    end: float | None
    name: str
    weight: int
    source: str

    def at(self, redshift: float) -> Feature:
        """The feature as seen in an object of a redshift; sky and air stay where they are."""
        if self.kind in AT_REST:
            return self
        stretch = 1.0 + redshift
        end = None if self.end is None else self.end * stretch
        return Feature(
            self.kind, self.wavelength * stretch, end, self.name, self.weight, self.source
        )


@cache
def all_features() -> tuple[Feature, ...]:
    """The whole table, list by list, by increasing wavelength (read once, then kept)."""
    text = files(__package__).joinpath("line_lists.csv").read_text(encoding="utf-8")
    rows = csv.DictReader(row for row in text.splitlines() if not row.startswith("#"))
    return tuple(
        Feature(
            row["list"],
            float(row["wavelength"]),
            float(row["end"]) if row["end"] else None,
            row["name"],
            int(row["weight"]),
            row["source"],
        )
        for row in rows
    )


def features_of(lists: Iterable[str], redshift: float = 0.0) -> list[Feature]:
    """The features of some lists, nebular and stellar ones moved to a redshift.

    Raises
    ------
    ValueError
        If a name is not that of a list.
    """
    wanted = set(lists)
    unknown = sorted(wanted - set(LISTS))
    if unknown:
        raise ValueError(f"A line list must be one of {', '.join(LISTS)}, not {unknown[0]!r}.")
    return [feature.at(redshift) for feature in all_features() if feature.kind in wanted]


def nearest_feature(
    wavelength: float, lists: Iterable[str], redshift: float = 0.0, *, within: float = 5.0
) -> Feature | None:
    """The line (no band) of some lists nearest to a wavelength; None if none is `within` [Å]."""
    lines = [feature for feature in features_of(lists, redshift) if feature.end is None]
    best = min(lines, key=lambda line: abs(line.wavelength - wavelength), default=None)
    if best is None or abs(best.wavelength - wavelength) > within:
        return None
    return best
