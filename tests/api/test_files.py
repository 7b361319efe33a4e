"""Files over HTTP: as old scripts know them, in whole and in part, and only one's own."""

from __future__ import annotations

import csv
import io
import struct
import zlib

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from conftest import MINE, OTHERS

from goodman_live.catalog import CALIBRATED, MASTER, RAW
from goodman_live.io import read_info, read_raw, read_spectrum

FIELDS = [
    "id",
    "created",
    "last_modified",
    "original_file",
    "original_file_id",
    "parent_file",
    "parent_file_id",
    "file_name",
    "directory_name",
    "full_path",
    "obstype",
    "object",
    "filter",
    "filter_2",
    "grating",
    "slit",
    "cam_targ",
    "grt_targ",
    "obsra",
    "obsdec",
    "gain",
    "rdnoise",
    "roi",
    "wavmode",
    "proposal_id",
    "observation_id",
    "configuration_id",
    "block_id",
    "image_id",
    "date",
    "data_type",
    "normalized",
    "technique",
    "saturation_value",
]


@pytest.fixture
def member(site):
    return site.client("member")


@pytest.fixture
def spectrum(site):
    return site.row(data_type=CALIBRATED, kind="spectrum", proposal=MINE, version=1)


@pytest.fixture
def raw(site):
    return site.row(data_type=RAW, kind="spectrum", proposal=MINE)


def ok(answer, code=200):
    assert answer.status_code == code, answer.text
    return answer.json()


def test_a_file_has_the_fields_and_types_that_old_scripts_know(site, member, spectrum, raw):
    told = ok(member.get(f"files/{spectrum.id}/"))
    assert list(told) == FIELDS
    assert (told["gain"], told["rdnoise"], told["data_type"]) == ("1.48", "3.89", "4")
    assert (told["cam_targ"], told["grt_targ"]) == ("16.1", "7.5")
    assert told["original_file"] == raw.file_name and told["original_file_id"] == raw.id
    assert told["parent_file"].startswith("cfzto_") and told["parent_file_id"] != raw.id
    assert told["directory_name"] == "20260315/REDUCED"
    assert told["full_path"] == f"20260315/REDUCED/{spectrum.file_name}"
    assert told["date"] == "2026-03-15" and told["technique"] == "Spectroscopy"
    assert isinstance(told["block_id"], int) and isinstance(told["saturation_value"], int)
    assert told["normalized"] is False and told["proposal_id"] == MINE
    frame = ok(member.get(f"files/{raw.id}/"))
    assert (frame["original_file"], frame["parent_file_id"]) == (raw.file_name, raw.id)
    flat = site.row(data_type=MASTER, kind="flat")
    assert ok(member.get(f"files/{flat.id}/"))["normalized"] is True


def test_pages_lead_to_one_another_and_hold_each_file_once(member):
    first = ok(member.get("files/", params={"page_size": 3, "data_type": "0"}))
    assert list(first) == ["count", "next", "previous", "results"]
    assert first["previous"] is None and "data_type=0" in first["next"]
    seen, address = [], first["next"]
    seen += [file["id"] for file in first["results"]]
    while address:
        page = ok(member.get(address))
        assert page["previous"] is not None
        seen += [file["id"] for file in page["results"]]
        address = page["next"]
    assert len(seen) == len(set(seen)) == first["count"] == 9
    ok(member.get("files/", params={"page": 99}), 404)
    ok(member.get("files/", params={"page_size": 100_000}), 422)


@pytest.mark.parametrize(
    ("asked", "kinds"),
    [
        ({"kind": "arc", "data_type": "0"}, {"arc"}),
        ({"kind": ["arc", "bias"], "data_type": "0"}, {"arc", "bias"}),
        ({"technique": "Spectroscopy", "data_type": "4"}, {"spectrum", "arc"}),
        ({"calibrations": "true", "data_type": "0"}, {"bias", "flat"}),
        ({"search": "sn2026ABC", "data_type": "0"}, {"spectrum", "arc", "acquisition"}),
        ({"date": "2026-03-15", "data_type": "1"}, {"bias", "flat"}),
        ({"night": "20260316"}, set()),
        ({"grating": "none of these"}, set()),
        ({"proposal_id": OTHERS}, set()),
    ],
)
def test_filters_leave_what_they_say(site, member, asked, kinds):
    files = ok(member.get("files/", params=asked | {"page_size": 100}))["results"]
    kind_of = {row.id: row.kind for row in site.rows()}
    assert {kind_of[file["id"]] for file in files} == kinds


def test_a_page_counts_at_once_what_came_and_what_went(site, member):
    def count():
        return ok(member.get("files/", params={"data_type": "1"}))["count"]

    before = count()
    bias = site.archive.path(site.row(data_type=RAW, kind="bias"))
    path = bias.parent.with_name("CALIBRATIONS") / "one_more.fits"
    path.write_bytes(bias.read_bytes())
    row = site.archive.add_product(path, MASTER, read_info(bias), original_id=None)
    assert count() == before + 1
    site.archive.delete_product(row)
    assert count() == before
    (bias.parent.parent / "REMOVED/CALIBRATIONS/one_more.fits").unlink()  # others copy the night


