"""What a raw frame is: every header keyword of every generation, read in one place.

`FrameInfo` is decided from what can be trusted: grating and angles, never WAVMODE;
GPS shutter times where they agree with DATE-OBS; the geometry from the controller's
own cards, never TRIMSEC. Refuses headers that lack what cannot be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from . import instruments
from .errors import FrameError
from .instruments import Geometry

CALIBRATION_KINDS = ("bias", "flat")

_KIND_OF_OBSTYPE = {
    "BIAS": "bias",
    "ZERO": "bias",
    "DARK": "dark",
    "FLAT": "flat",
    "LAMPFLAT": "flat",
    "DOMEFLAT": "flat",
    "SKYFLAT": "flat",
    "COMP": "arc",
    "ARC": "arc",
    "SPECTRUM": "spectrum",
    "STANDARD": "spectrum",
    "EXPOSE": "image",
    "ACQUISITION": "acquisition",
    "FOCUS": "focus",
}
_LAMP_CARDS = {
    "LAMP_HGA": "HgAr",
    "LAMP_NE": "Ne",
    "LAMP_AR": "Ar",
    "LAMP_FE": "Fe",
    "LAMP_CU": "Cu",
    "LAMP_QUA": "quartz",
    "LAMP_BUL": "bulb",
    "LAMP_DOM": "dome",
}
ARC_LAMPS = ("HgAr", "Ne", "Ar", "Fe", "Cu")
# The controllers write the read-out window under numbered cards; only their comments are stable.
_WINDOW_COMMENTS = {
    "Serial Origin": "x_origin",
    "Parallel Origin": "y_origin",
    "Serial Binning": "x_binning",
    "Parallel Binning": "y_binning",
}
_CUSTOM_ROI = re.compile(r"CUST_(\d+)_(\d+)_(\d+)_(\d+)_(\d)X(\d)")
_LAMP_WORD = re.compile(r"(?:Hg|He|Ar|Ne|Fe|Cu)+", re.IGNORECASE)
_SEXAGESIMAL = re.compile(r"([-+]?)(\d{1,3})[: ](\d{1,2})[: ](\d{1,2}(?:\.\d*)?)")
_INDISPENSABLE = ("OBSTYPE", "DATE-OBS", "GAIN", "RDNOISE")
_TRUE = ("TRUE", "T", "1")
_NO_PROPOSAL = {"", "NONE", "0"}


@dataclass(frozen=True)
class FrameInfo:
    """One raw frame, decided from its header and shape.

    `kind` is bias, flat, arc, spectrum, image, focus, acquisition, dark or unknown; `technique`
    is spectroscopy or imaging.
    Angles in degrees, gain in electron/adu, read noise in electrons (both as the header
    says), saturation in adu, times in UTC, slit width in arcsec. `decided` lists, in plain
    sentences, the decisions that the header alone did not settle.
    """

    file_name: str
    camera: str
    kind: str
    technique: str
    obstype: str
    object_name: str
    grating: str
    lines: int | None
    camera_angle: float
    grating_angle: float
    mode: str
    wavmode: str
    slit: str
    slit_width: float | None
    filter: str
    filter2: str
    geometry: Geometry
    roi: str
    shape: tuple[int, int]
    gain: float
    read_noise: float
    saturation: float
    lamps: tuple[str, ...]
    exposure: float
    exposure_start: datetime
    exposure_end: datetime
    ra: str
    dec: str
    airmass: float | None
    seeing: float | None
    proposal: str
    block: str
    observation: str
    configuration: str
    image_id: str
    decided: tuple[str, ...] = ()

    @cached_property
    def binning(self) -> str:
        """Binning as 'XxY'."""
        return f"{self.geometry.x_binning}x{self.geometry.y_binning}"

    @cached_property
    def window(self) -> str:
        """What was read out: origin [unbinned] and shape, comparable between frames."""
        geometry = self.geometry
        return f"{geometry.x_origin},{geometry.y_origin}+{self.shape[1]}x{self.shape[0]}"

    @cached_property
    def lit_section(self) -> tuple[slice, slice]:
        """Rows and columns that saw light."""
        return instruments.lit_section(self.geometry, self.shape)

    @cached_property
    def overscan_section(self) -> tuple[slice, slice] | None:
        """Rows and columns of the usable prescan, None where none was read."""
        return instruments.overscan_section(self.camera, self.geometry, self.shape)

    @cached_property
    def night(self) -> str:
        """Night 'YYYYMMDD': the local date of the afternoon before (noon is near 16 UT)."""
        return night_of(self.exposure_start)

    @cached_property
    def right_ascension(self) -> float | None:
        """Right ascension [degrees], None where the header has none."""
        return _degrees(self.ra, 15.0)

    @cached_property
    def declination(self) -> float | None:
        """Declination [degrees], None where the header has none."""
        return _degrees(self.dec, 1.0)

    @property
    def setup(self) -> str:
        """The optical set-up in a few words."""
        if self.technique == "imaging":
            return f"imaging {self.filter}"
        return f"{self.mode} {self.filter2} slit {self.slit}"

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON and tables."""
        values = asdict(self)
        values["exposure_start"] = self.exposure_start.isoformat()
        values["exposure_end"] = self.exposure_end.isoformat()
        return values | {"binning": self.binning, "night": self.night, "setup": self.setup}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> FrameInfo:
        """The frame whose `to_dict` gave these values (also after a trip through JSON)."""
        kept = {f.name: values[f.name] for f in fields(cls)}
        kept["geometry"] = Geometry(**kept["geometry"])
        for name in ("shape", "lamps", "decided"):
            kept[name] = tuple(kept[name])
        for name in ("exposure_start", "exposure_end"):
            kept[name] = datetime.fromisoformat(kept[name])
        return cls(**kept)

    @classmethod
    def from_header(
        cls, header: Mapping[str, Any], shape: tuple[int, int], file_name: str
    ) -> FrameInfo:
        """Decide what a raw frame is.

        Parameters
        ----------
        header
            Header of the raw frame (an `astropy.io.fits.Header`); not modified.
        shape
            (n_rows, n_columns) of the raw pixels.
        file_name
            Name of the file; legacy arcs name their lamp only there.

        Raises
        ------
        FrameError
            If the header lacks what cannot be guessed, or contradicts the pixels.
        """
        return _Reader(header, shape, file_name).read()


