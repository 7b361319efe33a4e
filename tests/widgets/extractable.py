"""A small archive with one simulated frame, its arc, and what was reduced of them."""

from __future__ import annotations

import json
from pathlib import Path

from astropy.nddata import CCDData

from goodman_live import io
from goodman_live.catalog import CALIBRATED, REDUCED, Archive
from goodman_live.recipes import Products, ReductionSettings, reduce_arc, reduce_spectrum
from goodman_live.simulate import SetUp, simulate_arc, simulate_spectrum, write_raw

SETUP = SetUp.preset("400_M2").window(120)
SETTINGS = ReductionSettings(cosmic_ray_rejection="none", max_targets=1, sky_zero_point=False)
ROW = 55.4  # of the object in the reduced frame's middle column


def reduce_one() -> tuple[CCDData, CCDData, Products]:
    """A raw frame, its reduced arc, and what the recipe makes of it."""
    raw, _ = simulate_spectrum(SETUP, magnitude=17.0, seed=5)
    arc = reduce_arc(simulate_arc(SETUP, seed=6)[0]).image
    return raw, arc, reduce_spectrum(raw, arcs=[arc], settings=SETTINGS)


def fill_archive(folder: Path, raw: CCDData, arc: CCDData, products: Products) -> Archive:
    """Write all of it into an archive, as the engine does."""
    archive = Archive(folder)
    came = folder / raw.header["FILENAME"]
    write_raw(raw, came)
    info = io.read_info(came)
    path = archive.folder(info.night, "RAW") / came.name
    path.parent.mkdir(parents=True, exist_ok=True)
    row = archive.add_raw(came.rename(path), info)
    made = archive.folder(info.night, "REDUCED")
    io.write_image(arc, made / "arc.fits")
    image, spectrum = products.image.copy(), products.spectra[0]
    plan = {"arcs": [f"{info.night}/REDUCED/arc.fits"], "settings": SETTINGS.changed()}
    image.header["GSP_PLAN"] = json.dumps(plan)
    io.write_image(image, made / products.image_name)
    io.write_spectrum(spectrum.table, spectrum.linear, made / spectrum.name)
    parent = archive.add_product(made / products.image_name, REDUCED, info, original_id=row.id)
    archive.add_product(
        made / spectrum.name, CALIBRATED, info, original_id=row.id, parent_id=parent.id
    )
    archive.set_state(row.id, "done")
    return archive