def test_the_oldest_come_first_if_asked(member):
    newest = ok(member.get("files/", params={"data_type": "0"}))["results"]
    oldest = ok(member.get("files/", params={"data_type": "0", "ordering": "date"}))["results"]
    assert [file["id"] for file in oldest] == [file["id"] for file in newest][::-1]


def test_a_download_is_the_file_in_whole_or_in_part_and_not_twice(site, member, raw):
    path = site.archive.path(raw)
    address = f"files/{raw.id}/download"
    whole = member.get(address)
    assert whole.content == path.read_bytes()
    assert whole.headers["content-disposition"] == f'attachment; filename="{raw.file_name}"'
    assert whole.headers["x-content-type-options"] == "nosniff"
    part = member.get(address, headers={"Range": "bytes=2880-2889"})
    assert part.status_code == 206 and part.content == path.read_bytes()[2880:2890]
    again = member.get(address, headers={"If-None-Match": whole.headers["etag"]})
    assert again.status_code == 304 and not again.content
    beyond = member.get(address, headers={"Range": "bytes=99999999-"})
    assert beyond.status_code == 416


def test_a_header_can_be_read_and_searched(member, spectrum):
    cards = ok(member.get(f"files/{spectrum.id}/header/"))["cards"]
    assert {"keyword": "GSP_VRSN", "value": 1, "comment": "version of this product"} in cards
    found = ok(member.get("files/header/", params={"file_id": spectrum.id, "search": "wrms"}))
    assert [card["keyword"] for card in found["cards"]] == ["GSP_WRMS"]


