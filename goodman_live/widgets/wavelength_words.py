"""What the wavelength explorer tells of an arc, its lines and their fit, as texts and rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..arcs import ArcLight
from ..blocks.arc import ArcLines
from ..blocks.dispersion import WavelengthSolution
from ..blocks.line_choice import LaboratoryLine, LineChoices
from ..blocks.templates import Likeness
from ..lines import LAMP_LIGHT
from .wavelength_figures import STATES


def heading(lights: Sequence[ArcLight]) -> dict[str, str]:
    """Names of the arcs, and their set-up."""
    info, names = lights[0].info, [one.info.file_name for one in lights]
    more = f" + {len(names) - 1} more" if len(names) > 1 else ""
    return {
        "file_name": names[0] + more,
        "file_names": "Added up: " + ", ".join(names) if more else names[0],
        "setup": f"{info.grating} at {info.grating_angle:g}° / camera {info.camera_angle:g}°",
    }


def figures(solution: WavelengthSolution, n_lines: int) -> dict[str, str]:
    """How good a solution is."""
    pixels = solution.held_out / abs(solution.dispersion)
    return {
        "lines": f"{len(solution.columns)} of {n_lines}",
        "rms": f"{solution.rms:.3f} Å" if np.isfinite(solution.rms) else "–",
        "held_out": f"{solution.held_out:.3f} Å = {pixels:.2f} px" if np.isfinite(pixels) else "–",
        "status": "" if solution.status == "calibrated" else solution.status,
    }


def line_told(
    index: int, arc: ArcLines, choices: LineChoices, solution: WavelengthSolution, state: str
) -> dict[str, Any]:
    """One line: title, facts, and what became of it."""
    fitted = float(solution.wavelength_at(arc.center[index]))
    named = bool(np.isfinite(choices.wavelength[index]))
    facts = [
        ["column", f"{arc.center[index]:.2f} ± {arc.error[index]:.2f}"],
        ["by the fit", f"{fitted:.3f} Å"],
        ["height", f"{arc.height[index]:,.0f}"],
    ]
    title = f"≈ {fitted:.1f} Å"
    if named:
        line = float(choices.wavelength[index])
        title = f"{line:.2f} Å {choices.ion[index]}"
        apart = (line - fitted) / abs(solution.dispersion)
        facts.append(["residual", f"{line - fitted:+.3f} Å = {apart:+.2f} px"])
    if choices.blend[index] > 0:
        facts.append(["blend", f"± {choices.blend[index]:.3f} Å"])
    if not arc.usable[index]:
        facts.append(["centre", "not to be trusted"])
    return {
        "title": title,
        "state": state,
        "said": STATES[state][4],
        "facts": facts,
        "named": named,
    }


def offers_told(offers: Sequence[LaboratoryLine], wavelength: float) -> list[list[Any]]:
    """Laboratory lines, how far each is from the fit, and whether it is `wavelength`."""
    return [
        [
            f"{line.wavelength:.2f} {line.ion}{' ●' if line.n_seen else ''}",
            f"{line.apart:+.2f}",
            bool(abs(wavelength - line.wavelength) < 0.005),
        ]
        for line in offers
    ]


def rows(
    arc: ArcLines, choices: LineChoices, solution: WavelengthSolution, states: Sequence[str]
) -> list[list[Any]]:
    """All lines by wavelength: index, wavelength, species, residual [pixels] or None, state."""
    fitted = solution.wavelength_at(arc.center)
    pixels = choices.residuals(solution) / abs(solution.dispersion)
    found = []
    for index, state in enumerate(states):
        named = bool(np.isfinite(choices.wavelength[index]))
        text = f"{choices.wavelength[index]:.2f}" if named else f"≈ {fitted[index]:.1f}"
        left = round(float(pixels[index]), 3) if named else None
        found.append([index, text, choices.ion[index], left, state])
    return found


def lamps_told(lamps: Sequence[str]) -> str:
    """What gives the light of the lamps that were lit, by the names that headers have."""
    return " ".join(f"Lamp {lamp}: {LAMP_LIGHT[lamp]}." for lamp in lamps)


def other_lamps_told(chosen: Sequence[str], explain: Sequence[str]) -> str:
    """That other lamps explain an arc than somebody chose; nothing where they are the same."""
    if set(chosen) == set(explain):
        return ""
    said = f"not those of {' and '.join(chosen)}" if chosen else "of no lamp that was chosen"
    return f"The arc's lines are {said} but of {' and '.join(explain)}: these lamps are taken."


def species_told(choices: LineChoices) -> str:
    """How many lines of each species are in the fit."""
    counts = Counter(choices.ion[index] or "?" for index in np.flatnonzero(choices.used))
    return ", ".join(f"{number} {ion}" for ion, number in counts.most_common())


def likeness_told(likeness: Likeness | None) -> str:
    """Which arc of the library is laid over this one, and how; nothing without one."""
    if likeness is None:
        return ""
    return (
        f"{likeness.name} of the lamp library, moved by {likeness.shift:+.1f} pixels to where this "
        f"arc has its lines (correlation {likeness.correlation:.2f})"
    )


def differs_told(header: Mapping[str, Any]) -> str:
    """Why the wavelengths of a spectrum, by its header, are not those of its arcs added up."""
    return " ".join(filter(None, (_arcs_told(header), _sky_told(header))))


def _arcs_told(header: Mapping[str, Any]) -> str:
    if not header.get("GSP_LAM2"):
        return ""
    return (
        "The file's wavelengths lie in time between those of arcs before and after. Here all arcs "
        "are added up, and are so when you save."
    )


def _sky_told(header: Mapping[str, Any]) -> str:
    if not header.get("GSP_WZAP"):
        return ""
    return (
        f"These are the arc's wavelengths. The sky then moved the spectrum's by "
        f"{header['GSP_WZPT']:+.2f} Å ({header.get('GSP_WZFE', 'sky')}), and does so again when "
        "you save."
    )
