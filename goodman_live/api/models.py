"""What the API takes and gives, declared once: the documentation page is made of these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from ..catalog import Event, FileRow, Run
from ..catalog.entries import KINDS

LARGEST_ID = 2**31 - 1
LARGEST_PAGE = 500


def _without_nul(text: str) -> str:
    if "\0" in text:
        raise ValueError("must hold no NUL character")
    return text


def _no_flag(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


FileId = Annotated[
    int,
    BeforeValidator(_no_flag),
    Field(ge=1, le=LARGEST_ID, description="number of a file"),
]
Text = Annotated[str, Field(max_length=200), AfterValidator(_without_nul)]
Secret = Annotated[str, Field(max_length=1000), AfterValidator(_without_nul)]
LongText = Annotated[str, Field(max_length=30_000), AfterValidator(_without_nul)]
Rows = Annotated[float, Field(ge=-5000, le=10_000, allow_inf_nan=False)]
Notebook = Annotated[str, Field(max_length=60, pattern=r"^[ -~]*$")]
Night = Annotated[str, Field(pattern=r"^\d{8}$", description="YYYYMMDD")]
DataType = Literal["0", "1", "2", "3", "4", "5"]


class Strict(BaseModel):
    """What a request holds; nothing but what is declared."""

    model_config = ConfigDict(extra="forbid")


class Problem(BaseModel):
    """What went wrong, as a sentence."""

    detail: str


class Status(BaseModel):
    """What answers here."""

    api_version: str
    pipeline_version: str
    status: str = "ok"
    documentation: str


# Files


class FileObject(BaseModel):
    """A file, as programs know it since the predecessor of this API.

    Paths are paths inside the archive. `data_type` is 0 raw, 1 master, 2 reduced, 3 extracted,
    4 wavelength calibrated, 5 flux calibrated. `date` is that of the evening on which the
    night began. Angles in degrees, `gain` in electron/adu, `rdnoise` in electrons,
    `saturation_value` in adu.
    """

    id: int
    created: str
    last_modified: str
    original_file: str | None
    original_file_id: int | None
    parent_file: str | None
    parent_file_id: int | None
    file_name: str
    directory_name: str
    full_path: str
    obstype: str
    object: str
    filter: str
    filter_2: str
    grating: str
    slit: str
    cam_targ: str
    grt_targ: str
    obsra: str
    obsdec: str
    gain: str
    rdnoise: str
    roi: str
    wavmode: str
    proposal_id: str | None
    observation_id: int | str | None
    configuration_id: int | str | None
    block_id: int | str | None
    image_id: int | str | None
    date: str
    data_type: str
    normalized: bool
    technique: str
    saturation_value: int


class FilePage(BaseModel):
    """Some of the files, how many there are, and where the others are."""

    count: int
    next: str | None
    previous: str | None
    results: list[FileObject]


class RowPage(BaseModel):
    """The same with all that the archive's index knows of a file."""

    count: int
    results: list[FileRow]


class Which(Strict):
    """Which files. Of a parameter that is given more than once, one value must hold."""

    model_config = ConfigDict(extra="ignore")

    data_type: list[DataType] | None = Field(None, description="0 raw to 5 flux calibrated")
    kind: list[Text] | None = Field(None, description="bias, flat, arc, spectrum, image, ...")
    proposal: list[Text] | None = Field(None, description="SOAR id")
    proposal_id: list[Text] | None = Field(None, description="the same")
    obstype: list[Text] | None = None
    technique: list[Text] | None = Field(None, description="spectroscopy or imaging, in any case")
    grating: list[Text] | None = None
    wavmode: list[Text] | None = None
    slit: list[Text] | None = None
    filter: list[Text] | None = None
    filter_2: list[Text] | None = None
    roi: list[Text] | None = None
    night: Night | None = None
    date: str | None = Field(None, pattern=r"^\d{4}-\d{2}-\d{2}$", description="YYYY-MM-DD")
    first_night: Night | None = Field(None, description="YYYYMMDD, and those after it")
    last_night: Night | None = Field(None, description="YYYYMMDD, and those before it")
    calibrations: bool | None = Field(None, description="false: no bias and flat; true: these only")
    hide_raw_calibrations: bool = Field(
        False, description="no bias and flat frames; masters made of them stay"
    )
    current_only: bool = Field(False, description="of products only the current version")
    search: Text = Field("", description="part of the file's or the object's name, in any case")
    object: Text = Field("", description="the same")


class Paging(Which):
    """Which files, and which page of them."""

    page: int = Field(1, ge=1, le=1_000_000)
    page_size: int = Field(20, ge=1, le=LARGEST_PAGE)
    ordering: Literal["date", "-date"] = Field(
        "-date", description="by the start of the exposure, the newest first if with a minus"
    )


class Slice(Which):
    """Which files, and which of them by number."""

    limit: int = Field(20, ge=1, le=LARGEST_PAGE)
    offset: int = Field(0, ge=0, le=100_000_000)
    order: Literal["newest", "oldest"] = "newest"


class Count(BaseModel):
    """How many files."""

    count: int


class Choice(BaseModel):
    """A value of a column, and how many files have it."""

    value: str | int | bool
    count: int


