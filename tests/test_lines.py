"""The catalogue of laboratory lines and the refraction of air."""

from __future__ import annotations

import numpy as np
import pytest

from goodman_live.lines import (
    LAMP_ELEMENTS,
    LAMP_IONS,
    air_to_vacuum,
    all_lines,
    lines_of,
    vacuum_to_air,
)


@pytest.mark.parametrize(
    ("lamp", "ion", "wavelength"),
    [
        ("HgAr", "Hg I", 4046.563),
        ("HgAr", "Hg I", 4358.328),
        ("HgAr", "Hg I", 5460.735),
        ("HgAr", "Ar I", 7635.106),
        ("Ne", "Ne I", 5852.488),
        ("Ne", "Ne I", 6402.248),
        ("Ne", "Ne I", 7438.898),
        ("Ar", "Ar I", 7635.106),
        ("Ar", "Ar I", 8115.311),
        ("Fe", "Fe I", 4271.760),
        ("Fe", "Ar II", 4879.864),
        ("Fe", "He I", 5875.62),
        ("Cu", "Cu I", 5105.541),
        ("Cu", "He I", 5875.62),
    ],
)
def test_a_well_known_line_is_in_its_lamp(lamp, ion, wavelength):
    lines = lines_of([lamp])
    same = lines.wavelength[lines.ion == ion]
    # Hg differs by 0.015 A between the older and the pencil-lamp values of NIST.
    assert np.abs(same - wavelength).min() < 0.02


def test_the_lines_are_sorted_and_no_two_are_identical():
    assert np.all(np.diff(all_lines().wavelength) > 0)


def test_no_ion_has_two_lines_that_are_one():
    lines = all_lines()
    for ion in np.unique(lines.ion):
        assert np.diff(lines.wavelength[lines.ion == ion]).min(initial=9.0) > 0.015


def test_wavelengths_are_in_range_and_intensities_positive():
    lines = all_lines()
    assert lines.wavelength.min() >= 3000
    assert lines.wavelength.max() <= 11000
    assert np.all(lines.intensity > 0)
    assert lines.intensity.max() == pytest.approx(1e6)


def test_every_ion_of_the_catalogue_belongs_to_a_lamp():
    known = {ion for ions in LAMP_IONS.values() for ion in ions}
    assert set(all_lines().ion) <= known


def test_every_lamp_has_lines():
    for lamp in LAMP_IONS:
        assert len(lines_of([lamp])) > 20


def test_most_lines_were_seen_in_real_arcs():
    assert np.mean(all_lines().n_seen > 0) > 0.5


def test_a_lamp_shows_only_its_own_elements():
    for lamp, elements in LAMP_ELEMENTS.items():
        assert {ion.split()[0] for ion in lines_of([lamp]).ion} <= set(elements)


def test_pencil_lamps_show_no_ionised_argon():
    assert "Ar II" not in lines_of(["HgAr", "Ar"]).ion


def test_a_mixture_holds_the_lines_of_both_lamps_once():
    both = lines_of(["HgAr", "Ar", "Ne"])
    assert len(both) == len(lines_of(["HgAr"])) + len(lines_of(["Ne"]))
    assert np.all(np.diff(both.wavelength) > 0)


def test_the_order_of_the_lamps_does_not_matter():
    assert lines_of(["Ne", "HgAr"]) is lines_of(["HgAr", "Ne"])


def test_no_lamp_gives_no_line():
    assert len(lines_of([])) == 0


def test_an_unknown_lamp_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(ValueError, match="HgAr, Ne, Ar, Fe, Cu, not 'ThAr'"):
        lines_of(["ThAr"])


def test_a_bare_string_is_refused():
    with pytest.raises(TypeError, match="sequence of lamp names"):
        lines_of("Ne")


def test_the_catalogue_cannot_be_changed_by_its_users():
    with pytest.raises(ValueError, match="read-only"):
        lines_of(["Ne"]).wavelength[0] = 0.0


def test_a_blended_line_has_a_neighbour_within_two_angstrom():
    lines = all_lines()
    gaps = np.diff(lines.wavelength)
    nearest = np.minimum(np.append(gaps, np.inf), np.insert(gaps, 0, np.inf))
    assert np.all(nearest[lines.blend] < 2)


@pytest.mark.parametrize(
    ("vacuum", "air"),
    [
        (5891.5833, 5889.9509),  # Na D2
        (6564.614, 6562.801),  # H alpha, unresolved
        (3934.777, 3933.663),  # Ca K
        (8544.44, 8542.09),  # Ca II triplet
    ],
)
def test_known_pairs_of_vacuum_and_air_agree(vacuum, air):
    assert vacuum_to_air(vacuum) == pytest.approx(air, abs=0.005)
    assert air_to_vacuum(air) == pytest.approx(vacuum, abs=0.005)


def test_air_to_vacuum_and_back_closes():
    air = np.linspace(3000, 11000, 801)
    np.testing.assert_allclose(vacuum_to_air(air_to_vacuum(air)), air, rtol=0, atol=1e-8)


def test_air_is_shorter_than_vacuum_and_the_shape_is_kept():
    vacuum = np.array([[4000.0, 5000.0], [6000.0, 7000.0]])
    air = vacuum_to_air(vacuum)
    assert air.shape == vacuum.shape
    assert np.all(air < vacuum)
