"""Files as they should never come, made of a good frame: for the tests and the soak."""

from __future__ import annotations

import gzip
import os
import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
from astropy.io import fits


def break_frames(good: Path, folder: Path, n: int, seed: int) -> dict[str, str]:
    """Put `n` broken files into a folder, all ways in turn; the way of each by its name."""
    source, ways = random.Random(seed), {}
    content = good.read_bytes()
    for number in range(n):
        way = list(WAYS)[number % len(WAYS)]
        ending = ".fits.gz" if "gzip" in way else ".fits"
        path = folder / f"{number:04d}_{way.replace(' ', '_')}{ending}"
        WAYS[way](path, content, source)
        ways[path.name] = way
    return ways


def _truncated(path: Path, content: bytes, source: random.Random) -> None:
    path.write_bytes(content[: source.randrange(1, len(content) - 2880)])


def _empty(path: Path, content: bytes, source: random.Random) -> None:
    path.touch()


def _text(path: Path, content: bytes, source: random.Random) -> None:
    path.write_text("This is no FITS file.\n" * source.randrange(1, 500))


def _noise(path: Path, content: bytes, source: random.Random) -> None:
    path.write_bytes(source.randbytes(len(content)))


def _noise_in_header(path: Path, content: bytes, source: random.Random) -> None:
    changed = bytearray(content)
    for _ in range(30):
        changed[source.randrange(80, 5 * 2880)] = source.randrange(256)
    path.write_bytes(changed)


def _noise_in_pixels(path: Path, content: bytes, source: random.Random) -> None:
    changed = bytearray(content)
    start = source.randrange(len(content) // 2, len(content) - 2000)
    changed[start : start + 1000] = source.randbytes(1000)
    path.write_bytes(changed)


def _no_end(path: Path, content: bytes, source: random.Random) -> None:
    path.write_bytes(content.replace(b"END" + b" " * 77, b"COMMENT" + b" " * 73, 1))


def _card(keyword: str, *values: object) -> Callable[[Path, bytes, random.Random], None]:
    """A way to break a frame: the raw text of one card."""

    def write(path: Path, content: bytes, source: random.Random) -> None:
        name = f"{keyword:8}=".encode()
        start = content.index(name)
        card = f"{keyword:8}= {source.choice(values):>20}".encode().ljust(80)
        path.write_bytes(content[:start] + card + content[start + 80 :])

    return write


def _pixels(change: Callable[[np.ndarray], np.ndarray]) -> Callable:
    """A way to break a frame: other pixels under its header."""

    def write(path: Path, content: bytes, source: random.Random) -> None:
        hdu = fits.PrimaryHDU.fromstring(content)
        header = hdu.header.copy()
        for keyword in ("BZERO", "BSCALE"):
            header.remove(keyword, ignore_missing=True)
        data = change(np.asarray(hdu.data, dtype=np.float32))
        fits.PrimaryHDU(data, header).writeto(path, output_verify="ignore")

    return write


def _sprinkle_nan(data: np.ndarray) -> np.ndarray:
    data[::7, ::5] = np.nan
    return data


def _foreign(path: Path, content: bytes, source: random.Random) -> None:
    hdu = fits.PrimaryHDU(np.zeros((20, 30), np.int16))
    hdu.header["INSTRUME"] = "another"
    hdu.writeto(path)


def _product(path: Path, content: bytes, source: random.Random) -> None:
    hdu = fits.PrimaryHDU.fromstring(content)
    hdu.header["GSP_VERS"] = "1.0"
    hdu.writeto(path, output_verify="ignore")


def _gzip_cut(path: Path, content: bytes, source: random.Random) -> None:
    path.write_bytes(gzip.compress(content, 1)[: -source.randrange(10, 5000)])


def _gzip_name_only(path: Path, content: bytes, source: random.Random) -> None:
    path.write_bytes(content)


def _dangling_link(path: Path, content: bytes, source: random.Random) -> None:
    path.symlink_to(path.with_name("nothing.fits"))


def _loop_of_links(path: Path, content: bytes, source: random.Random) -> None:
    path.symlink_to(path)


def _link_outside(path: Path, content: bytes, source: random.Random) -> None:
    path.symlink_to("/etc/hostname")


def _pipe(path: Path, content: bytes, source: random.Random) -> None:
    os.mkfifo(path)


def _folder(path: Path, content: bytes, source: random.Random) -> None:
    path.mkdir()


def _forbidden(path: Path, content: bytes, source: random.Random) -> None:
    path.write_bytes(b"" if os.getuid() == 0 else content)  # root may read all
    path.chmod(0)


WAYS: dict[str, Callable[[Path, bytes, random.Random], None]] = {
    "truncated": _truncated,
    "empty": _empty,
    "text": _text,
    "noise": _noise,
    "noise in header": _noise_in_header,
    "noise in pixels": _noise_in_pixels,
    "no end": _no_end,
    "huge axis": _card("NAXIS1", 10**6, 10**9, 10**18),
    "strange axis": _card("NAXIS2", -5, 0, 1, "'rows'"),
    "strange number of axes": _card("NAXIS", 0, 1, 5, 999, "T"),
    "strange type of pixels": _card("BITPIX", 0, 7, -16, 8, "'many'"),
    "wrong type of gain": _card("GAIN", "'many'", "T", -1, 0, "NaN", 1e300),
    "wrong type of date": _card("DATE-OBS", "'yesterday'", 5, "'2026-13-45T25:61:61'"),
    "wrong type of exposure": _card("EXPTIME", "'long'", -10, 1e30, "T"),
    "wrong type of obstype": _card("OBSTYPE", 7, "'NOTHING'", "''"),
    "wrong type of angle": _card("CAM_ANG", "'wide'", 1e10, "T"),
    "nan": _pixels(lambda data: data * np.float32("nan")),
    "some nan": _pixels(_sprinkle_nan),
    "infinite": _pixels(lambda data: data + np.float32("inf")),
    "cube": _pixels(lambda data: np.stack([data[:10]] * 3)),
    "line": _pixels(lambda data: data[0]),
    "foreign": _foreign,
    "product": _product,
    "gzip cut": _gzip_cut,
    "gzip by name only": _gzip_name_only,
    "dangling link": _dangling_link,
    "loop of links": _loop_of_links,
    "link outside": _link_outside,
    "pipe": _pipe,
    "folder": _folder,
    "forbidden": _forbidden,
}