def test_a_float_tile_holds_the_means_of_the_part_in_view(site, member, raw):
    pixels = read_raw(site.archive.path(raw)).data
    view = {"format": "float", "x0": 99.5, "x1": 299.5, "y0": 9.5, "y1": 49.5}
    answer = member.get(f"files/{raw.id}/image", params=view | {"width": 100, "height": 20})
    shape = int(answer.headers["x-rows"]), int(answer.headers["x-columns"])
    assert shape == (20, 100)
    tile = np.frombuffer(answer.content, "<f4").reshape(shape)
    means = pixels[10:50, 100:300].reshape(20, 2, 100, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(tile, means, rtol=1e-6)
    assert float(answer.headers["x-left"]) == 99.5 and float(answer.headers["x-width"]) == 200


def test_a_picture_is_a_png_with_row_0_at_the_bottom(site, member, raw):
    pixels = read_raw(site.archive.path(raw)).data
    options = {"low": 0, "high": 1000, "width": 4096, "height": 4096}
    answer = member.get(f"files/{raw.id}/image", params=options)
    assert answer.headers["content-type"] == "image/png"
    width, height, shades = decoded(answer.content)
    assert (height, width) == pixels.shape
    expected = np.rint(np.clip(pixels / 1000, 0, 1) * 255)[::-1]
    assert np.abs(shades - expected).max() <= 1
    assert member.get("files/visualize/", params={"file_id": raw.id}).content[:4] == b"\x89PNG"


def decoded(png: bytes):
    """Size and pixels of a grey PNG whose lines have no filter, by the standard's own layout."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(png):
        (size,), kind = struct.unpack(">I", png[place : place + 4]), png[place + 4 : place + 8]
        data = png[place + 8 : place + 8 + size]
        (check,) = struct.unpack(">I", png[place + 8 + size : place + 12 + size])
        assert check == zlib.crc32(kind + data)
        chunks[kind], place = data, place + 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(height, width + 1)
    return width, height, lines[:, 1:].astype(int)


def test_levels_the_wrong_way_round_are_refused(member, raw):
    assert "above" in ok(member.get(f"files/{raw.id}/image?low=5&high=5"), 400)["detail"]
    ok(member.get(f"files/{raw.id}/image?low=nan"), 422)
    ok(member.get(f"files/{raw.id}/image?x0=90000&x1=90001"), 400)


def test_a_spectrum_is_the_same_as_json_and_csv(site, member, spectrum):
    table = read_spectrum(site.archive.path(spectrum))
    told = ok(member.get(f"files/{spectrum.id}/spectrum"))
    flux = np.array([np.nan if v is None else v for v in told["flux"]])
    np.testing.assert_array_equal(flux, table["flux"].value)
    assert told["units"]["wavelength"] == "Angstrom" and told["mask"] == table["mask"].tolist()
    text = member.get(f"files/{spectrum.id}/spectrum?format=csv").text
    head, *lines = csv.reader(io.StringIO(text))
    assert head[:2] == ["wavelength [Angstrom]", f"flux [{told['units']['flux']}]"]
    assert [float(line[0]) for line in lines] == table["wavelength"].value.tolist()


def test_a_fits_spectrum_is_read_by_specutils_and_as_the_tom_toolkit_does(
    member, spectrum, tmp_path
):
    path = tmp_path / "spectrum.fits"
    path.write_bytes(member.get(f"files/{spectrum.id}/spectrum?format=fits").content)
    specutils = pytest.importorskip("specutils")
    found = specutils.Spectrum.read(path)
    with fits.open(path) as hdus:
        wavelength = found.spectral_axis.to_value("Angstrom")
        assert found.flux.size == hdus["SPECTRUM"].data.size == wavelength.size
        np.testing.assert_array_equal(wavelength, hdus["SPECTRUM"].data["wavelength"])
        # The TOM Toolkit: the first HDU's data, and a one-dimensional WCS of its header.
        data, header = hdus[0].data, hdus[0].header
        axis = WCS(header, naxis=1).pixel_to_world(np.arange(data.size)).to_value("Angstrom")
        assert axis[[0, -1]] == pytest.approx(wavelength[[0, -1]], rel=1e-6)


def test_images_have_no_spectrum_and_spectra_no_image(member, spectrum, raw):
    assert "spectrum" in ok(member.get(f"files/{raw.id}/spectrum"), 400)["detail"]
    assert "image" in ok(member.get(f"files/{spectrum.id}/image"), 400)["detail"]


def test_children_and_reasons_are_told(site, member, raw, spectrum):
    children = ok(member.get(f"files/{raw.id}/children"))
    assert [child["data_type"] for child in children][:1] == ["4"]
    why = ok(member.get(f"files/{raw.id}/why"))
    choices = {choice["kind"]: choice for choice in why["choices"]}
    assert set(choices) == {"bias", "flat", "arc"}
    (biases,) = choices["bias"]["judged"]
    assert biases["chosen"] and biases["serves"] and len(biases["file_ids"]) == 3
    assert "same night" in biases["reason"] and choices["bias"]["missing"] == ""
    (arc,) = choices["arc"]["judged"]
    assert arc["file_names"] == ["0009_SN2026abc_comp.fits"]
    told = ok(member.get(f"files/{spectrum.id}/why"))
    assert any("master_bias" in name for name in told["made_of"])
    assert told["n_in_masters"]["bias"] == [3, 3]
    assert why["n_in_masters"] == {}


def test_a_master_tells_of_which_frames_it_was_made_and_when(site, member):
    master = next(row for row in site.archive.masters() if row.kind == "bias")
    why = ok(member.get(f"files/{master.id}/why"))
    assert len(why["made_of"]) == 3
    kinds = [site.archive.file(number).kind for number in why["made_of_ids"]]
    assert kinds == ["bias"] * 3
    assert why["n_in_masters"] == {"bias": [3, 3]}
    runs = ok(member.get(f"rows/{master.id}/runs"))["runs"]
    told = [(run["task"], run["state"], run["id"]) for run in runs]
    # An index made anew of the files, as that in PostgreSQL here, knows of no runs.
    is_anew = site.archive.database.dialect.name != "sqlite"
    assert told == ([] if is_anew else [("bias", "done", master.run_id)])


def test_comments_are_made_read_changed_and_taken_back(site, member, raw):
    address = f"files/{raw.id}/comments"
    made = ok(member.post(address, json={"text": "A cloud."}), 201)
    assert made["author"] == "member"
    ok(site.client("pi").put(f"comments/{made['id']}", json={"text": "No."}), 403)
    ok(member.put(f"comments/{made['id']}", json={"text": "No cloud."}))
    assert [c["text"] for c in ok(site.client("pi").get(address))] == ["No cloud."]
    ok(site.client("stranger").get(address), 404)
    assert member.delete(f"comments/{made['id']}").status_code == 204
    assert ok(member.get(address)) == []


def test_raw_frames_are_never_deleted_and_the_reason_is_told(site, raw):
    for who in ("root", "staff", "member"):
        client = site.client(who)
        assert "never deleted" in ok(client.delete(f"files/{raw.id}/"), 409)["detail"]
        ok(client.request("DELETE", "files/", json={"file_id": raw.id}), 409)
        ok(client.delete("files/", params={"file_id": raw.id}), 409)
    assert site.archive.path(raw).exists()


def test_a_frame_that_staff_put_there_is_indexed(site, member):
    row = site.row(data_type=RAW, kind="bias")
    source = site.archive.path(row)
    path = source.with_name("0099_bias.fits")
    path.write_bytes(source.read_bytes())
    body = {"full_path": "20260315/RAW/0099_bias.fits"}
    ok(member.post("files/", json=body), 403)
    added = ok(site.client("staff").post("files/", json=body), 201)
    assert added["obstype"] == "BIAS"
    assert ok(site.client("staff").post("files/reclassify/", json={"file_id": added["id"]}))
    ok(member.post("files/reclassify/", json={"file_id": added["id"]}), 403)
    path.unlink()  # others copy the night


@pytest.mark.parametrize(
    "path",
    [
        "../../etc/passwd",
        "/etc/passwd",
        "20260315/RAW/../../../etc/passwd.fits",
        "20260315/REDUCED/x.fits",
        "20260315/RAW/absent.fits",
        "20260315/RAW/.hidden.fits",
        "20260315/RAW/x\u0000.fits",
        "",
    ],
)
def test_only_frames_inside_the_archive_are_indexed(site, path):
    answer = site.client("staff").post("files/", json={"full_path": path})
    assert answer.status_code in (400, 404, 422)
    assert str(site.archive.root) not in answer.text
