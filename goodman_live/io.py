"""Reading raw frames and products, writing products: the only place that touches FITS files.

Raw frames are opened for reading only. A product appears under its name complete or not
at all. Refused are files that are not FITS, are cut short, or hold no two-dimensional
unsigned image.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import itertools
import os
import re
import tempfile
import warnings
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData, StdDevUncertainty
from astropy.table import QTable
from astropy.utils.exceptions import AstropyWarning

try:  # what the decompressor of .fz files raises has no public name
    from astropy.io.fits.hdu.compressed._compression import CfitsioException
except ImportError:
    CfitsioException = OSError

from .errors import FrameError
from .metadata import FrameInfo
from .quality import quality_of, with_quality

BLOCK = 2880
MAX_AXES = 3  # legacy frames have a third of length one
MAX_PIXELS = 64_000_000  # larger than any Goodman frame; more is a damaged header
BLANK = 0.01  # of the pixels of a frame that tells nothing, at most this part does
RAW_SUFFIXES = (".fits", ".fit", ".fts", ".fits.gz", ".fits.fz")
_DAMAGES = (
    OSError,
    EOFError,
    zlib.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    fits.VerifyError,
    CfitsioException,
)
_SIZE_CARD = re.compile(rb"(BITPIX|NAXIS\d*|PCOUNT|GCOUNT|EXTEND)\s*=\s*([-+]?\d+|T|F)")


def is_raw_name(name: str) -> bool:
    """Whether a file of this name may be a raw frame (temporary names of copiers are not)."""
    return name.lower().endswith(RAW_SUFFIXES) and not name.startswith((".", "~", "_"))


def is_complete(path: Path, *, padded: bool = True) -> bool:
    """Whether a file has the size that its own headers promise.

    With the zeros that fill its last block, if `padded`: a writer may still be at them.

    Raises
    ------
    FrameError
        If the file is not FITS at all; waiting would not help.
    """
    if path.name.lower().endswith(".gz"):
        return _is_whole_gzip(path)
    promised = promised_size(path, padded=padded)
    return promised is not None and path.stat().st_size >= promised


def promised_size(path: Path, *, padded: bool = True) -> int | None:
    """Bytes that a FITS file must have by its own headers, to the end of its first pixels.

    With the zeros that fill the last block, if `padded`. None while a header is cut short, and
    for gzip files, which promise nothing.

    Raises
    ------
    FrameError
        If the file is not FITS at all.
    """
    if path.name.lower().endswith(".gz"):
        return None
    with path.open("rb") as stream:
        return _promise(stream, path.name, padded=padded)


def _promise(stream: BinaryIO, name: str, *, padded: bool) -> int | None:
    offset = 0
    while True:
        stream.seek(offset)
        header = _header_bytes(stream, name, first=offset == 0)
        if header is None:
            return None
        cards = _size_cards(header)
        n_data = _data_bytes(cards, name)
        offset += len(header)
        if n_data > 0 or not cards.get("EXTEND", 0):
            return offset + (-(-n_data // BLOCK) * BLOCK if padded else n_data)


def _refuse_impossible(path: Path) -> None:
    """Refuse headers that would keep a reader busy for ever, before one sees them."""
    packed = path.name.lower().endswith(".gz")
    with gzip.open(path) if packed else path.open("rb") as stream:
        _promise(stream, path.name, padded=False)


def _is_whole_gzip(path: Path) -> bool:
    if path.stat().st_size < 18:  # header and trailer alone
        return False
    try:
        with gzip.open(path) as stream:
            while stream.read(1 << 20):
                pass
    except (EOFError, zlib.error):
        return False
    except OSError:
        raise FrameError(f"{path.name} must be a gzip file, as its name says; it is not.") from None
    return True


def _header_bytes(stream, name: str, *, first: bool) -> bytes | None:
    """Bytes of one header including padding, None while it is cut short."""
    header = b""
    while True:
        block = stream.read(BLOCK)
        if first and not header and not b"SIMPLE  =".startswith(block[:9]):
            raise FrameError(f"{name} must be a FITS file: it must start with 'SIMPLE  ='.")
        if len(block) < BLOCK:
            return None
        header += block
        if any(block[i : i + 8] == b"END     " for i in range(0, BLOCK, 80)):
            return header
        if len(header) > 1000 * BLOCK:
            raise FrameError(f"{name} must have a FITS header with an END card; none was found.")


def _size_cards(header: bytes) -> dict[str, int]:
    cards: dict[str, int] = {}
    for start in range(0, len(header), 80):
        found = _SIZE_CARD.match(header, start, start + 80)
        if found:
            cards[found[1].decode()] = int({b"T": 1, b"F": 0}.get(found[2], found[2]))
    return cards


def _data_bytes(cards: dict[str, int], name: str) -> int:
    n_axes = cards.get("NAXIS", 0)
    if n_axes == 0:
        return 0
    if n_axes > MAX_AXES:
        raise FrameError(f"{name} must have at most {MAX_AXES} axes; its header promises {n_axes}.")
    n_pixels = 1
    for axis in range(1, n_axes + 1):
        n_pixels *= max(cards.get(f"NAXIS{axis}", 0), 0)
    n_bytes = abs(cards.get("BITPIX", 8)) // 8 * max(cards.get("GCOUNT", 1), 1)
    n_bytes *= max(cards.get("PCOUNT", 0), 0) + n_pixels
    if n_bytes > 8 * MAX_PIXELS:
        raise FrameError(
            f"{name} must be a Goodman frame of at most {MAX_PIXELS} pixels; "
            f"its header promises {n_bytes} bytes."
        )
    return n_bytes


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file read-only; every way in which it can be damaged is a `FrameError`."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            _refuse_impossible(path)
            # Our own stream, because astropy leaves its own open when a header is beyond it.
            with (
                path.open("rb") as stream,
                fits.open(stream, mode="readonly", memmap=False, lazy_load_hdus=True) as hdus,
            ):
                yield hdus
        except FileNotFoundError:
            raise FrameError(f"{path.name} is not there (any more).") from None
        except _DAMAGES as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0]
            raise FrameError(
                f"{path.name} must be a whole FITS file: {reason}. "
                "If it was just copied, copy it again."
            ) from error


def _image_hdu(hdus: fits.HDUList, name: str):
    """The HDU that holds the pixels: the first, or the second of a compressed file."""
    for hdu in itertools.islice(hdus, 2):
        if hdu.header.get("ZNAXIS", hdu.header.get("NAXIS", 0)) >= 2 and hdu.is_image:
            return hdu
    raise FrameError(f"{name} must hold a two-dimensional image in its first HDUs; it holds none.")


def _image_shape(hdu, name: str) -> tuple[int, int]:
    """Shape of the image: legacy frames have a third axis of length one."""
    shape = tuple(hdu.shape)
    if len(shape) < 2 or any(n != 1 for n in shape[:-2]) or min(shape[-2:]) < 2:
        raise FrameError(f"{name} must hold one image (rows x columns); its shape is {shape}.")
    if shape[-2] * shape[-1] > MAX_PIXELS:
        raise FrameError(f"{name} must have at most {MAX_PIXELS} pixels; its shape is {shape}.")
    return shape[-2], shape[-1]


def _clean_header(header: fits.Header) -> fits.Header:
    """Copy without cards that cannot be written again; text reduced to ASCII."""
    clean = fits.Header()
    for card in header.cards:
        try:
            card.verify("silentfix")
            str(card)
            clean.append(card, end=True)
        except (fits.VerifyError, ValueError):
            continue
    return clean


def read_info(path: Path) -> FrameInfo:
    """What the raw frame at `path` is, from its header alone.

    Raises
    ------
    FrameError
        If it is no Goodman frame.
    """
    path = Path(path)
    with _opened(path) as hdus:
        hdu = _image_hdu(hdus, path.name)
        shape = _image_shape(hdu, path.name)
        header = _clean_header(hdu.header)
    if "GSP_VERS" in header:
        raise FrameError(f"{path.name} must be a raw frame; it is a product (GSP_VERS is set).")
    return FrameInfo.from_header(header, shape, path.name)


def info_of(raw: CCDData) -> FrameInfo:
    """What the raw frame `raw`, as `read_raw` returned it, is."""
    return FrameInfo.from_header(raw.header, raw.shape, raw.header["FILENAME"])


def read_header(path: Path) -> fits.Header:
    """Header of a raw frame or of a product's first HDU that says something."""
    path = Path(path)
    with _opened(path) as hdus:
        told = {"OBSTYPE", "GSP_VERS"} & set(hdus[0].header)
        hdu = hdus[0] if told or len(hdus) == 1 else hdus[1]
        return _clean_header(hdu.header)


