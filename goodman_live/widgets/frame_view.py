"""One frame and all that was made of it: spectrum and image, header, comments, history, actions.

The view asks the archive in threads and shows what is wanted last; somebody who holds an arrow key
does not wait for the frames in between. It works over any archive object; what the archive or its
viewer cannot do is not offered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import panel as pn
import param
from astropy.table import QTable

from ..access import Viewer
from ..catalog import MASTER, RAW, FileRow
from ..errors import Away, GoodmanError
from ..plans import asked_by
from .actions import ProductBar, Scene, actions_of, busy
from .advanced import explored
from .frame_files import Wish, absence, image_in, no_image, products_of, tables_of, why_not
from .frame_head import FrameHead, head_of
from .frame_panels import CALIBRATIONS, CARD, IMAGE, VIEW_CSS, Caption, Panels
from .image import ImageView
from .note import Note
from .orders import Orders
from .products import TABS, Products, is_spectrum, target_name, version_name
from .spectrum import SpectrumView
from .spectrum_overlays import others_of
from .tasks import Newest, Tasks

if TYPE_CHECKING:
    from ..answers import Job
    from .visit import Visit

REFRESH_SECONDS = 0.15  # within which events become one question for the frame
IMAGE_DELAY_SECONDS = 0.1  # after events, so that the spectrum is there first
MORE_DELAY_SECONDS = 1.0  # after that, what is asked of the archive beside the file itself
CALIBRATIONS_DELAY_SECONDS = 5.0
AGAIN_SECONDS = 2.0  # after which an archive that is away is asked again
SPECTRAL = ("spectrum", "arc")


_ready: list[tuple[SpectrumView, ImageView]] = []


def get_ready() -> None:
    """Make the figures of the next view beforehand: of all its parts they take the longest."""
    _ready.append((SpectrumView(), ImageView()))


class FrameView(pn.viewable.Viewer):
    """A frame, chosen with `open`.

    Parameters
    ----------
    archive
        Any: `Archive`, `ArchiveFor` or `RemoteArchive`.
    visit
        Where downloads and notebooks are, and who looks; None in a notebook.

    Attributes
    ----------
    touched
        Called when somebody does something here, so that nobody takes the frame away.
    advanced
        Called with what is to be explored, as `advanced.explored` says it.
    tasks
        What is under way.
    """

    theme = param.Selector(default="light", objects=["light", "dark"], doc="colours of the page")
    shown = param.Parameter(default=None, doc="row of the file shown; None without one")
    wish = param.ClassSelector(default=Wish(), class_=Wish, doc="what a person wants to see")

    def __init__(self, archive: Any, *, visit: Visit | None = None, **params: Any) -> None:
        super().__init__(**params)
        self.archive, self.visit = archive, visit
        self.viewer: Viewer | None = visit.viewer if visit is not None else None
        if visit is None and hasattr(archive, "viewer"):
            self.viewer = archive.viewer()
        self.products: Products | None = None
        self.touched: Callable[[], None] = lambda: None
        self.advanced: Callable[[dict[str, FileRow]], None] | None = None
        self._drawn = self._pictured = (0, "")  # id and time of change of what is in the page
        self._asked_by: dict[int, str] = {}
        self._commented = 0  # number of the frame whose comments are shown
        self._explained: tuple[Any, ...] = ()  # of what is told why
        self._is_waiting = False  # for an archive that is away
        self.tasks = Tasks()
        self._loading = Newest(self.tasks, self._load)
        self._more = Newest(self.tasks, self._load_more)
        self._make_parts()
        self._connect()
        self._layout = self._assemble()

    def __panel__(self) -> pn.Column:
        return self._layout

    def open(self, file_id: int, *, exactly: bool = False, keep_tab: bool = True) -> None:
        """Show a frame by the number of its raw file; or a product, by its own, `exactly`."""
        tab = self.wish.tab if keep_tab else None
        if exactly:
            self.wish = Wish(0, file_id, None)
        else:
            self.wish = Wish(file_id, 0, tab)
        self._loading.want(False)

    def refresh(self, delay: float = REFRESH_SECONDS) -> None:
        """Something has happened to the frame shown: ask again."""
        if self.wish != Wish(tab=self.wish.tab):
            self._loading.want(True, delay=delay)

    def refresh_calibrations(self) -> None:
        """Calibrations have changed: ask again how the frame stands."""
        if self.products is not None:
            self._explained = ()
            self._more.want(self.products.frame.id, delay=CALIBRATIONS_DELAY_SECONDS)

    def refresh_comments(self) -> None:
        """Somebody has said something of the frame shown."""
        if self.products is not None:
            self._commented = 0
            self._more.want(self.products.frame.id)

    def prefer(self, preferences: Any) -> None:
        """Draw as somebody likes it."""
        self.image.prefer(preferences)
        for plot in (self.image, self.spectrum):
            plot.make_interactive(preferences.plots == "interactive")

    def clear(self, text: str = "No frame is selected.") -> None:
        """Show no frame, and wish for none."""
        self.wish = Wish(tab=self.wish.tab)
        self._blank(text)

    def _blank(self, text: str) -> None:
        """Say a sentence where a frame would be."""
        self.products, self._commented = None, 0
        self.panels.hide()
        self.head.param.update(frame={}, calibrations=[], empty=text)
        self.bar.param.update(tabs=[], targets=[], versions=[], actions=[], file_name="")
        self._no_spectrum("")
        self._no_image("")
        self._upper.visible, self._lower.visible = False, True
        self._lower.css_classes = ["above"]
        self.shown = None

    # Parts

    def _make_parts(self) -> None:
        wide = {"sizing_mode": "stretch_width"}
        self.head, self.bar = FrameHead(**wide), ProductBar(**wide)
        self.orders = Orders(
            self.archive, self.tasks, self._is_shown, self._show_made, self._show_actions
        )
        self.spectrum, self.image = _ready.pop() if _ready else (SpectrumView(), ImageView())
        self.spectrum.theme = self.image.theme = self.theme
        self.spectrum_note, self.image_note = Note(), Note()
        self.caption = Caption(**wide)
        self.panels = Panels(self.archive, self.tasks, self.viewer)

    def _connect(self) -> None:
        self.bar.on_deed(self._bar_deed)
        self.panels.bar.param.watch(self._lower_changed, "tab")
        self.panels.touched = lambda: self.touched()
        self.panels.why.on_deed(self._why_deed)
        self.spectrum.head.param.watch(self._tools_changed, "tools")
        self.image.controls.param.watch(self._give_room, "cuts")
        self.param.watch(self._recolour, "theme")

    def _assemble(self) -> pn.Column:
        self._upper = pn.Column(self.spectrum, self.spectrum_note, css_classes=["upper"], **CARD)
        self._over = pn.Row(
            self.caption, self.image.controls, margin=0, height=36, sizing_mode="stretch_width"
        )
        self._picture = self.image.__panel__()
        lower = (self._over, self._picture, self.image_note)
        self._lower = pn.Column(*lower, css_classes=["below"], **CARD)
        below = CARD | {"height": 36, "sizing_mode": "stretch_width"}
        lower_bar = pn.Column(self.panels.bar, css_classes=["bar"], **below)
        self.panels.switch()
        return pn.Column(
            *(self.head, self.orders.notices, self.bar),
            *(self._upper, self._lower, lower_bar, self.panels.layout),
            margin=0,
            sizing_mode="stretch_both",
            stylesheets=[VIEW_CSS],
        )

    def _recolour(self, event: param.parameterized.Event) -> None:
        self.spectrum.theme = self.image.theme = event.new

    # What is asked for

    async def _load(self, is_event: bool) -> None:
        """Show what is wanted; while the archive is away, nothing else in its place."""
        wish = self.wish
        try:
            await self._load_wished(wish, is_event)
            self._is_waiting = False
        except Away as error:
            if wish == self.wish:
                self._await_archive(error)

    def _await_archive(self, error: Away) -> None:
        """Offer nothing that cannot be done, and ask again in a while."""
        self.bar.actions = []
        if self.products is None or self.products.find(self.wish.number) is None:
            self._blank("The archive is away just now; the frame appears here when it is back.")
        self._loading.want(False, delay=AGAIN_SECONDS)
        if not self._is_waiting:
            self._is_waiting = True
            self.tasks.report(error)

    async def _load_wished(self, wish: Wish, is_event: bool) -> None:
        """Show it; what is in the page already is neither read nor drawn again."""
        try:
            products = await asyncio.to_thread(products_of, self.archive, wish.number)
        except Away:
            raise
        except (KeyError, GoodmanError) as error:
            if wish == self.wish:
                self.clear(why_not(wish.number, error))
            return
        if wish != self.wish:  # the person wants something else by now
            return
        is_other = self.products is None or self.products.frame.id != products.frame.id
        self.products = products
        row = wish.row_of(products)
        self.head.frame = head_of(products.frame)
        if is_other:
            self.head.calibrations, self._explained = [], ()
        self._show_bar(row)
        self.shown = row
        self._arrange(row)
        spectra = await self._show_spectrum(row)
        if (is_event and self._loading.is_stale) or wish != self.wish:
            return
        if is_event:
            await asyncio.sleep(IMAGE_DELAY_SECONDS)
        await asyncio.gather(self.panels.show(products.frame, row), self._show_image(row, spectra))
        if wish == self.wish:
            self._more.want(products.frame.id, delay=MORE_DELAY_SECONDS)

    async def _load_more(self, frame_id: int) -> None:
        """What takes the archive a while: calibrations, comments, who asked for the versions."""
        if self.products is None or self.products.frame.id != frame_id or self.shown is None:
            return
        frame, row = self.products.frame, self.shown
        if self._commented != frame.id:
            self._commented = frame.id
            try:
                await self.panels.show_comments(frame)
            except GoodmanError:
                self._commented = 0  # to be asked for again
                raise
        await self._name_versions()
        await self._offer_spectra(row)
        about = row.id, row.last_modified, frame.state
        if about != self._explained:
            can = any(action["name"] == "calibrate" for action in self.bar.actions)
            line = await self.panels.show_why(frame, row, can_calibrate=can)
            if self.shown is not None and self.shown.id == row.id:
                self.head.calibrations, self._explained = line, about

    async def _offer_spectra(self, row: FileRow) -> None:
        """Spectra to lay over the one shown, for somebody who has the tools before them."""
        if not self.spectrum.head.tools or self._drawn[0] != row.id:
            return
        others = await asyncio.to_thread(others_of, self.archive, row)
        if self._drawn[0] == row.id:
            self.spectrum.offer_rows(self.archive, others)

    async def _name_versions(self) -> None:
        if self.products is None:
            return
        frame = self.products.frame
        wanted = {row.run_id for row in self.products.made if row.version > 1} - {None}
        if wanted <= set(self._asked_by) or frame.data_type != RAW:
            return
        runs = await asyncio.to_thread(self.archive.runs, frame.id)
        self._asked_by |= {run.id: asked_by(run.plan) for run in runs}
        if self.shown is not None:
            self._show_bar(self.shown)

    # What is shown

    def _show_bar(self, row: FileRow) -> None:
        products = self.products
        states = {tab: products.current(tab).state for tab in products.tabs}
        versions = products.versions(row.data_type)
        of_each = {v: products.targets(row.data_type, v)[0] for v in versions}
        targets = products.targets(row.data_type, row.version)
        self.bar.param.update(
            tabs=[[tab, TABS[tab], states[tab]] for tab in products.tabs],
            tab=row.data_type,
            targets=[[target.id, target_name(target)] for target in targets],
            target=row.id,
            versions=[[v, version_name(r, self._asked_by)] for v, r in of_each.items()],
            version=row.version,
            is_old=not row.is_current,
            file_name=row.file_name,
            actions=self._actions(row),
        )

    def _actions(self, row: FileRow) -> list[dict[str, str]]:
        has_more = self.products.furthest().data_type > row.data_type
        scene = Scene(self.archive, row, self.viewer, self.visit, has_more)
        found = busy(actions_of(scene), self.orders.under_way(self.products.frame.id))
        cannot = set()
        if self.advanced is None:
            cannot = {"advanced", "settings"}
        elif not explored(self.products, row):
            cannot = {"advanced"}
        return [action for action in found if action["name"] not in cannot]

    def _show_actions(self) -> None:
        if self.products is not None and self.shown is not None and not self._is_waiting:
            self.bar.actions = self._actions(self.shown)

    def _arrange(self, row: FileRow) -> None:
        """Spectra above the image; an image that was chosen has the place to itself."""
        is_awaited = row.data_type == RAW and row.kind in SPECTRAL and not self.wish.is_chosen
        has_spectrum = is_spectrum(row) or is_awaited
        self._upper.visible = has_spectrum
        # The image of another frame is faint until that of this one is there.
        pictured = self._pictured[0]
        is_of_another = pictured != 0 and self.products.find(pictured) is None
        place = "below" if has_spectrum else "above"
        self._lower.css_classes = [place, "waits"] if is_of_another else [place]
        self._give_room()
        self._lower.visible = not has_spectrum or self.panels.tab == IMAGE

    def _give_room(self, without: Any = "") -> None:
        """More for an image with its cuts than for a spectrum above it."""
        others = [name for name in self._lower.css_classes if name not in ("large", without)]
        self._lower.css_classes = others + ["large"] * self.image.controls.cuts

    async def _show_spectrum(self, row: FileRow) -> list[QTable]:
        """Draw the spectrum; all spectra of its version, for what is drawn over the image."""
        if not is_spectrum(row):
            self._no_spectrum(absence(row, "spectrum"))
            return []
        if (row.id, row.last_modified) == self._drawn:
            return self._spectra
        siblings = self.products.targets(row.data_type, row.version)
        try:
            tables = await asyncio.to_thread(tables_of, self.archive, row, siblings)
        except Away:
            raise
        except GoodmanError as error:
            self._no_spectrum(str(error))
            return []
        if self.shown is not row:
            return []
        self.spectrum.show(tables[0], file_name=row.file_name, file_id=row.id)
        self.spectrum_note.text = ""
        self._drawn, self._spectra = (row.id, row.last_modified), tables
        return tables

    def _no_spectrum(self, why: str) -> None:
        if self.spectrum.head.file_name:
            self.spectrum.clear()
        self.spectrum_note.text = why
        self._drawn, self._spectra = (0, ""), []

    async def _show_image(self, row: FileRow, spectra: list[QTable]) -> None:
        if not self._lower.visible or self.products is None:
            return
        image = self.products.image_of(row)
        wanted = (image.id, "" if image.data_type == RAW else image.last_modified)
        traced = (*wanted, *self._drawn) if spectra else wanted
        if traced == self._pictured:
            self._name_image(row, image)
            return
        try:
            ccd = await asyncio.to_thread(image_in, self.archive, image)
        except Away:
            raise
        except GoodmanError as error:
            if self.shown is row:
                self._no_image(no_image(row, error))
            return
        if self.shown is not row:
            return
        # Name and pixels in one turn of the loop: they reach the page together.
        self.image.show_frame(ccd, [] if image.data_type == RAW else spectra)
        self._name_image(row, image)
        self._over.visible = self._picture.visible = True
        self.image_note.text = ""
        self._give_room("waits")
        self._pictured = traced

    def _name_image(self, row: FileRow, image: FileRow) -> None:
        is_instead = is_spectrum(row) and image.data_type == RAW
        self.caption.param.update(
            text=("raw, not reduced: " if is_instead else "") + image.file_name,
            is_instead=is_instead,
        )

    def _no_image(self, why: str) -> None:
        self._pictured = (0, "")
        self.caption.text = ""
        self._over.visible = self._picture.visible = False  # it is of another frame
        self.image_note.text = why
        self._give_room("waits")

    # What people do

    def _lower_changed(self, event: param.parameterized.Event) -> None:
        self.panels.switch()
        if self.shown is not None:
            self._arrange(self.shown)
        self.refresh(0.0)

    def _tools_changed(self, event: param.parameterized.Event) -> None:
        if event.new and self.shown is not None:
            self.tasks.begin(self._offer_spectra, self.shown)

    def _bar_deed(self, deed: dict[str, Any]) -> None:
        if self.products is None or self.shown is None:
            return
        if "tab" in deed:
            is_furthest = deed["tab"] == self.products.furthest().data_type
            tab = None if is_furthest else deed["tab"]
            self.wish = Wish(self.products.frame.id, 0, tab)
        elif "file" in deed or "version" in deed:
            self.touched()
            row = self.shown
            if "version" in deed:
                row = self.products.like(row, deed["version"]) or row
            self.wish = Wish(self.products.frame.id, deed.get("file", row.id), row.data_type)
        else:
            self._act(deed["act"])
            return
        self._loading.want(False)

    def _act(self, name: str) -> None:
        """Do what an action of the bar says."""
        self.touched()
        row, frame, archive = self.shown, self.products.frame, self.archive
        if name == "delete":
            back = partial(self._show_file, frame)
            self.orders.delete(row, gone=self.refresh, restored=back)
        elif name == "advanced" and self.advanced is not None:
            self.wish = Wish(frame.id, 0, self.wish.tab)  # what is saved there is seen afterwards
            self.advanced(explored(self.products, row))
        elif name == "settings" and self.advanced is not None:
            self.advanced({"Settings": row})
        elif name == "calibrate":
            self.panels.bar.tab = CALIBRATIONS
            self.panels.why.n_arcs_wanted += 1
        elif name == "master":
            self.orders.begin(frame, name, lambda: archive.calibrations(row.id))
        elif name in ("reduce", "extract"):
            ask = getattr(archive, name)
            self.orders.begin(frame, name, lambda: ask(row.id))

    def reduce_with(self, row: FileRow, settings: dict[str, Any]) -> None:
        """Reduce the frame of a file with settings that differ from those of its proposal."""
        if self.products is not None:
            self.orders.begin(
                self.products.frame, "reduce", lambda: self.archive.reduce(row.id, settings)
            )

    def _why_deed(self, deed: dict[str, Any]) -> None:
        self.touched()
        if self.products is None or self.shown is None:
            return
        if "open" in deed:
            self.open(deed["open"])
            return
        row, arc = self.shown, deed["calibrate"] or None
        frame = self.products.frame
        self.orders.begin(frame, "calibrate", lambda: self.archive.calibrate(row.id, arc))

    def _is_shown(self, frame: FileRow) -> bool:
        return self.products is not None and self.products.frame.id == frame.id

    def _show_made(self, frame: FileRow, job: Job) -> None:
        """Select what a job has made: the furthest, of several targets the first."""
        self.touched()
        self.tasks.begin(self._select_made, frame, job)

    async def _select_made(self, frame: FileRow, job: Job) -> None:
        rows = [await asyncio.to_thread(self.archive.file, number) for number in job.file_ids]
        if rows:
            best = max(rows, key=lambda row: (row.data_type, -row.id))
            self._show_file(frame, best)

    def _show_file(self, frame: FileRow, row: FileRow) -> None:
        frame_id = row.id if row.data_type == MASTER else frame.id
        self.wish = Wish(frame_id, row.id, row.data_type)
        self._loading.want(False)
