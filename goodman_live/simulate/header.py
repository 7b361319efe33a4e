"""Headers and file names of raw frames in the style written since 2019."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from astropy.io import fits

from .. import instruments
from ..instruments import FULL_WIDTH, Geometry
from .setup import Observation, SetUp

_LAMP_CARDS = {
    "LAMP_HGA": ("HgAr", "Hg(Ar)"),
    "LAMP_NE": ("Ne", "Neon"),
    "LAMP_AR": ("Ar", "Argon"),
    "LAMP_FE": ("Fe", "Iron"),
    "LAMP_CU": ("Cu", "Copper"),
    "LAMP_QUA": ("quartz", "Quartz"),
    "LAMP_BUL": ("bulb", "Bulb"),
    "LAMP_DOM": ("dome", "Dome"),
}


def _controller_cards(
    camera: str, geometry: Geometry, shape: tuple[int, int], exposure: float
) -> Iterator[tuple[str, Any, str]]:
    """Telemetry as the two controllers write it: numbered cards, meaning in the comments."""
    window = {
        "Serial Origin": geometry.x_origin,
        "Serial Length": shape[1],
        "Serial Binning": geometry.x_binning,
        "Serial Post Scan": 0,
        "Parallel Origin": geometry.y_origin,
        "Parallel Length": shape[0],
        "Parallel Binning": geometry.y_binning,
        "Parallel Post Scan": 0,
    }
    if camera == "Blue":
        units = {"Serial Length": " Binned Pixels", "Parallel Length": " Binned Pixels"}
        control = [(v, f"{k},{units.get(k, ' Pixels')}") for k, v in window.items()]
        status = [(-106.2, "CCD 0 CCD Temp., C"), (0.0, "Chamber Pressure, Torr")]
        chip = [(16, "Serial Pre-Masked,"), (4096, "Serial Active Pix.,"), ("CCD 486", "CCD Model")]
        groups = [("Status", status), ("Factory", chip), ("Control", control)]
    else:
        control = [(16, "Bits Per Pixel, (16)"), (34, "DSI Sample Time,")]
        control += [(v, f"{k},") for k, v in sorted(window.items())]
        status = [(24624, "Camera Flags,"), (-125.0, "Cold End Temperature, C")]
        chip = [(750, "Tested Speeds, (Not Defined)"), ("e2V CCD231-84-1-F21", "CCD Model")]
        factory = [
            (1110, "Instrument Model,"),
            (50, "Serial Pre-Masked,"),
            (4096, "Serial Active Pix.,"),
        ]
        setup = [(exposure, "Exposure Time, Sec.")]
        groups = [("Status", status), ("Miscellaneous", chip), ("Setup", setup)]
        groups += [("Factory", factory), ("Control", control)]
    for i, (name, values) in enumerate(groups):
        yield f"N_PRM{i}", len(values), name
        for j, (value, comment) in enumerate(values):
            yield f"PG{i}_{j}", value, comment


def _time_cards(start: datetime, exposure: float, shutter: bool) -> Iterator[tuple[str, Any, str]]:
    said = start + timedelta(seconds=0.084)
    end = said + timedelta(seconds=exposure)
    text = f"{said:%H:%M:%S.%f}"[:-3] + " to " + f"{end:%H:%M:%S.%f}"[:-3]
    yield "DATE-OBS", said.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3], "YYYY-MM-DDThh:mm:ss.sss"
    yield "DATE", start.strftime("%Y-%m-%d"), "Date Format is YYYY-MM-DD"
    yield "TIME", text, "~ Start & Stop of Exposure"
    yield "UT", said.strftime("%H:%M:%S.%f")[:-3], "time at approx. start of exposure [UTC]"
    if shutter:
        closed = start + timedelta(seconds=max(exposure - 0.09, 0.0))
        yield "OPENTIME", start.strftime("%H:%M:%S.%f0"), "GPS-Synched Time for Shutter Open (UT)"
        yield "OPENDATE", start.strftime("%Y-%m-%d"), "GPS-Synched Time for Shutter Open (UT)"
        yield "CLOSETIM", closed.strftime("%H:%M:%S.%f0"), "GPS-Synched Time for Shutter Close"


def _telescope_cards(observation: Observation) -> Iterator[tuple[str, Any, str]]:
    yield "RA", observation.ra, "right ascension [hh:mm:ss.sss]"
    yield "DEC", observation.dec, "declination [dd:mm:ss.sss]"
    yield "AIRMASS", observation.airmass, "airmass at approx. start of exposure"
    yield "FOCUS", -997.37, "SOAR telescope focus"
    yield "ROTATOR", 76.5, "Nasymth cage rotator angle [deg]"
    yield "POSANGLE", 0.0, "position angle [deg. E of N]"
    yield "SEEING", observation.seeing, "DIMM seeing [arcsec]"
    yield "OBSRA", observation.ra, "target right ascension [hh:mm:ss.sss]"
    yield "OBSDEC", observation.dec, "target declination  [hh:mm:ss.sss]"


def _instrument_cards(setup: SetUp, lamps: Sequence[str]) -> Iterator[tuple[str, Any, str]]:
    for card, (lamp, comment) in _LAMP_CARDS.items():
        yield card, "TRUE" if lamp in lamps else "FALSE", comment
    yield "CAM_ANG", setup.camera_angle + 0.0002, "camera angle [deg]"
    yield "GRT_ANG", setup.grating_angle - 0.0003, "grating angle [deg]"
    yield "CAM_TARG", setup.camera_angle, "camera target [deg]"
    yield "GRT_TARG", setup.grating_angle, "grating target [deg]"
    yield "CAM_FOC", -1847, "camera focus"
    yield "COLL_FOC", 1002, "collimator focus"
    yield "FILTER", setup.filter, "primary filter wheel"
    yield "FILTER2", setup.filter2, "secondary filter wheel"
    yield "GRATING", setup.grating, "VPH grating [1/mm]"
    yield "SLIT", setup.slit, "slit [arcsec]"


def _schedule_cards(observation: Observation) -> Iterator[tuple[str, Any, str]]:
    yield "OBSID", observation.observation, ""
    yield "CONFID", observation.configuration, ""
    yield "REQNUM", observation.request, ""
    yield "PROPID", observation.proposal, ""
    yield "SITEID", "sor", ""
    yield "TELID", "4m0a", ""
    yield "RLEVEL", 0, ""
    yield "BLKUID", observation.block, ""
    yield "IMAGEID", str(observation.number), ""
    yield "HEADERVE", "1.0.1", ""


def _roi_name(geometry: Geometry, shape: tuple[int, int]) -> str:
    binning = f"{geometry.x_binning}x{geometry.y_binning}"
    full_rows = 1896 // geometry.y_binning
    if shape == (full_rows, FULL_WIDTH // geometry.x_binning) and geometry.y_origin == 980:
        return f"Spectroscopic {binning}"
    window = f"{geometry.x_origin}_{shape[1]}_{geometry.y_origin}_{shape[0]}"
    return f"CUST_{window}_{binning}"


def raw_header(
    setup: SetUp,
    geometry: Geometry,
    shape: tuple[int, int],
    observation: Observation,
    *,
    obstype: str,
    exposure: float,
    lamps: Sequence[str] = (),
) -> fits.Header:
    """Header in the style written since 2019, keywords in the order of real files."""
    blue = setup.camera == "Blue"
    imaging = setup.grating == "NO_GRATING"
    mode = instruments.mode_name(
        setup.grating, setup.lines, setup.camera_angle, setup.grating_angle
    )
    wavmode = "Imaging" if imaging else "Custom" if "CUSTOM" in mode else mode
    unbinned = f"[1:{shape[1] * geometry.x_binning},1:{shape[0] * geometry.y_binning}]"
    cards = [
        ("OBJECT", observation.object_name, "Name of the object observed"),
        *_time_cards(observation.start, exposure, obstype != "BIAS"),
        *_controller_cards(setup.camera, geometry, shape, exposure),
        ("TELESCOP", "SOAR 4.1m", ""),
        ("INSTRUME", "ghts_blue" if blue else "ghts_red", ""),
        ("INSTCONF", setup.camera, ""),
        ("INSTSWV", "goodman_live simulation", ""),
        ("CAMERA", "Si 600-658" if blue else "Si 1110-111", ""),
        *_telescope_cards(observation),
        *_instrument_cards(setup, lamps),
        ("WAVMODE", wavmode, "Wavelength"),
        ("EXPTIME", float(exposure), "integration time"),
        ("RDNOISE", setup.read_noise, "CCD readnoise [e-]"),
        ("GAIN", setup.gain, "CCD gain [e-/ADU]"),
        ("OBSTYPE", obstype, "observation type"),
        ("OBSERVER", observation.observer, ""),
        ("PROPOSAL", "", ""),
        ("EQUINOX", 2000.0, "equinox of coordinates"),
        ("ROI", _roi_name(geometry, shape), ""),
        ("DISPAXIS", 1, ""),
        ("DETSIZE", "[1:4096,1:4096]", ""),
        ("TRIMSEC", unbinned, ""),  # wrong on purpose, as in real files
        ("CCDSIZE", "[1:4096,1:4096]", ""),
        ("CCDSUM", f"{geometry.x_binning} {geometry.y_binning}", ""),
        ("BUNIT", "adu", ""),
        *_schedule_cards(observation),
    ]
    return fits.Header([fits.Card(*card) for card in cards])


def file_name(observation: Observation, suffix: str = "") -> str:
    """Name of the raw file, such as '0030_SN2026abc.fits'."""
    words = [f"{observation.number:04d}", observation.object_name]
    if suffix and suffix != observation.object_name:
        words.append(suffix)
    return "_".join(words) + ".fits"