def read_raw(path: Path) -> CCDData:
    """Pixels of a raw frame.

    Returns
    -------
    CCDData
        (n_rows, n_columns) float32 [adu], with the raw header; its card FILENAME is the name
        under which the frame arrived.

    Raises
    ------
    FrameError
        If it is damaged or no Goodman frame.
    """
    path = Path(path)
    with _opened(path) as hdus:
        hdu = _image_hdu(hdus, path.name)
        shape = _image_shape(hdu, path.name)
        header = _clean_header(hdu.header)
        data = np.asarray(hdu.data, dtype=np.float32).reshape(shape)
    header["FILENAME"] = (path.name, "name of the raw frame")
    return CCDData(data, unit=u.adu, header=header)


def refuse_blank(raw: CCDData) -> None:
    """Refuse a raw frame whose lit pixels tell nothing.

    Raises
    ------
    FrameError
        If hardly one of them is a number, all have one value, or nearly all are saturated.
    """
    info = info_of(raw)
    lit = raw.data[info.lit_section]
    if not lit.size:
        return
    finite = np.isfinite(lit)
    n_finite = np.count_nonzero(finite)
    low = lit.min(where=finite, initial=np.inf)
    high = lit.max(where=finite, initial=-np.inf)
    if n_finite <= BLANK * lit.size:
        cause = f"{100 * (1 - n_finite / lit.size):.0f} % of its pixels are not a number"
    elif np.count_nonzero(lit >= info.saturation) >= (1 - BLANK) * lit.size:
        cause = f"nearly all of its pixels are saturated, above {info.saturation:g} adu"
    elif low == high:
        cause = f"all of its pixels are {low:g}"
    else:
        return
    raise FrameError(f"{info.file_name} must show something; {cause}. Look at the raw frame.")


