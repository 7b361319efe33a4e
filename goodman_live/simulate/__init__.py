"""Raw Goodman frames with known truth: what the tests judge by and the demonstration shows.

A frame is built as the light travels: source, atmosphere, slit, grating and camera, chip,
amplifier, header. The same seed gives the same pixels. Not modelled: fringes, second order,
bleeding, charge transfer, scattered light, flexure during the night, multi-slit masks.

Coordinates are those of `instruments`: zero-based centres of unbinned detector pixels, unless
a name says `array`. Wavelengths are in air [Angstrom].
"""

from .frames import (
    simulate_arc,
    simulate_bias,
    simulate_flat,
    simulate_image,
    simulate_spectrum,
)
from .header import file_name
from .night import write_night, write_raw
from .optics import bend_of_lines, column_of, throughput, wavelength_at
from .setup import MODE_NAMES, Observation, SetUp, Truth
from .sources import SKY_LINES, SOURCES

__all__ = [
    "MODE_NAMES",
    "SKY_LINES",
    "SOURCES",
    "Observation",
    "SetUp",
    "Truth",
    "bend_of_lines",
    "column_of",
    "file_name",
    "simulate_arc",
    "simulate_bias",
    "simulate_flat",
    "simulate_image",
    "simulate_spectrum",
    "throughput",
    "wavelength_at",
    "write_night",
    "write_raw",
]
