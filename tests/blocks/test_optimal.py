"""Optimal extraction: the truth within the errors it claims, with less noise than a plain sum."""

from __future__ import annotations

import numpy as np
import pytest
from made_frames import electron_frame
from scipy.special import erf

from goodman_live.blocks.extract import ExtractionSettings, extract_target
from goodman_live.blocks.trace import Trace
from goodman_live.quality import Quality, quality_of, with_quality

N_COLUMNS = 1200
FWHM = 5.0
SLOPE = Trace((60.0, 4.0), (0.0, N_COLUMNS - 1.0), FWHM, 0.0, 30)
FRACTIONAL = ExtractionSettings(extraction_width=3.0)
OPTIMAL = ExtractionSettings(extraction_width=3.0, extraction_type="optimal")


def true_flux(level):
    return level * (1.0 + 0.3 * np.sin(np.arange(N_COLUMNS) / 90.0))


def frame(level, seed, sky=25.0):
    """A Gaussian object of FWHM 5 on a trace that falls eight rows."""
    offset = np.arange(120)[:, None] - SLOPE.row_at(np.arange(N_COLUMNS))[None, :]
    edge = np.sqrt(4 * np.log(2)) / FWHM
    profile = 0.5 * (erf((offset + 0.5) * edge) - erf((offset - 0.5) * edge))
    light = profile * true_flux(level) + sky
    return electron_frame(light, seed=seed, binning=(1, 1), origin=(0, 0))


def pulls(level, settings, n_frames=6):
    values = []
    for seed in range(n_frames):
        done = extract_target(frame(level, seed), SLOPE, (), settings)
        values.append((done["flux"].value - true_flux(level)) / done["uncertainty"].value)
    return np.array(values)


@pytest.mark.parametrize("level", [50, 200, 1000, 10_000])
def test_flux_and_errors_are_honest(level):
    found = pulls(level, OPTIMAL)
    assert abs(found.mean()) < 0.08
    assert found.std() == pytest.approx(1.0, abs=0.05)


def test_a_faint_object_gains_over_a_plain_sum():
    faint = frame(60, 3)
    noise = {
        s.extraction_type: np.median(extract_target(faint, SLOPE, (), s)["uncertainty"].value)
        for s in (FRACTIONAL, OPTIMAL)
    }
    # Sky-limited: a Gaussian profile against an aperture of three FWHM, of which the
    # background's own error takes back a little.
    assert noise["fractional"] / noise["optimal"] == pytest.approx(1.43, abs=0.08)


def test_a_bright_object_is_the_same_either_way():
    bright = frame(50_000, 4)
    plain = extract_target(bright, SLOPE, (), FRACTIONAL)
    best = extract_target(bright, SLOPE, (), OPTIMAL)
    ratio = best["flux"].value / plain["flux"].value
    assert ratio.mean() == pytest.approx(1.0, abs=1e-3)
    np.testing.assert_allclose(best["uncertainty"].value, plain["uncertainty"].value, rtol=0.05)


def test_a_hit_that_was_overlooked_is_caught_by_the_profile():
    spoilt = frame(5000, 5)
    row = int(SLOPE.row_at(600.0)) + 2
    spoilt.data[row, 600] += 3000.0
    found = extract_target(spoilt, SLOPE, (), OPTIMAL)
    assert (
        abs(found["flux"].value[600] - true_flux(5000)[600]) < 5 * found["uncertainty"].value[600]
    )


def test_masked_pixels_are_made_up_for():
    spoilt = frame(2000, 6)
    quality = quality_of(spoilt)
    columns = np.arange(100, 1100, 10)
    rows = np.round(SLOPE.row_at(columns)).astype(int) + 1
    spoilt.data[rows, columns] = 1e5
    quality[rows, columns] |= np.uint16(Quality.COSMIC_RAY)
    found = extract_target(with_quality(spoilt, quality), SLOPE, (), OPTIMAL)
    pull = (found["flux"].value - true_flux(2000))[columns] / found["uncertainty"].value[columns]
    assert abs(pull.mean()) < 0.4
    assert pull.std() < 1.4
    assert (found["mask"][columns] & np.uint16(Quality.INTERPOLATED)).all()