@contextlib.contextmanager
def appearing(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that becomes `path` by renaming, if all went well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _finish_header(header: fits.Header, path: Path) -> fits.Header:
    header = header.copy()
    header["GSP_FNAM"] = (path.name, "name of this file")
    header["GSP_DATE"] = (datetime.now(UTC).isoformat(timespec="milliseconds")[:-6], "[UT]")
    return header


def _write(hdus: fits.HDUList, path: Path) -> None:
    with appearing(path) as temporary, warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        try:
            hdus.writeto(temporary, overwrite=True, output_verify="silentfix", checksum=True)
        except OSError as error:
            if error.errno is not None:
                raise
            # That a write stopped short is all that is told of a full disk.
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path.name) from error


def write_image(ccd: CCDData, path: Path) -> None:
    """Write a two-dimensional product: extensions SCI, ERR (same unit) and DQ (uint16)."""
    header = _finish_header(ccd.header, path)
    header["BUNIT"] = (ccd.unit.to_string(), "unit of the pixels")
    error = np.zeros(ccd.shape) if ccd.uncertainty is None else ccd.uncertainty.array
    hdus = fits.HDUList(
        [
            fits.PrimaryHDU(header=header),
            fits.ImageHDU(ccd.data.astype(np.float32), header=header, name="SCI"),
            fits.ImageHDU(error.astype(np.float32), name="ERR"),
            fits.ImageHDU(quality_of(ccd), name="DQ"),
        ]
    )
    _write(hdus, path)


def read_image(path: Path) -> CCDData:
    """Read a two-dimensional product of `write_image`.

    Raises
    ------
    FrameError
        If the file is damaged or no such product.
    """
    path = Path(path)
    with _opened(path) as hdus:
        data, error = _native(hdus["SCI"].data), _native(hdus["ERR"].data)
        quality = np.asarray(hdus["DQ"].data, dtype=np.uint16)
        header = _clean_header(hdus[0].header)
    ccd = CCDData(data, uncertainty=StdDevUncertainty(error), unit=header["BUNIT"], header=header)
    return with_quality(ccd, quality)


def _native(data: np.ndarray) -> np.ndarray:
    """Pixels just read as float32 in the machine's byte order, without a second copy of them."""
    if data.dtype == np.dtype(">f4") and data.dtype != np.float32:
        return data.byteswap(inplace=True).view(np.float32)
    return data.astype(np.float32, copy=False)


