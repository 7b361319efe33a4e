"""A small archive with one simulated frame, its arc, and what was reduced of them."""

from __future__ import annotations

import json
from pathlib import Path

from astropy.nddata import CCDData

from goodman_live import io
from goodman_live.catalog import CALIBRATED, REDUCED, Archive, FileRow
from goodman_live.recipes import Products, ReductionSettings, reduce_arc, reduce_spectrum
from goodman_live.simulate import SetUp, simulate_arc, simulate_spectrum, write_raw

SETUP = SetUp.preset("400_M2").window(120)
SETTINGS = ReductionSettings(cosmic_ray_rejection="none", max_targets=1, sky_zero_point=False)
ROW = 55.4  # of the object in the reduced frame's middle column


def reduce_one() -> tuple[CCDData, tuple[CCDData, Products], Products]:
    """A raw frame, an arc raw and reduced, and what the recipe makes of the frame."""
    raw, _ = simulate_spectrum(SETUP, magnitude=17.0, seed=5)
    raw_arc, _ = simulate_arc(SETUP, seed=6)
    arc = reduce_arc(raw_arc)
    return raw, (raw_arc, arc), reduce_spectrum(raw, arcs=[arc.image], settings=SETTINGS)


def fill_archive(
    folder: Path, raw: CCDData, arcs: tuple[CCDData, Products], products: Products
) -> Archive:
    """Write all of it into an archive, as the engine does; the frame comes after its arc."""
    archive = Archive(folder)
    raw_arc, arc = arcs
    row = add_reduced(archive, raw_arc, arc, {"task": "arc"})
    made = f"{row.night}/REDUCED/{arc.image_name}"
    plan = {"task": "spectrum", "arcs": [made], "settings": SETTINGS.changed()}
    add_reduced(archive, raw, products, plan)
    return archive


def add_reduced(archive: Archive, raw: CCDData, products: Products, plan: dict) -> FileRow:
    """A raw frame and its products."""
    came = archive.root / raw.header["FILENAME"]
    write_raw(raw, came)
    info = io.read_info(came)
    path = archive.folder(info.night, "RAW") / came.name
    path.parent.mkdir(parents=True, exist_ok=True)
    row = archive.add_raw(came.rename(path), info)
    made = archive.folder(info.night, "REDUCED")
    image, spectrum = products.image.copy(), products.spectra[0]
    image.header["GSP_PLAN"] = json.dumps(plan)
    io.write_image(image, made / products.image_name)
    spectrum.linear.header["GSP_PLAN"] = json.dumps(plan)
    io.write_spectrum(spectrum.table, spectrum.linear, made / spectrum.name)
    parent = archive.add_product(made / products.image_name, REDUCED, info, original_id=row.id)
    archive.add_product(
        made / spectrum.name, CALIBRATED, info, original_id=row.id, parent_id=parent.id
    )
    return archive.set_state(row.id, "done") or archive.file(row.id)