def night_of(moment: datetime) -> str:
    """Night 'YYYYMMDD' of a moment: the local date of the afternoon before (noon is near 16 UT)."""
    return (moment - timedelta(hours=16)).strftime("%Y%m%d")


def _degrees(text: str, unit: float) -> float | None:
    """An angle [degrees] from 'units:minutes:seconds', the unit in degrees, or from a number."""
    found = _SEXAGESIMAL.fullmatch(text)
    if found:
        sign, *parts = found.groups()
        units, minutes, seconds = (float(part) for part in parts)
        size = (units + minutes / 60 + seconds / 3600) * unit
        return -size if sign == "-" else size
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) <= 360 else None


def canonical(value: str) -> str:
    """Value of an old-style keyword in the style used since 2019: upper case, underscores.

    '<NO FILTER>' becomes 'NO_FILTER', '1.0" long slit' '1.0_LONG_SLIT', 'SYZY_400' '400_SYZY'.
    """
    text = re.sub(r'[<>"\']', "", str(value)).strip().upper()
    text = re.sub(r"[\s_]+", "_", text)
    old_grating = re.fullmatch(r"SYZY_(\d+.*)", text)
    return f"{old_grating[1]}_SYZY" if old_grating else text


def lamps_in_words(text: str) -> tuple[str, ...]:
    """Lamps named by the first words of an object or file name, such as 'HgArNe' or 'Fe 930 red'.

    Hollow cathodes are 'Fe' and 'Cu' whatever gas is named with them ('FeHeAr').
    """
    for word in re.split(r"[^A-Za-z]+", text):
        if _LAMP_WORD.fullmatch(word):
            elements = {e.capitalize() for e in re.findall("hg|he|ar|ne|fe|cu", word.lower())}
            found = [lamp for lamp in ("HgAr", "Ne", "Fe", "Cu") if lamp[:2] in elements]
            return tuple(found) or (("Ar",) if "Ar" in elements else ())
    return ()


