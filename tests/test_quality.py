"""The DQ plane: bits are kept, and the mask follows from the bad ones."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData

from goodman_live.quality import BAD, Quality, flag, quality_of, with_quality


@pytest.fixture
def ccd() -> CCDData:
    return CCDData(np.zeros((4, 5)), unit=u.adu)


def test_each_reason_has_a_bit_of_its_own_that_fits_sixteen():
    bits = [int(bit) for bit in Quality]
    assert all(bit & (bit - 1) == 0 for bit in bits)
    assert len(set(bits)) == len(bits)
    assert sum(bits) < 2**16


def test_a_frame_without_dq_is_good_everywhere(ccd):
    quality = quality_of(ccd)
    assert quality.dtype == np.uint16
    assert quality.shape == ccd.shape
    assert not quality.any()


@pytest.mark.parametrize("bit", list(Quality))
def test_the_mask_holds_exactly_the_bad_reasons(ccd, bit):
    quality = quality_of(ccd)
    quality[1, 2] = bit
    with_quality(ccd, quality)
    assert ccd.mask[1, 2] == (bit in BAD)
    assert ccd.mask.sum() == int(bit in BAD)
    assert quality_of(ccd)[1, 2] == bit


def test_an_interpolated_pixel_may_be_used():
    assert Quality.INTERPOLATED not in BAD


def test_two_reasons_are_kept_side_by_side(ccd):
    quality = quality_of(ccd)
    flag(quality, np.array([[True] * 5] + [[False] * 5] * 3), Quality.HOT)
    flag(quality, quality == 0, Quality.UNLIT)
    flag(quality, np.ones(ccd.shape, dtype=bool), Quality.COSMIC_RAY)
    assert quality.dtype == np.uint16
    assert set(quality[0]) == {Quality.HOT | Quality.COSMIC_RAY}
    assert set(quality[1:].ravel()) == {Quality.UNLIT | Quality.COSMIC_RAY}


def test_the_plane_handed_out_is_a_copy(ccd):
    with_quality(ccd, np.ones(ccd.shape, dtype=np.uint16))
    handed = quality_of(ccd)
    handed[:] = 0
    assert quality_of(ccd).all()
    assert ccd.mask.all()


def test_the_plane_handed_in_stays_the_callers_own(ccd):
    quality = np.zeros(ccd.shape, dtype=np.uint16)
    assert with_quality(ccd, quality) is ccd
    quality[:] = Quality.SATURATED
    assert not quality_of(ccd).any()
