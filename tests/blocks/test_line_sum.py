"""Lines of any shape are summed without bias and with errors that are true."""

from __future__ import annotations

import numpy as np
import pytest

from goodman_live.blocks.line_sum import sum_line
from goodman_live.errors import NoLineFound

WAVELENGTH = 5000 + 0.84 * np.arange(200)
SIGMA = 4.0


def profile():
    """A line with a sharp blue edge and a long red wing, of 1000 electrons."""
    apart = WAVELENGTH - 5060
    shape = np.where(apart > 0, np.exp(-apart / 8), 0.0)
    return 1000 * shape / shape.sum()


def light(seed, strength=1.0):
    truth = 100 + 0.3 * (WAVELENGTH - 5060) + strength * profile()
    return truth + np.random.default_rng(seed).normal(0, SIGMA, len(truth))


ERROR = np.full(len(WAVELENGTH), SIGMA)
CENTROID = float(profile() @ WAVELENGTH / 1000)
RANGE = {"low": 5035.0, "high": 5140.0}


@pytest.mark.parametrize("strength", [1.0, -0.8])
@pytest.mark.parametrize("known", [True, False])
def test_sums_scatter_about_the_truth_as_their_errors_say(strength, known):
    pulls = []
    for seed in range(150):
        found = sum_line(WAVELENGTH, light(seed, strength), ERROR if known else None, None, **RANGE)
        width = -1000 * strength * 0.84 / (100 + 0.3 * (CENTROID - 5060))
        pulls.append(
            [
                (found.flux - 1000 * strength) / found.flux_error,
                (found.center - CENTROID) / found.center_error,
                (found.equivalent_width - width) / found.equivalent_width_error,
            ]
        )
    # What of the wing lies in the ends is not summed: a hundredth of the light.
    np.testing.assert_allclose(np.mean(pulls, axis=0), 0, atol=0.5)
    np.testing.assert_allclose(np.std(pulls, axis=0), 1, atol=0.2 if known else 0.3)


def test_missing_pixels_are_made_up_for_by_their_neighbours():
    mask = np.zeros(len(WAVELENGTH), dtype=bool)
    mask[[74, 80, 81]] = True
    flux = light(1)
    whole = sum_line(WAVELENGTH, flux, ERROR, None, **RANGE)
    flux[mask] = 1e6
    holed = sum_line(WAVELENGTH, flux, ERROR, mask, **RANGE)
    assert holed.flux == pytest.approx(whole.flux, abs=3 * whole.flux_error)
    assert holed.flux_error > whole.flux_error and holed.n_pixels == whole.n_pixels - 3


def test_a_sum_has_no_width_and_shows_the_continuum_it_rests_on():
    found = sum_line(WAVELENGTH, light(2), ERROR, None, **RANGE)
    assert found.is_sum and np.isnan(found.fwhm) and found.between_ends
    drawn = found.per_pixel(WAVELENGTH)
    np.testing.assert_allclose(drawn[40:160], (100 + 0.3 * (WAVELENGTH - 5060))[40:160], atol=4)


def test_too_little_light_or_too_few_pixels_are_refused_with_advice():
    with pytest.raises(NoLineFound, match="stand out by 3 times its error"):
        sum_line(WAVELENGTH, light(3, strength=0.0), ERROR, None, low=5090.0, high=5110.0)
    with pytest.raises(NoLineFound, match="at least 7 good pixels"):
        sum_line(WAVELENGTH, light(3), ERROR, None, low=5060.0, high=5064.0)
    mask = (np.arange(len(WAVELENGTH)) % 3) == 0
    with pytest.raises(NoLineFound, match="four of five"):
        sum_line(WAVELENGTH, light(3), ERROR, mask, **RANGE)