class _Reader:
    """One header being read; collects the decisions it had to make."""

    def __init__(self, header: Mapping[str, Any], shape: tuple[int, int], file_name: str) -> None:
        self.header = header
        self.shape = shape
        self.file_name = file_name
        self.decided: list[str] = []

    def read(self) -> FrameInfo:
        self._refuse_foreign()
        gain, read_noise = self.number("GAIN"), self.number("RDNOISE")
        camera = self.camera(gain, read_noise)
        grating = canonical(self.text("GRATING", "NO_GRATING"))
        lines = self.lines(grating)
        camera_angle = self.number("CAM_TARG", 0.0)
        grating_angle = self.number("GRT_TARG", 0.0)
        technique = "spectroscopy" if lines and abs(camera_angle) > 1.0 else "imaging"
        if not lines and "NO_GRATING" not in grating:
            self.decided.append(f"Imaging: {grating} is no grating that is known.")
        kind = self.kind(technique)
        start, end = self.times()
        slit = canonical(self.text("SLIT", "NO_MASK"))
        mode = "IMAGING"
        if technique == "spectroscopy":
            mode = instruments.mode_name(grating, lines, camera_angle, grating_angle)
        info = FrameInfo(
            file_name=self.file_name,
            camera=camera,
            kind=kind,
            technique=technique,
            obstype=self.text("OBSTYPE").upper(),
            object_name=self.text("OBJECT"),
            grating=grating,
            lines=lines,
            camera_angle=camera_angle,
            grating_angle=grating_angle,
            mode=mode,
            wavmode=self.text("WAVMODE"),
            slit=slit,
            slit_width=_slit_width(slit),
            filter=canonical(self.text("FILTER", "NO_FILTER")),
            filter2=canonical(self.text("FILTER2", "NO_FILTER")),
            geometry=self.geometry(),
            roi=self.text("ROI"),
            shape=self.shape,
            gain=gain,
            read_noise=read_noise,
            saturation=instruments.saturation_level(camera, gain, read_noise),
            lamps=self.lamps(kind),
            exposure=self.exposure(),
            exposure_start=start,
            exposure_end=end,
            ra=self.text("OBSRA", self.text("RA")),
            dec=self.text("OBSDEC", self.text("DEC")),
            airmass=self.positive("AIRMASS"),
            seeing=self.positive("SEEING"),
            proposal=self.proposal(),
            block=self.identifier("BLKUID") or self.identifier("BLOCK_ID"),
            observation=self.identifier("OBSID"),
            configuration=self.identifier("CONFID"),
            image_id=self.identifier("IMAGEID"),
        )
        return replace(info, decided=tuple(self.decided))

    def _refuse_foreign(self) -> None:
        missing = [key for key in _INDISPENSABLE if key not in self.header]
        if missing:
            raise FrameError(
                f"{self.file_name} must carry {', '.join(missing)} in its header to be a Goodman "
                "frame. Look at the file with fitsheader."
            )
        instrument = self.text("INSTRUME").lower()
        if instrument and not instrument.startswith(("goodman", "ghts")):
            raise FrameError(
                f"{self.file_name} must come from the Goodman spectrograph, "
                f"not from INSTRUME={instrument!r}."
            )

    def text(self, key: str, default: str = "") -> str:
        value = self.header.get(key)
        text = "" if value is None or type(value).__name__ == "Undefined" else str(value).strip()
        return text or default

    def number(self, key: str, default: float | None = None) -> float:
        text = self.text(key)
        if not text and default is not None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if value != value or value in (float("inf"), float("-inf")):
            raise FrameError(f"{self.file_name}: {key} must be a finite number, not {text!r}.")
        if key in ("GAIN", "RDNOISE") and value <= 0:
            raise FrameError(f"{self.file_name}: {key} must be above 0, not {value:g}.")
        return value

    def exposure(self) -> float:
        seconds = self.number("EXPTIME", 0.0)
        if not 0.0 <= seconds < 1e5:
            raise FrameError(f"{self.file_name}: EXPTIME must be 0 to 100,000 s, not {seconds:g}.")
        return seconds

    def positive(self, key: str) -> float | None:
        value = self.number(key, -1.0)
        return value if value > 0 else None

    def identifier(self, key: str) -> str:
        text = self.text(key)
        return "" if text == "0" else text

    def proposal(self) -> str:
        for key in ("PROPID", "PROPOSAL"):
            if self.text(key).upper() not in _NO_PROPOSAL:
                return self.text(key)
        return ""

    def camera(self, gain: float, read_noise: float) -> str:
        for key in ("INSTCONF", "INSTRUME"):
            for camera in ("Red", "Blue"):
                if camera.lower() in self.text(key).lower():
                    return camera
        readout = instruments.find_readout(None, gain, read_noise)
        camera = readout.camera if readout else "Blue"
        reason = f"gain {gain:g} and read noise {read_noise:g}" if readout else "its age"
        self.decided.append(f"Camera {camera}, because of {reason}: INSTCONF is absent.")
        return camera

    def lines(self, grating: str) -> int | None:
        found = re.search(r"(?<!\d)(400|600|930|1200|1800|2100|2400)(?!\d)", grating)
        return int(found[1]) if found else None

    def kind(self, technique: str) -> str:
        obstype = self.text("OBSTYPE").upper()
        if obstype in _KIND_OF_OBSTYPE:
            return _KIND_OF_OBSTYPE[obstype]
        if obstype != "OBJECT":
            self.decided.append(f"Kind unknown: OBSTYPE is {obstype!r}.")
            return "unknown"
        if technique == "spectroscopy":
            return "spectrum"
        acquisition = "alignment" in self.text("ROI").lower() or re.search(
            r"acq", f"{self.text('OBJECT')} {self.file_name}", re.IGNORECASE
        )
        kind = "acquisition" if acquisition else "image"
        self.decided.append(f"Kind {kind}: OBSTYPE is OBJECT and no light is dispersed.")
        return kind

    def lamps(self, kind: str) -> tuple[str, ...]:
        lit = tuple(lamp for card, lamp in _LAMP_CARDS.items() if self.text(card).upper() in _TRUE)
        if lit or kind not in ("arc", "focus"):
            return lit
        named = lamps_in_words(self.text("OBJECT")) or lamps_in_words(self.file_name)
        if named:
            self.decided.append(f"Lamps {'+'.join(named)} by name: no lamp card says TRUE.")
        return named

    def geometry(self) -> Geometry:
        values = self._window_cards()
        custom = _CUSTOM_ROI.search(canonical(self.text("ROI")))
        if custom:
            numbers = [int(n) for n in custom.groups()]
            values = {"x_origin": numbers[0], "y_origin": numbers[2]} | values
        values["x_binning"], values["y_binning"] = self._binning(values)
        width = self.shape[1] * values["x_binning"]
        if width > instruments.FULL_WIDTH + values["x_binning"]:
            raise FrameError(
                f"{self.file_name}: CCDSUM says {values['x_binning']} pixels are binned along x, "
                f"but then {self.shape[1]} columns are wider than the detector."
            )
        if "x_origin" not in values:
            full = width >= instruments.LIT_COLUMNS[1]
            values["x_origin"] = 0 if full else instruments.LIT_COLUMNS[0]
            self.decided.append(
                f"Serial origin {values['x_origin']} by the width of {width} unbinned columns."
            )
        return Geometry(**{"y_origin": 0} | values)

    def _window_cards(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for card in getattr(self.header, "cards", ()):
            if card.keyword.startswith(("PG", "PARAM")) and isinstance(card.value, int):
                words = (c for c in _WINDOW_COMMENTS if card.comment.startswith(c))
                name = _WINDOW_COMMENTS.get(next(words, ""))
                if name and 0 <= card.value < 5000:
                    found[name] = card.value
        return found

    def _binning(self, values: Mapping[str, int]) -> tuple[int, int]:
        text = self.text("CCDSUM")
        numbers = re.fullmatch(r"([1-9])[ ,xX]+([1-9])", text)
        if numbers:
            return int(numbers[1]), int(numbers[2])
        if text:
            raise FrameError(
                f"{self.file_name}: CCDSUM must be two numbers such as '2 2', not {text!r}."
            )
        x_binning, y_binning = values.get("x_binning", 1), values.get("y_binning", 1)
        self.decided.append(f"Binning {x_binning}x{y_binning}: CCDSUM is absent.")
        return x_binning, y_binning

    def times(self) -> tuple[datetime, datetime]:
        text = self.text("DATE-OBS")
        try:
            start = datetime.fromisoformat(text).replace(tzinfo=UTC)
        except ValueError:
            raise FrameError(
                f"{self.file_name}: DATE-OBS must be a time such as 2018-02-05T04:12:05.277, "
                f"not {text!r}."
            ) from None
        exposure = timedelta(seconds=self.exposure())
        opened = self._gps_time("OPENTIME", start)
        start = opened or start
        return start, self._gps_time("CLOSETIM", start + exposure) or start + exposure

    def _gps_time(self, key: str, near: datetime) -> datetime | None:
        """GPS shutter time of day within a minute of `near`; its own date is not trusted."""
        found = re.fullmatch(r"(\d\d):(\d\d):(\d\d(?:\.\d*)?)", self.text(key))
        if not found:
            return None
        of_day = timedelta(hours=int(found[1]), minutes=int(found[2]), seconds=float(found[3]))
        midnight = near.replace(hour=0, minute=0, second=0, microsecond=0)
        for days in (0, -1, 1):
            moment = midnight + timedelta(days=days) + of_day
            if abs(moment - near) < timedelta(minutes=1):
                return moment
        self.decided.append(f"{key} {self.text(key)} is not near DATE-OBS and not used.")
        return None


def _slit_width(slit: str) -> float | None:
    found = re.match(r"(\d+(?:\.\d+)?)_", slit)
    return float(found[1]) if found else None
