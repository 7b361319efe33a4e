"""Laboratory lines of the Goodman arc lamps, and the refraction of air.

The catalogue is `lines.csv` beside this module: air wavelengths of the NIST Atomic Spectra
Database, with the strength each line has in Goodman arcs. This module reads it and says which
lines a set of lamps can show. It does not find or identify lines in an arc.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

_HOLLOW_CATHODE = ("He I", "Ar I", "Ar II", "Fe I", "Fe II", "Cr I")

LAMP_IONS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "HgAr": ("Hg I", "Ar I"),
        "Ne": ("Ne I",),
        "Ar": ("Ar I",),
        "Fe": _HOLLOW_CATHODE,
        # The real "Cu" arcs show the iron and chromium of the cathode and almost no copper.
        "Cu": (*_HOLLOW_CATHODE, "Cu I"),
    }
)
"""The ions whose lines each lamp shows. Ar II needs the discharge of a hollow cathode."""

LAMP_ELEMENTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {lamp: tuple(dict.fromkeys(ion.split()[0] for ion in ions)) for lamp, ions in LAMP_IONS.items()}
)
"""The elements whose lines each lamp shows, impurities included."""

LAMP_LIGHT: Mapping[str, str] = MappingProxyType(
    {
        "HgAr": "mercury and argon",
        "Ne": "neon",
        "Ar": "argon",
        "Fe": "an iron cathode in helium and argon (FeHeAr): nine lines of ten are of argon",
        "Cu": "a copper cathode in helium and argon (CuHeAr): nine lines of ten are of argon, "
        "others of iron, chromium and helium, hardly one of copper",
    }
)
"""What gives the light of each lamp, for people who wonder at the names of its lines."""


@dataclass(frozen=True, eq=False)
class LineList:
    """Lines in order of wavelength; all arrays have the shape (n_lines,) and are read-only.

    Attributes
    ----------
    wavelength
        Air wavelength [Angstrom], strictly increasing.
    intensity
        Relative peak height in Goodman arcs, one scale for all lamps, strongest line 1e6.
    ion
        Name of the ion, such as ``"Fe I"``.
    n_seen
        Number of library arcs in which the line was identified; 0 if it is known from NIST only.
    blend
        True where a line of a common lamp, with at least a fifth of this one's intensity, lies
        within 2 Angstrom.
    """

    wavelength: NDArray[np.float64]
    intensity: NDArray[np.float64]
    ion: NDArray[np.str_]
    n_seen: NDArray[np.int64]
    blend: NDArray[np.bool_]

    def __post_init__(self) -> None:
        for column in (self.wavelength, self.intensity, self.ion, self.n_seen, self.blend):
            column.setflags(write=False)

    def __len__(self) -> int:
        return len(self.wavelength)

    def select(self, keep: NDArray[np.bool_]) -> LineList:
        """Return the lines where `keep` is true.

        Parameters
        ----------
        keep
            Boolean mask of shape (n_lines,).
        """
        return LineList(
            self.wavelength[keep],
            self.intensity[keep],
            self.ion[keep],
            self.n_seen[keep],
            self.blend[keep],
        )


@cache
def all_lines() -> LineList:
    """Return the whole catalogue, of every lamp (read once, then kept)."""
    text = files(__package__).joinpath("lines.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(row for row in text.splitlines() if not row.startswith("#")))
    return LineList(
        wavelength=np.array([float(row["wavelength"]) for row in rows]),
        intensity=np.array([float(row["intensity"]) for row in rows]),
        ion=np.array([row["ion"] for row in rows]),
        n_seen=np.array([int(row["n_seen"]) for row in rows]),
        blend=np.array([row["blend"] == "1" for row in rows]),
    )


def lines_of(lamps: Iterable[str]) -> LineList:
    """Return the lines that the given lamps show together.

    Parameters
    ----------
    lamps
        Names among the keys of `LAMP_IONS`: ``"HgAr"``, ``"Ne"``, ``"Ar"``, ``"Fe"``, ``"Cu"``.

    Returns
    -------
    LineList
        Lines of the lamps' ions in order of wavelength; empty if no lamp is given.

    Raises
    ------
    ValueError
        If a name is not that of a lamp.
    TypeError
        If `lamps` is a bare string.
    """
    if isinstance(lamps, str):
        raise TypeError(f"lamps must be a sequence of lamp names, not the string {lamps!r}.")
    return _lines_of_ions(frozenset(ion for lamp in lamps for ion in _ions_of(lamp)))


def _ions_of(lamp: str) -> tuple[str, ...]:
    if lamp not in LAMP_IONS:
        raise ValueError(f"A lamp must be one of {', '.join(LAMP_IONS)}, not {lamp!r}.")
    return LAMP_IONS[lamp]


@cache
def _lines_of_ions(ions: frozenset[str]) -> LineList:
    catalogue = all_lines()
    return catalogue.select(np.isin(catalogue.ion, sorted(ions)))


def vacuum_to_air(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Convert vacuum wavelengths to wavelengths in standard air (Ciddor 1996).

    Parameters
    ----------
    wavelength
        Vacuum wavelength [Angstrom], any shape, above 2000.

    Returns
    -------
    numpy.ndarray
        Wavelength in dry air at 15 C, 101325 Pa and 450 ppm CO2 [Angstrom].

    References
    ----------
    Ciddor 1996, Applied Optics 35, 1566. It agrees with Morton 1991 (ApJS 77, 119) within
    0.001 Angstrom over 3000-11000 Angstrom.
    """
    vacuum = np.asarray(wavelength, dtype=float)
    return vacuum / _refractive_index(vacuum)


def air_to_vacuum(wavelength: ArrayLike) -> NDArray[np.float64]:
    """Convert wavelengths in standard air to vacuum wavelengths, the inverse of `vacuum_to_air`.

    Parameters
    ----------
    wavelength
        Wavelength in air [Angstrom], any shape, above 2000.

    Returns
    -------
    numpy.ndarray
        Vacuum wavelength [Angstrom]; the round trip closes within 1e-8 Angstrom.
    """
    air = np.asarray(wavelength, dtype=float)
    vacuum = air
    # The index hardly changes over 3 Angstrom, so each turn gains four digits or more.
    for _ in range(4):
        vacuum = air * _refractive_index(vacuum)
    return vacuum


def _refractive_index(vacuum: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the index of standard air at a vacuum wavelength [Angstrom] (Ciddor 1996, eq. 1)."""
    wavenumber2 = (1e4 / vacuum) ** 2
    return 1.0 + 0.05792105 / (238.0185 - wavenumber2) + 0.00167917 / (57.362 - wavenumber2)
