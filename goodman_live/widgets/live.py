"""The live page: the frames of an archive as they come, and what became of the selected one.

A new frame is selected as it arrives only while somebody follows the night; once a frame was
chosen it stays, and what came since waits to be clicked.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import panel as pn
import param

from ..access import may
from ..catalog import MASTER, RAW, UNREADABLE, Event, FileRow, Filter
from ..errors import Away, GoodmanError
from .advanced import Advanced
from .following import Following, is_first_spectrum
from .frame_view import FrameView
from .frames import LISTS, FrameList, Listing
from .image_exam import KEYS as IMAGE_KEYS
from .page import Page, Tell
from .platform import message_of
from .products import is_spectrum
from .spectrum_tools import KEYS as SPECTRUM_KEYS
from .tasks import Newest
from .visit import Visit

LIST_SECONDS = 0.15  # within which events become one question for the list
SURE_SECONDS = 4.0  # after which the list is asked for what events have told already
SEEN_SECONDS = 2.0  # that a frame is shown while others rush by
# After these there are as many files as before.
_SAME_FILES = ("state", "comment")
_CALIBRATING = ("bias", "flat", "arc")
_MOST_FRAMES = 100


class LivePage(Page):
    """Frames on the left, one of them on the right."""

    name = "live"
    title = "Live"
    keys = (
        ("↑ ↓", "the frame above or below, in the list"),
        ("Home End", "the newest, the oldest frame"),
        ("f", "follow: select each new frame as it arrives"),
        ("/", "search the frames"),
        ("", "With the pointer over a spectrum"),
        *SPECTRUM_KEYS,
        ("", "With the pointer over an image"),
        *((key, text[0].lower() + text[1:]) for key, (_, text) in IMAGE_KEYS.items()),
    )

    def __init__(self, visit: Visit, tell: Tell) -> None:
        super().__init__(visit, tell)
        self.archive = visit.archive
        self.following = Following()
        self.frames = FrameList(width=340, sizing_mode="stretch_height", proposal=visit.proposal)
        self.frames.can_dismiss = may(visit.viewer, "dismiss file")
        self.view = FrameView(self.archive, visit=visit, theme=visit.theme)
        self.tasks = self.view.tasks
        self._listing = Newest(self.tasks, self._list)
        self._leading, self._led = Newest(self.tasks, self._lead), -SEEN_SECONDS
        self._counted: Listing | None = None  # for which the numbers of frames still hold
        self._frames: dict[int, FileRow] = {}  # raw frames that events were of
        self._edge = ""  # of the page that is asked for: 'first' or 'last' is to be chosen
        self._connect()
        self._main = pn.Row(self.frames, self.view, margin=0, sizing_mode="stretch_both")
        self.explorers = Advanced(
            self.archive, self.tasks, self._explorer_opened, by=visit.viewer.username
        )
        self.explorers.theme = visit.theme
        self.view.advanced = self.explorers.open
        self.explorers.ordered = self.view.reduce_with
        self.explorers.left_saving = self.view.orders.take_up
        self._layout = pn.Column(
            self._main, self.explorers.layout, margin=0, sizing_mode="stretch_both"
        )

    def __panel__(self) -> pn.Column:
        return self._layout

    def _connect(self) -> None:
        self.frames.on_deed(self._list_deed)
        self.frames.param.watch(self._filter_changed, ["search", "shown"])
        self.frames.param.watch(self._page_changed, "page")
        self.frames.param.watch(self._follow_changed, "follow")
        self.view.param.watch(self._shown_changed, "shown")
        self.view.touched = self._stay

    # What the shell says

    def start(self) -> None:
        """Jobs that were left under way are followed again."""
        self.view.orders.resume()

    def open(self, query: Mapping[str, str]) -> None:
        """Show the file that is asked for, or the newest frame, or again what was chosen."""
        proposal = query.get("proposal", "")
        is_other = proposal != self.frames.proposal
        if self.explorers.is_open and (is_other or not self._is_here(query)):
            self.explorers.leave()
        if is_other:
            none = ("", "")
            self.frames.param.update(
                proposal=proposal, nights=none, page=0, rows=[], is_asked=False
            )
        if proposal:
            self.tasks.begin(self._find_nights, proposal)
        wanted = query.get("file", "")
        if wanted.isdecimal():
            self._open_file(int(wanted), raw=query.get("tab") == "raw")
        elif is_other or self.following.follow or self.following.selected is None:
            self.tasks.begin(self._resume)
        else:
            self.view.refresh()
            self._place()
        self._listing.want(None)

    async def _find_nights(self, proposal: str) -> None:
        """In which nights a proposal observed: calibrations of others are of no use to it."""
        which = Filter(data_type=RAW, proposal=proposal)
        found = await asyncio.to_thread(self.archive.choices, "night", which)
        nights = sorted(night for night in found if night)
        if nights and proposal == self.frames.proposal:
            self._counted = None
            self.frames.nights = nights[0], nights[-1]
            self._listing.want(None)

    def _observed_in(self, night: str) -> None:
        first, last = self.frames.nights
        if not first <= night <= last:
            self.frames.nights = min(first or night, night), max(last, night)
            self._counted = None

    def _open_file(self, file_id: int, *, raw: bool) -> None:
        if self._address() == {"file": file_id, "tab": "raw" if raw else None}:
            self.view.refresh()
            return
        self.following.stop()
        self.tasks.begin(self._open_linked, file_id, raw)

    def _is_here(self, query: Mapping[str, str]) -> bool:
        """Whether an address names what is shown."""
        return query.get("file", "") == str(self._address().get("file"))

    async def _open_linked(self, file_id: int, raw: bool) -> None:
        """A link names any file: its frame is selected, in the list and on the page it is on."""
        try:
            row = await asyncio.to_thread(self.archive.file, file_id)
            frame = await asyncio.to_thread(_frame_of, self.archive, row)
        except Away:  # the view asks again until it is back
            self.following.choose(file_id)
            self.view.open(file_id, exactly=raw)
            self._mark()
            return
        except (KeyError, GoodmanError):
            self.view.clear(f"There is no file {file_id}, or it is not for you to see.")
            self._mark()
            return
        self.following.choose(frame.id)
        self.view.open(file_id, exactly=raw or row.id != frame.id)
        await self._go_to(frame)
        self._mark()

    async def _go_to(self, frame: FileRow) -> None:
        """Turn the list to the page on which a frame is."""
        shown = next((name for name in LISTS if Listing(name).has(frame)), self.frames.shown)
        listing = Listing(shown, "", self.frames.proposal, nights=self.frames.nights)
        page = await asyncio.to_thread(listing.page_of, self.archive, frame)
        if page is not None:
            self.frames.param.update(shown=shown, search="", page=page)
            self._listing.want(None)

    async def _resume(self) -> None:
        newest = await asyncio.to_thread(self.frames.listing.newest, self.archive)
        self.following.resume(newest)
        self._show_selection()

    def recolour(self, theme: str) -> None:
        """Give the figures the colours of a theme."""
        self.view.theme = theme
        self.explorers.recolour(theme)

    def prefer(self, preferences: Any) -> None:
        """Give images the colours that somebody likes."""
        self.explorers.preferences = preferences
        self.view.prefer(preferences)

    def stop(self) -> None:
        """End what is under way."""
        self.tasks.cancel()

    # What people do

    def _list_deed(self, deed: dict[str, Any]) -> None:
        frames = self.frames
        if "pick" in deed:
            self._choose(deed["pick"])
        elif "step" in deed:
            edge = "first" if deed["step"] > 0 else "last"
            self._turn(min(max(frames.page + deed["step"], 0), frames.n_pages - 1), edge)
        elif "dismiss" in deed:
            self.tasks.begin(self._dismiss, deed["dismiss"])
        elif "end" in deed:
            self._turn(0 if deed["end"] == "first" else frames.n_pages - 1, deed["end"])

    async def _dismiss(self, file_id: int) -> None:
        await asyncio.to_thread(self.archive.dismiss, file_id)
        self._counted = None
        self._listing.want(None)

    def _turn(self, page: int, edge: str) -> None:
        """Go to a page of the list and choose the frame at its edge."""
        self._edge = edge
        self.frames.page = page
        self._listing.want(None)

    def _choose(self, file_id: int) -> None:
        self.following.choose(file_id)
        self._show_selection()

    def _stay(self) -> None:
        """Somebody does something with the frame shown: it is theirs until they leave it."""
        self.following.stop()
        self._mark()
        self._place()

    def _explorer_opened(self, is_open: bool) -> None:
        self._main.visible = not is_open
        if not is_open:
            self.view.refresh()

    def _filter_changed(self, *events: param.parameterized.Event) -> None:
        selected = self.following.selected
        is_cleared = any(event.name == "search" and not event.new for event in events)
        if is_cleared and selected is not None:
            self.tasks.begin(self._find_again, selected)
            return
        self.frames.page = 0
        self._listing.want(None)

    async def _find_again(self, file_id: int) -> None:
        """Whoever found a frame and clears the search goes on from it, not from the newest."""
        listing = replace(self.frames.listing, page=0)
        try:
            frame = await asyncio.to_thread(self.archive.file, file_id)
            page = await asyncio.to_thread(listing.page_of, self.archive, frame)
        except (KeyError, GoodmanError):
            page = None
        self.frames.page = page or 0
        self._listing.want(None)

    def _page_changed(self, event: param.parameterized.Event) -> None:
        self._listing.want(None)

    def _follow_changed(self, event: param.parameterized.Event) -> None:
        if event.new == self.following.follow:
            return
        if event.new:
            self.frames.page = 0
            self.tasks.begin(self._resume)
        else:
            self._stay()

    # What the archive does

    def take(self, event: Event) -> None:
        """Bring one event of the archive into the page."""
        self.tasks.begin(self._take, event)

    async def _take(self, event: Event) -> None:
        is_placed = self._placed(event)
        if not is_placed and (event.type not in _SAME_FILES or _is_unreadable(event)):
            self._counted = None
        if event.type not in ("frame", "product", "state"):
            self._frames.clear()  # it may be another proposal's now
        if event.type != "comment" and (self.frames.page == 0 or event.type != "frame"):
            self._listing.want(None, delay=SURE_SECONDS if is_placed else LIST_SECONDS)
        if event.type == "rebuilt" or event.file_id is None:
            self.view.refresh()
            return
        if self._concerns_view(event):
            if event.type == "comment":
                self.view.refresh_comments()
            else:
                self.view.refresh()
        if event.type in _SAME_FILES:
            return
        try:
            row = event.file or await asyncio.to_thread(self.archive.file, event.file_id)
            frame = event.frame or await self._frame_of(row)
        except (KeyError, GoodmanError):  # gone since, or not for this viewer any more
            return
        shown = self.view.shown
        if shown is not None and row.data_type == shown.data_type == MASTER:
            self.view.refresh()  # perhaps another version of it
        if row.kind in _CALIBRATING:
            self.view.refresh_calibrations()
        if event.type == "frame" and frame.proposal and frame.proposal == self.frames.proposal:
            self._observed_in(frame.night)
        if self._is_news(event, row, frame):
            taken = frame.exposure_start if event.type == "product" else ""
            self._lead_to(frame.id, taken)

    def _lead_to(self, file_id: int, spectrum_taken: str) -> None:
        """Go to a frame that arrived, at once if its spectrum did.

        When frames come several a second, nobody can see each: the last of them is shown.
        """
        if self.following.is_late(spectrum_taken):
            return
        if not self.following.follow:
            self.following.arrived(file_id)
            self._mark()
            return
        rest = 0.0 if spectrum_taken else self._led + SEEN_SECONDS - time.monotonic()
        self._leading.want((file_id, spectrum_taken), delay=max(rest, 0.0))

    async def _lead(self, wanted: tuple[int, str]) -> None:
        before, self._led = self.following.selected, time.monotonic()
        self.following.arrived(wanted[0], spectrum_taken=wanted[1])
        self._mark()
        if self.following.selected != before:
            self._show_selection()

    def _placed(self, event: Event) -> bool:
        """Whether the list could show what has happened by what the event brought with it."""
        row = event.frame or event.file
        if row is None or event.type not in ("frame", "product", "state"):
            return False
        if row.data_type == MASTER or (event.type == "state" and _is_unreadable(event)):
            return False  # which version is current, and which problem is over, the archive knows
        return self.frames.place(row, is_new=event.type == "frame")

    async def _frame_of(self, row: FileRow) -> FileRow:
        """The raw frame of what an event is of: several events are of each."""
        number = row.original_id or row.id
        if number not in self._frames:
            self._frames[number] = await asyncio.to_thread(_frame_of, self.archive, row)
            while len(self._frames) > _MOST_FRAMES:
                del self._frames[next(iter(self._frames))]
        return self._frames[number]

    def _concerns_view(self, event: Event) -> bool:
        shown = self.view.products
        if shown is None:
            return False
        is_own = shown.frame.id in (event.original_id, event.file_id)
        return is_own or event.file_id in [row.id for row in shown.made]

    def _is_news(self, event: Event, row: FileRow, frame: FileRow) -> bool:
        """Whether to go there when following: a frame that is listed, or its first spectrum."""
        if not self.frames.listing.has(frame):
            return False
        if event.type == "product":
            is_first = self.following.follow and is_first_spectrum(row)
            return is_first and not self._shows_later_spectrum(frame)
        return event.type == "frame"

    def _shows_later_spectrum(self, frame: FileRow) -> bool:
        """Whether a frame that was taken later is shown with its spectrum already."""
        shown = self.view.products
        if shown is None or not is_spectrum(shown.furthest()):
            return False
        return shown.frame.exposure_start > frame.exposure_start

    # What is shown

    async def _list(self, _: None) -> None:
        """Ask for the page of the list; after a turn to its edge, choose the frame there."""
        listing = self.frames.listing
        about = replace(listing, shown="observed", search="", page=0)
        known = self.frames.counts if about == self._counted else {}
        self._counted = about
        try:
            listed = await asyncio.to_thread(listing.ask, self.archive, known)
        except GoodmanError as error:
            self._counted, self.frames.trouble = None, message_of(error)
            return
        if listing != self.frames.listing:
            self._listing.want(None)
            return
        edge, self._edge = self._edge, ""
        self.frames.show(listed)
        if edge and listed.rows:
            self._choose(listed.rows[0 if edge == "first" else -1].id)

    def _mark(self) -> None:
        """Say which frame is selected, whether the night is followed, and what came since."""
        state = self.following
        self.frames.param.update(
            selected=state.selected or 0, follow=state.follow, n_new=len(state.unseen)
        )

    def _show_selection(self) -> None:
        self._mark()
        if self.following.selected is None:
            self.view.clear("The next frame appears here as soon as it arrives.")
        else:
            self.view.open(self.following.selected)

    def _shown_changed(self, event: param.parameterized.Event) -> None:
        """Somebody may have been led to another frame by a link in the view."""
        products = self.view.products
        if event.new is not None and self.following.selected != products.frame.id:
            self.following.choose(products.frame.id)
            self._mark()
        self._place()

    def _place(self) -> None:
        """Put what is shown into the address; while following, that is the newest."""
        is_held = self.view.shown is not None and not self.following.follow
        self.visit.put(**(self._address() if is_held else {"file": None, "tab": None}))

    def _address(self) -> dict[str, Any]:
        """What names the file shown: the frame, unless somebody wants another than the furthest."""
        row, wish = self.view.shown, self.view.wish
        if row is None:
            return {}
        is_chosen = bool(wish.file_id) or wish.tab is not None
        is_raw = is_chosen and row.data_type == RAW
        frame_id = self.view.products.frame.id
        return {"file": row.id if is_chosen else frame_id, "tab": "raw" if is_raw else None}


def _is_unreadable(event: Event) -> bool:
    """Whether it is of a file that cannot be read, or may be: not every archive tells the row."""
    return event.file is None or event.file.kind == UNREADABLE


def _frame_of(archive: Any, row: FileRow) -> FileRow:
    """The raw frame of a product; a raw frame or a master itself."""
    if row.data_type in (RAW, MASTER) or row.original_id is None:
        return row
    return archive.file(row.original_id)
