"""A spectrum product as plain arrays, ready to be drawn in a unit and smoothing of one's choice."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from astropy.table import QTable

from ..blocks.resample import pixel_edges
from ..blocks.smooth import smooth_boxcar
from ..quality import Quality

UNITS = ("electrons", "electrons / s", "electrons / s / Å")
_SPIKE = 2.5  # times its higher neighbour: a pixel that stands out more is no line
_UNSURE = 5.0  # times the median error: such a pixel of low signal to noise rules no axis
_MOVED = 3.0  # pixels; what the sky moved by more is pointed out
_LAMPS = ("arc", "focus", "flat")  # kinds of frames whose signal to noise tells nothing


@dataclass(frozen=True)
class SpectrumData:
    """Plain arrays ready to draw, all of shape ``(n_pixels,)`` and in order of wavelength.

    Attributes
    ----------
    wavelength
        [Angstrom], air.
    flux, uncertainty, sky
        In ``unit``; the uncertainty is NaN where unknown, sky is None where the product has none.
    masked
        True where the flux cannot be believed.
    mended
        True where a part of the flux is made up for, and the error is wider for it.
    provisional
        Whether the wavelength scale comes from the grating equation alone.
    exposure
        [s]; NaN where unknown.
    is_lamp
        Whether the light is that of a lamp.
    """

    wavelength: np.ndarray
    flux: np.ndarray
    uncertainty: np.ndarray
    sky: np.ndarray | None
    masked: np.ndarray
    unit: str
    provisional: bool
    exposure: float = float("nan")
    mended: np.ndarray | None = None
    is_lamp: bool = False

    @classmethod
    def from_table(cls, table: QTable) -> SpectrumData:
        """Take a product as `goodman_live.io.read_spectrum` gives it; the table is not modified."""
        order = np.argsort(_values(table, "wavelength"))
        header = table.meta.get("header", {})
        quality = np.asarray(table["mask"])[order].astype(np.uint16)
        masked = (quality & ~np.uint16(Quality.INTERPOLATED)) != 0
        return cls(
            wavelength=_values(table, "wavelength")[order],
            flux=_values(table, "flux")[order],
            uncertainty=_values(table, "uncertainty")[order],
            sky=_values(table, "sky")[order] if "sky" in table.colnames else None,
            masked=masked,
            mended=(quality != 0) & ~masked,
            unit=_unit_in_words(str(getattr(table["flux"], "unit", "") or "")),
            provisional=header.get("GSP_WSTA", "provisional") != "calibrated",
            exposure=_exposure(header),
            is_lamp=header.get("GSP_KIND", "") in _LAMPS,
        )

    @property
    def good(self) -> np.ndarray:
        """True where the flux can be believed: finite and not masked."""
        return np.isfinite(self.flux) & ~self.masked

    @property
    def units(self) -> tuple[str, ...]:
        """Units it can be shown in, its own first."""
        counted = self.unit == UNITS[0] and self.exposure > 0 and self.wavelength.size > 1
        return UNITS if counted else (self.unit,)

    def in_unit(self, unit: str) -> SpectrumData:
        """The same in one of `units`; errors and sky along with the flux."""
        factor = self.factor(unit)
        sky = None if self.sky is None else self.sky * factor
        flux, uncertainty = self.flux * factor, self.uncertainty * factor
        return replace(self, flux=flux, uncertainty=uncertainty, sky=sky, unit=unit)

    def factor(self, unit: str) -> np.ndarray:
        """What the flux of each pixel (n_pixels,) is multiplied with to be in ``unit``."""
        if unit == self.unit:
            return np.ones(self.flux.shape)
        per_angstrom = 1.0 / np.diff(pixel_edges(self.wavelength)) if unit == UNITS[2] else 1.0
        return np.full(self.flux.shape, 1.0 / self.exposure) * per_angstrom

    def smoothed(self, width: int) -> SpectrumData:
        """Running mean over ``width`` pixels with its errors; masked pixels stay masked."""
        if width == 1:
            return self
        flux, uncertainty = smooth_boxcar(self.flux, self.uncertainty, self.good, width)
        return replace(
            self,
            flux=np.where(self.masked, self.flux, flux),
            uncertainty=np.where(self.masked, self.uncertainty, uncertainty),
        )

    def flux_range(self) -> tuple[float, float]:
        """Flux axis that shows all lines, not ruled by lone spikes; (0, 1) without a good pixel."""
        use = self.good
        known = use & (self.uncertainty > 0)
        if known.any():
            typical = np.median(self.uncertainty[known])
            unsure = self.uncertainty > _UNSURE * typical
            use = use & ~(unsure & (np.abs(self.flux) < _UNSURE * self.uncertainty))
        flux = self.flux[use]
        if flux.size == 0:
            return 0.0, 1.0
        middle = float(np.median(flux))
        net = np.pad(flux - middle, 1, mode="edge")
        before, here, after = net[:-2], net[1:-1], net[2:]
        above = np.minimum(here, _SPIKE * np.maximum(np.maximum(before, after), 0))
        below = np.maximum(here, _SPIKE * np.minimum(np.minimum(before, after), 0))
        low, high = middle + float(below.min()), middle + float(above.max())
        pad = 0.06 * (high - low) or 1.0
        return min(low - pad, 0.0) if low < 0.3 * high else low - pad, high + pad

    def positive_range(self) -> tuple[float, float]:
        """The same for a logarithmic axis: at most four decades, nothing at or below zero."""
        high = self.flux_range()[1]
        if high <= 0:
            return 0.1, 1.0
        flux = self.flux[self.good & (self.flux > 0)]
        low = float(np.percentile(flux, 1)) if flux.size else 0.1 * high
        return max(0.7 * low, 1e-4 * high), 1.3 * high

    def line(self) -> np.ndarray:
        """Flux to draw as a line: NaN, so a gap, wherever it cannot be believed."""
        return np.where(self.good, self.flux, np.nan)

    def ghost(self) -> np.ndarray:
        """What the masked pixels hold, and the pixels beside them; NaN elsewhere."""
        beside = np.convolve(self.masked, [1, 1, 1], mode="same") > 0
        return np.where(beside, self.flux, np.nan)

    def alone(self) -> np.ndarray:
        """True for good pixels between pixels that are not: no line can be drawn of one pixel."""
        good = np.pad(self.good, 1)
        return self.good & ~good[:-2] & ~good[2:]

    def band(self) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper edge of the one-sigma band; of no height where there is no good pixel."""
        flux = self._bridged(self.flux, self.good)
        known = self.good & np.isfinite(self.uncertainty)
        sigma = np.where(known, self.uncertainty, 0.0)
        return flux - sigma, flux + sigma

    def marks(self, limits: tuple[float, float] | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Wavelength and flux of the masked pixels; beyond the flux axis they lie on its edge.

        Those without a number lie on the lower edge.
        """
        low, high = limits or self.flux_range()
        flux = np.where(np.isfinite(self.flux), self.flux, low)
        margin = 0.015 * (high - low)
        if limits is not None and low > 0:
            return self.wavelength[self.masked], np.clip(flux[self.masked], 1.1 * low, high / 1.1)
        return self.wavelength[self.masked], np.clip(flux[self.masked], low + margin, high - margin)

    def _bridged(self, values: np.ndarray, good: np.ndarray) -> np.ndarray:
        if not good.any():
            return np.zeros_like(values)
        return np.interp(self.wavelength, self.wavelength[good], values[good])

    def between(self, low: float, high: float) -> SpectrumData:
        """The pixels between two wavelengths [Angstrom]."""
        inside = (self.wavelength >= low) & (self.wavelength <= high)
        arrays = ("wavelength", "flux", "uncertainty", "masked")
        kept = {name: getattr(self, name)[inside] for name in arrays}
        kept |= {
            name: None if values is None else values[inside]
            for name, values in (("sky", self.sky), ("mended", self.mended))
        }
        return replace(self, **kept)

    def signal_to_noise(self) -> float:
        """Median signal over noise of a good pixel; NaN where no error is known."""
        use = self.good & (self.uncertainty > 0)
        return (
            float(np.median(self.flux[use] / self.uncertainty[use])) if use.any() else float("nan")
        )

    def to_csv(self, comments: Sequence[str] = ()) -> bytes:
        """Comma-separated text, one pixel a line, with its columns named."""
        columns = {"wavelength": self.wavelength, "flux": self.flux}
        columns["uncertainty"] = self.uncertainty
        if self.sky is not None:
            columns["sky"] = self.sky
        columns["masked"] = self.masked
        text = io.StringIO()
        units = f"flux [{self.unit}], wavelength in air [Angstrom]"
        head = [*(f"# {comment}" for comment in (*comments, units)), ",".join(columns)]
        formats = ["%.4f", *["%.7g"] * (len(columns) - 2), "%d"]
        table = np.stack(list(columns.values()), axis=1)
        np.savetxt(text, table, fmt=formats, delimiter=",", header="\n".join(head), comments="")
        return text.getvalue().encode()


def _values(table: QTable, name: str) -> np.ndarray:
    column = table[name]
    return np.asarray(getattr(column, "value", column), dtype=float)


def _unit_in_words(unit: str) -> str:
    """The unit of a product as people read it: electrons, as on all axes."""
    return unit.replace("electron", "electrons", 1)


def _exposure(header: object) -> float:
    value = header.get("EXPTIME")
    return float(value) if isinstance(value, int | float) and value > 0 else float("nan")


def facts_of(data: SpectrumData, header: object) -> str:
    """One line about a product: range, signal to noise, residual of its wavelength solution."""
    parts = []
    if data.wavelength.size:
        parts.append(f"{data.wavelength[0]:.0f}–{data.wavelength[-1]:.0f} Å")
    ratio = data.signal_to_noise()
    if np.isfinite(ratio) and not data.is_lamp:
        parts.append(f"S/N {ratio:.1f} per pixel")
    residual = header.get("GSP_WRMS")
    if isinstance(residual, int | float) and residual > 0 and not data.provisional:
        parts.append(f"solution rms {residual:.3f} Å")
    moved, is_far = _moved_by_sky(data, header)
    if moved and not is_far:
        parts.append(moved)
    n_masked = int(data.masked.sum())
    if n_masked:
        parts.append(f"{n_masked} masked")
    n_mended = 0 if data.mended is None else int(data.mended.sum())
    if n_mended:
        parts.append(f"{n_mended} mended")
    return " · ".join(parts)


def caution_of(data: SpectrumData, header: object) -> str:
    """What one must know before one believes the wavelengths: the sky moved them far; else ''."""
    moved, is_far = _moved_by_sky(data, header)
    return moved if is_far else ""


def _moved_by_sky(data: SpectrumData, header: object) -> tuple[str, bool]:
    """How the sky moved the wavelengths, and whether by more than a few pixels."""
    shift = header.get("GSP_WZPT")
    if not header.get("GSP_WZAP") or not isinstance(shift, int | float):
        return "", False
    error = header.get("GSP_WZER")
    known = f" ± {error:.2f}" if isinstance(error, int | float) else ""
    width = abs(np.median(np.diff(data.wavelength))) if data.wavelength.size > 1 else np.inf
    return f"moved {shift:+.2f}{known} Å by the sky", bool(abs(shift) > _MOVED * width)