class Card(BaseModel):
    """A card of a FITS header."""

    keyword: str
    value: str | int | float | bool | None
    comment: str


class HeaderOut(BaseModel):
    """The header of a file."""

    file_id: int
    file_name: str
    cards: list[Card]


class SpectrumOut(BaseModel):
    """A spectrum on its own pixels; null where there is no number."""

    file_id: int
    file_name: str
    units: dict[str, str]
    wavelength: list[float | None]
    flux: list[float | None]
    uncertainty: list[float | None]
    sky: list[float | None]
    mask: list[int]


class AddFile(Strict):
    """A raw frame that lies in the archive already."""

    full_path: Text = Field(description="path inside the archive, such as 20260315/RAW/x.fits")


class OneFile(Strict):
    """A file by its number."""

    file_id: FileId


class Classified(OneFile):
    """What kind of frame it is; without, what its header says."""

    kind: Literal[KINDS] | None = None


class Assignment(Strict):
    """The proposal that a raw frame is given to."""

    proposal_id: Text


class CommentIn(Strict):
    """Something to say."""

    text: LongText


class CommentOut(BaseModel):
    """Something somebody said of a file."""

    id: int
    file_id: int
    author_id: int
    author: str
    text: str
    created: str
    edited: str


# Reductions


class ReduceFile(Strict):
    """What to reduce, and how."""

    file_id: FileId
    settings: dict[str, Any] = Field(
        default_factory=dict, description="settings that differ from those of the proposal"
    )
    notebook: Notebook = Field("", description="name of the notebook that asks, for the header")


class ExtractFile(ReduceFile):
    """The same with objects of one's choice."""

    moved: dict[Annotated[str, Field(pattern=r"^\d{1,2}$")], Rows] = Field(
        default_factory=dict,
        max_length=50,
        description="by how much objects that are found are moved [detector rows], by number",
    )
    added: list[Rows] = Field(
        default_factory=list,
        max_length=50,
        description="objects not found: centres in the frame's middle column [detector rows]",
    )
    trace_of: FileId | None = Field(None, description="a spectrum whose trace they borrow")


class ArcLine(Strict):
    """A line of an arc, as somebody named it."""

    column: float = Field(ge=-100, le=10_000, description="detector column")
    wavelength: float = Field(ge=2000, le=20_000, description="in air [Angstrom]")
    ion: Annotated[str, Field(max_length=20), AfterValidator(_without_nul)] = ""
    blend: float = Field(
        0.0, ge=0, le=100, description="how far the parts of a blend may move it [Angstrom]"
    )


class CalibrateFile(ReduceFile):
    """The same with arcs that somebody picks, or by lines that somebody named.

    Without arcs, those of the frame's reduction serve. With lines, the file must be one spectrum;
    all lines but these do not count.
    """

    arc_file_ids: list[FileId] = Field(
        default_factory=list, max_length=10, description="arcs to use"
    )
    lines: list[ArcLine] | None = Field(None, max_length=200)
    order: int = Field(3, ge=0, le=9, description="degree of the fit to these lines")
    lamps: list[Annotated[str, Field(max_length=20), AfterValidator(_without_nul)]] = Field(
        default_factory=list, max_length=10, description="lamps that they are of"
    )
    offset: float | None = Field(
        None, ge=-5000, le=5000, description="of the camera [unbinned pixels]; by default found"
    )
    scale: float | None = Field(
        None, ge=0.5, le=2, description="of the camera's focal length; by default found"
    )
    scatter: float | None = Field(
        None, gt=0, le=100, description="of all lines beside their errors [Angstrom]"
    )


class RequestData(BaseModel):
    """What a reduction was asked to do."""

    file_full_path: str
    reduced_data_path: str
    master_bias_file: str | None
    master_flat_file: str | None
    technique: str
    settings: dict[str, Any]


class ApiResponse(BaseModel):
    """What a reduction did."""

    api_version: str
    pipeline_version: str
    error: str
    request_data: RequestData
    overscan_region: str | None
    trim_section: str | None
    slit_trim_section: str | None
    master_bias: str | None
    master_flat: str | None
    full_path: str | None
    file_name: str | None


class ReduceReply(BaseModel):
    """The answer to who waits for a reduction."""

    api_version: str
    username: str
    file_id: int
    error: str
    api_response: ApiResponse
    reduced_file_id: int | None


class JobOut(BaseModel):
    """What somebody asked for: queued, running, done, provisional, failed or cancelled."""

    id: int
    url: str
    state: str
    progress: str = Field(description="how far it is, in words")
    message: str
    task: str
    wanted: str
    username: str
    file_id: int | None
    settings: dict[str, Any]
    started: str
    ended: str
    product_ids: list[int]
    reply: ReduceReply | None


# What happens


class EventList(BaseModel):
    """Events in order; `last` is the newest number there is, to ask on from."""

    last: int
    events: list[Event]


class RunList(BaseModel):
    """Attempts at a file, the newest first."""

    runs: list[Run]


def given(body: BaseModel) -> Mapping[str, Any]:
    """What was given of what could be."""
    return body.model_dump(exclude_unset=True, exclude_none=True)
