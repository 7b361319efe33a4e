"""The round field of an image: flagged outside, and only where it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from astropy import units as u
from astropy.nddata import CCDData
from made_frames import electron_frame

from goodman_live import io
from goodman_live.blocks.detector import correct_gain, subtract_overscan, trim_frame
from goodman_live.blocks.field import find_field, mask_field, outside
from goodman_live.instruments import Geometry
from goodman_live.quality import Quality
from goodman_live.recipes import make_master_bias, make_master_flat, reduce_image
from goodman_live.simulate import Observation, SetUp
from goodman_live.simulate.header import raw_header

RADIUS = 1440.0
WHOLE = Geometry(4, 4, 530, 388)


def image(sky, *, centre=(2078.0, 1936.0), geometry=WHOLE, shape=(774, 774)):
    """An image whose field is lit by `sky` [electron] about `centre` [unbinned pixels]."""
    light = np.where(outside((*centre, RADIUS), geometry, shape), 0.02 * sky, sky)
    light[300:303, 400:403] += 5e4
    light[20:23, 30:33] += 5e4
    origin = geometry.x_origin, geometry.y_origin
    return electron_frame(light, binning=(geometry.x_binning, geometry.y_binning), origin=origin)


def unlit(frame):
    return (frame.flags & int(Quality.UNLIT)) != 0


@pytest.mark.parametrize("centre", [(2078.0, 1936.0), (2041.0, 1968.0)])
def test_the_circle_is_found_where_the_sky_shows_it(centre):
    frame = image(60.0, centre=centre)
    column, row, radius = find_field(frame.data, WHOLE)
    assert np.hypot(column - centre[0], row - centre[1]) < 6
    assert abs(radius - RADIUS) < 8
    truth = outside((*centre, RADIUS), WHOLE, frame.shape)
    assert np.mean(unlit(mask_field(frame)) != truth) < 0.005


def test_a_whole_frame_of_dark_sky_is_given_the_known_circle():
    done = mask_field(image(0.01))
    truth = outside((2078.0, 1936.0, RADIUS), WHOLE, done.shape)
    np.testing.assert_array_equal(unlit(done), truth)
    assert "known" in done.header.comments["GSP_FLDR"]


@pytest.mark.parametrize(
    ("geometry", "shape"),
    [(Geometry(2, 2, 1850, 1100), (948, 200)), (Geometry(2, 2, 0, 1850), (200, 2071))],
)
def test_other_windows_are_left_alone(geometry, shape):
    light = np.full(shape, 50.0)
    light[:, shape[1] // 2] += 5000.0  # a slit
    origin = geometry.x_origin, geometry.y_origin
    done = mask_field(electron_frame(light, binning=(2, 2), origin=origin))
    assert not unlit(done).any()
    assert "GSP_FLDR" not in done.header


def test_a_sky_that_rises_across_a_frame_is_no_field():
    light = np.linspace(20.0, 400.0, 774)[None, :] * np.ones((774, 1))
    assert find_field(electron_frame(light).data, WHOLE) is None


@pytest.mark.parametrize(
    "path",
    ["2018-03-09-blue-acquisition/goodman_blue_acq.fits", "2019-05-15-red-focus/im_g_SDSS.fits"],
)
def test_real_windows_within_the_field_are_left_alone(real_data, path):
    frame = correct_gain(trim_frame(subtract_overscan(io.read_raw(real_data / path))))
    assert not unlit(mask_field(frame)).any()


def raw_images(camera):
    """A function making raw frames of the whole field, and its true response and dark corners."""
    shape, geometry = (387, 387), Geometry(8, 8, 530, 388)
    setup = replace(
        SetUp.preset("400_M2", camera=camera, x_binning=8, y_binning=8),
        grating="NO_GRATING",
        camera_angle=0.0,
        grating_angle=0.0,
        filter="r-SDSS",
        filter2="NO_FILTER",
        slit="NO_MASK",
    )
    y, x = np.mgrid[:387, :387]
    response = 1 - 0.2 * ((x - 193) ** 2 + (y - 193) ** 2) / 180**2
    response *= 1 + 0.02 * np.random.default_rng(0).standard_normal(shape)
    dark = outside((2060.0, 1950.0, RADIUS), geometry, shape)

    def make(obstype, light, seed):
        rng = np.random.default_rng(seed)
        electrons = rng.poisson(np.where(dark, 0.01, response) * light)
        electrons = electrons + setup.read_noise * rng.standard_normal(shape)
        data = np.rint(500 + electrons / setup.gain).astype(np.float32)
        seconds = 0.0 if obstype == "BIAS" else 10.0
        header = raw_header(
            setup, geometry, shape, Observation(), obstype=obstype, exposure=seconds
        )
        header["FILENAME"] = f"{seed:04d}_made.fits"
        return CCDData(data, unit=u.adu, header=header)

    return make, dark


@pytest.mark.parametrize("camera", ["Red", "Blue"])
def test_an_image_is_reduced_with_masters_of_the_whole_field(camera):
    make, dark = raw_images(camera)
    bias = make_master_bias([make("BIAS", 0.0, n) for n in range(10)])
    flat = make_master_flat([make("DOMEFLAT", 20000.0, 20 + n) for n in range(10)], bias)
    made = reduce_image(make("EXPOSE", 900.0, 99), bias=bias, flat=flat)
    image, dark = made.image, dark[-made.image.shape[0] :]
    assert made.skipped == ()
    assert made.image_name.startswith("cfzt_")
    assert flat.shape == image.shape
    assert np.isfinite(image.data).all()
    assert np.mean(unlit(image) != dark) < 0.03
    lit = ~image.mask
    assert np.mean(lit != ~dark) < 0.03
    pulls = (image.data - np.median(image.data[lit]))[lit] / image.uncertainty.array[lit]
    # The flat has taken vignetting and response out: nothing but noise is left.
    assert np.std(pulls) < 1.15
    assert image.header["GSP_NCOS"] < 10
