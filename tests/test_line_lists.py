"""The lines laid over spectra are where physics puts them, and only moving things move."""

from __future__ import annotations

import numpy as np
import pytest

from goodman_live.blocks.sky_light import EMISSION
from goodman_live.line_lists import LISTS, all_features, features_of, nearest_feature
from goodman_live.lines import vacuum_to_air


def test_hydrogen_is_where_the_rydberg_formula_puts_it():
    names = {"Hα": 3, "Hβ": 4, "Hγ": 5, "Hδ": 6, "Hε": 7, "H8": 8, "H9": 9, "H10": 10}
    for feature in all_features():
        if feature.name in names:
            vacuum = 1e8 / (109677.58 * (1 / 4 - 1 / names[feature.name] ** 2))
            assert feature.wavelength == pytest.approx(float(vacuum_to_air(vacuum)), abs=0.1)
    assert {f.name for f in all_features()} >= set(names)


@pytest.mark.parametrize(
    ("name", "vacuum"),
    [
        ("[O III]", 5008.240), ("[O III]", 4960.295), ("[O III]", 4364.436), ("[N II]", 6585.27),
        ("[N II]", 6549.85), ("[S II]", 6718.29), ("[S II]", 6732.67), ("[O II]", 3727.09),
        ("[O II]", 3729.88), ("[O I]", 6302.046), ("Na I", 5891.583), ("Na I", 5897.558),
        ("Ca II K", 3934.777), ("Ca II H", 3969.591), ("Ca II", 8544.44), ("K I", 7701.08),
    ],
)  # fmt: skip
def test_lines_agree_with_their_vacuum_wavelengths(name, vacuum):
    air = float(vacuum_to_air(vacuum))
    listed = [f.wavelength for f in all_features() if f.name == name]
    assert np.min(np.abs(np.array(listed) - air)) < 0.05


def test_the_sky_is_the_one_that_sets_the_zero_point():
    known = np.array(list(EMISSION))
    oh = [f.wavelength for f in all_features() if f.kind == "sky" and f.name in ("OH", "[O I]")]
    assert max(np.min(np.abs(known - wavelength)) for wavelength in oh) < 0.01


def test_each_list_is_in_order_and_each_feature_has_name_weight_and_source():
    for kind in LISTS:
        listed = features_of([kind])
        assert listed and [f.wavelength for f in listed] == sorted(f.wavelength for f in listed)
        assert all(f.name and f.source and 1 <= f.weight <= 3 for f in listed)
        assert all((f.end is not None) == (kind == "telluric") for f in listed)


def test_a_redshift_moves_objects_and_not_the_sky():
    still, moved = features_of(LISTS), features_of(LISTS, 0.1)
    for before, after in zip(still, moved, strict=True):
        factor = 1.1 if before.kind in ("nebular", "stellar") else 1.0
        assert after.wavelength == pytest.approx(before.wavelength * factor)


def test_a_list_that_is_none_is_refused():
    with pytest.raises(ValueError, match="nebular, stellar, sky, telluric"):
        features_of(["galactic"])


def test_the_nearest_line_is_named_only_when_it_is_near():
    assert nearest_feature(5058.0, ["nebular"], 0.01).name == "[O III]"
    assert nearest_feature(5058.0, ["nebular"]) is None
    assert nearest_feature(7650.0, ["telluric"]) is None