def write_spectrum(spectrum: QTable, linear: CCDData, path: Path) -> None:
    """Write a one-dimensional product.

    Parameters
    ----------
    spectrum
        Columns of the native grid; becomes the extension SPECTRUM.
    linear
        Copy on a linear wavelength axis (n,), its header the story of the product: becomes the
        primary HDU, with the extensions STD (its uncertainty) and DQ where it has them.
    """
    header = _finish_header(linear.header, path)
    header["BUNIT"] = ("ct", "detected electrons")
    on_file = QTable({name: _as_counts(spectrum[name]) for name in spectrum.colnames})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        table = fits.table_to_hdu(on_file)
    table.name = "SPECTRUM"
    hdus = fits.HDUList([fits.PrimaryHDU(linear.data.astype(np.float32), header), table])
    if linear.uncertainty is not None:
        # Readers of spectra know this name; of ERR some know only that it is there.
        hdus.append(fits.ImageHDU(linear.uncertainty.array.astype(np.float32), name="STD"))
        hdus.append(fits.ImageHDU(quality_of(linear), name="DQ"))
    _write(hdus, path)


def _as_counts(column):
    """Electrons as 'ct', the unit that the FITS standard and readers of spectra know."""
    if getattr(column, "unit", None) == u.electron:
        return column.value * u.ct
    return column


def read_spectrum(path: Path) -> QTable:
    """Read a one-dimensional product on its native grid.

    Returns
    -------
    QTable
        Columns wavelength [Angstrom, air], flux, uncertainty, sky [electron], mask (DQ bits);
        `meta['header']` is the primary header.
    """
    path = Path(path)
    with _opened(path) as hdus:
        table = QTable(hdus["SPECTRUM"].data)
        columns = hdus["SPECTRUM"].columns
        for column in columns:
            if column.unit:
                unit = u.Unit(column.unit)
                unit = u.electron if unit == u.ct else unit
                table[column.name] = np.asarray(table[column.name]) * unit
        header = _clean_header(hdus[0].header)
    table.meta = {"header": header}
    return table


def spectrum_bytes(spectrum: QTable, name: str) -> bytes:
    """A product on its native grid alone, as a FITS file that `read_spectrum` understands.

    Parameters
    ----------
    spectrum
        As `read_spectrum` gives it; `meta['header']` becomes the primary header, without the
        linear axis that it describes. Not modified.
    name
        Of the file that it will be.
    """
    header = _finish_header(fits.Header(spectrum.meta.get("header", {})), Path(name))
    for keyword in ("CTYPE1", "CUNIT1", "CRPIX1", "CRVAL1", "CDELT1", "CD1_1", "BUNIT"):
        header.remove(keyword, ignore_missing=True)
    on_file = QTable({column: _as_counts(spectrum[column]) for column in spectrum.colnames})
    content = BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyWarning)
        table = fits.table_to_hdu(on_file)
        table.name = "SPECTRUM"
        hdus = fits.HDUList([fits.PrimaryHDU(header=header), table])
        hdus.writeto(content, output_verify="silentfix", checksum=True)
    return content.getvalue()


def write_template(table: QTable, cards: dict[str, object], path: Path) -> None:
    """Write an arc of the lamp library: `table` with the given header cards."""
    hdu = fits.table_to_hdu(table)
    hdu.name = "TEMPLATE"
    hdu.header.update(cards)
    _write(fits.HDUList([fits.PrimaryHDU(), hdu]), path)


def read_template(path: Path) -> QTable:
    """Read what `write_template` wrote; `meta['header']` holds the cards.

    Raises
    ------
    FrameError
        If the file is damaged or no arc of a lamp library.
    """
    path = Path(path)
    with _opened(path) as hdus:
        table = QTable(np.asarray(hdus["TEMPLATE"].data))
        header = _clean_header(hdus["TEMPLATE"].header)
    table.meta = {"header": header}
    return table


def read_one_dimensional(path: Path) -> tuple[np.ndarray, fits.Header]:
    """Values (n,) and header of a file whose first HDU is a single line of pixels.

    Raises
    ------
    FrameError
        If the file is damaged or holds something else.
    """
    path = Path(path)
    with _opened(path) as hdus:
        data, header = hdus[0].data, _clean_header(hdus[0].header)
        if data is None or np.squeeze(data).ndim != 1:
            raise FrameError(f"{path.name} must hold one line of pixels in its first HDU.")
        return np.array(np.squeeze(data), dtype=float), header
