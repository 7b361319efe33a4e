"""Where the wavelength explorer has its arcs from: the files of an archive."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .. import lamps
from ..arcs import ArcLight, DispersionSettings, light_along, light_of_product
from ..blocks.dispersion import DOMAIN, WavelengthSolution
from ..blocks.templates import Template
from ..catalog import FileRow
from ..errors import Refused

if TYPE_CHECKING:
    from astropy.table import QTable

    from ..client import ReadableArchive

ARC_KINDS = ("arc", "focus")
PRODUCT_VERSION = re.compile(r"_v\d+(?=\.fits$)")


def chosen_in(header: Mapping[str, Any]) -> WavelengthSolution | None:
    """The lines by which somebody had a spectrum calibrated, as its header tells; None without."""
    plan = json.loads(header.get("GSP_PLAN") or "{}")
    lines, spectra = plan.get("lines"), plan.get("spectra", [])
    name = PRODUCT_VERSION.sub("", str(header.get("GSP_FNAM", "")))
    if not lines or not header.get("GSP_WHND"):
        return None
    if spectra and PRODUCT_VERSION.sub("", spectra[0]) != name:  # they are those of another object
        return None
    known = {name: value for name, value in lines.items() if value is not None}
    bare = {"coefficients": (), "domain": DOMAIN, "status": "calibrated"}
    return WavelengthSolution.from_dict(bare | known)


def arcs_of(
    archive: ReadableArchive, row: FileRow, table: QTable
) -> tuple[list[ArcLight], DispersionSettings, Sequence[Template]]:
    """Light of the arcs of a spectrum, and what they are solved with."""
    if row.kind in ARC_KINDS:
        light = light_of_product(table)
        return [light], DispersionSettings(), lamps.read_library(lamps.library_folder(), light.info)
    from ..rework import trace_in
    from .reduced_frame import ReducedFrame

    frame = ReducedFrame.from_archive(archive, row.id)
    if not frame.arcs:
        raise Refused(f"{row.file_name} must have an arc for its lines to be seen; it has none.")
    (lights,) = light_along(frame.arcs, [trace_in(table.meta["header"])])
    return lights, frame.settings, frame.templates
