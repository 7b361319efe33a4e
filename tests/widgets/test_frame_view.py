"""One frame over a real API: what is shown of it, what may be done, and that it is done."""

import asyncio
import contextlib

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")
pytest.importorskip("fastapi", reason="the API needs the extra 'api'")

from access_world import CHEAP
from pages_world import do, served

from goodman_live.api import make_app
from goodman_live.catalog import CALIBRATED, RAW, Archive
from goodman_live.client import RemoteArchive
from goodman_live.errors import Away
from goodman_live.io import read_raw
from goodman_live.mail import FolderMailer
from goodman_live.people import Hasher, People
from goodman_live.people.words import Preferences
from goodman_live.widgets import frame_view, platform
from goodman_live.widgets.frame_view import FrameView
from goodman_live.widgets.other_settings import OtherSettings
from goodman_live.widgets.visit import visit_of

from .making import add_raw, add_spectrum

PROPOSAL = "SOAR2026A-001"


class Site:
    """An archive with a spectrum of PROPOSAL, and the archive as people see it."""

    def __init__(self, archive, people, url):
        self.archive, self.people, self.url = archive, people, url
        self.users = {
            "ada": people.add_user("ada@soar.org"),
            "bob": people.add_user("bob@soar.org"),
        }
        people.add_proposal(PROPOSAL, pi=self.users["ada"].id)
        people.add_collaborator(PROPOSAL, "bob@soar.org")
        self._numbers = iter(range(1, 60))
        self._open = contextlib.ExitStack()

    def add_frame(self, **kinds):
        raw = add_raw(self.archive, next(self._numbers), **kinds)
        return self.archive.assign(raw.id, PROPOSAL)

    def add_reduced(self):
        raw = self.add_frame()
        return raw, add_spectrum(self.archive, raw)

    def as_seen_by(self, who):
        key = self.people.add_token(self.users[who].id, "test")[1]
        return self._open.enter_context(RemoteArchive(self.url, key))

    def close(self):
        self._open.close()


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    root = tmp_path_factory.mktemp("archive")
    with contextlib.closing(Archive(root)) as archive:
        people = People(archive.database, FolderMailer(root / "mail"), hasher=Hasher(**CHEAP))
        app = make_app(archive, people)
        with contextlib.closing(people), served(app) as url:
            site = Site(archive, people, url)
            yield site
            site.close()


@pytest.fixture(autouse=True)
def told(monkeypatch):
    """What went wrong in callbacks."""
    told = []
    monkeypatch.setattr(platform, "_listeners", [told.append])
    return told


def look(site, file_id, *deeds, who="ada", **options):
    """The view of a file after somebody has done things to it, one after the other."""

    async def looking():
        view = FrameView(site.as_seen_by(who), visit=None)
        view.open(file_id, **options)
        await view.tasks.settled()
        for deed in deeds:
            deed(view)
            await view.tasks.settled()
        return view

    return asyncio.run(looking())


def actions(view):
    return [action["name"] for action in view.bar.actions]


def notices(view):
    return [(row["text"], row["deed"]) for row in view.orders.notices.rows]


def test_a_frame_shows_its_furthest_product_with_head_and_image(site, told):
    raw, spectrum = site.add_reduced()
    view = look(site, raw.id)
    assert view.head.frame["file"] == raw.file_name
    assert view.spectrum.head.file_name == spectrum.file_name
    assert [label for _, label, _ in view.bar.tabs] == ["Wavelength calibrated", "Observed raw"]
    assert view.caption.text == f"raw, not reduced: {raw.file_name}"
    assert view.image.image.shape == (60, 2071)
    assert view.head.calibrations[0][:2] == ["bias", "failed"]
    assert told == []


def test_images_and_spectra_are_drawn_as_one_likes_and_others_offered_with_the_tools(site):
    raw, _ = site.add_reduced()
    other, _ = site.add_reduced()
    still = Preferences(colour_map="inferno", show_saturated=False, plots="static")
    view = look(
        site,
        raw.id,
        lambda view: view.prefer(still),
        lambda view: setattr(view.spectrum.head, "tools", True),
    )
    assert (view.image.controls.colour_map, view.image.controls.masked) == ("inferno", False)
    figures = (view.image._figure, view.spectrum._plot.figure)
    bars = [figure.toolbar for figure in figures]
    assert [(bar.visible, bar.active_drag, bar.active_scroll) for bar in bars] == [
        (False, None, None)
    ] * 2
    assert any(other.file_name in name for _, _, name in view.spectrum.tools.offered)


def test_a_product_can_be_opened_by_its_own_number(site):
    raw, spectrum = site.add_reduced()
    view = look(site, spectrum.id, exactly=True)
    assert view.shown.id == spectrum.id
    assert view.head.frame["id"] == raw.id


def test_a_tab_stays_chosen_from_frame_to_frame(site):
    raw, spectrum = site.add_reduced()
    other, _ = site.add_reduced()
    view = look(site, raw.id, lambda view: do(view.bar, tab=RAW), lambda view: view.open(other.id))
    assert view.shown.id == other.id
    view = look(site, raw.id, lambda v: do(v.bar, tab=RAW), lambda v: do(v.bar, tab=CALIBRATED))
    assert (view.shown.id, view.wish.tab) == (spectrum.id, None)


def test_a_file_that_is_not_there_is_said_in_its_place(site, told):
    view = look(site, 99_999)
    assert view.head.empty == "There is no file 99999."
    assert (view.shown, view.head.frame, told) == (None, {}, [])


def test_a_damaged_product_is_said_in_its_place(site):
    raw, spectrum = site.add_reduced()
    site.archive.path(spectrum).write_bytes(b"no FITS file")
    view = look(site, raw.id)
    assert spectrum.file_name in view.spectrum_note.text
    assert view.spectrum.head.file_name == ""


def test_the_header_is_that_of_the_file_shown(site):
    raw, _ = site.add_reduced()
    view = look(site, raw.id, lambda view: setattr(view.panels.bar, "tab", "Header"))
    assert any(card[:2] == ["GSP_WSTA", "calibrated"] for card in view.panels.header.cards)
    view = look(
        site,
        raw.id,
        lambda view: setattr(view.panels.bar, "tab", "Header"),
        lambda view: do(view.bar, tab=RAW),
    )
    keywords = [card[0] for card in view.panels.header.cards]
    assert "OBSTYPE" in keywords
    assert "GSP_WSTA" not in keywords


def test_a_comment_is_added_changed_and_deleted_by_whoever_wrote_it(site):
    raw = site.add_frame()
    text = '<img src=x onerror="alert(1)">'
    view = look(site, raw.id, lambda view: do(view.panels.comments, add=text))
    comment = view.panels.comments.rows[0]
    assert (comment["author"], comment["text"], view.panels.bar.n_comments) == ("ada", text, 1)
    number = comment["id"]
    view = look(site, raw.id, lambda view: do(view.panels.comments, edit=number, text="Clouds."))
    assert [(row["text"], row["edited"]) for row in view.panels.comments.rows] == [
        ("Clouds.", True)
    ]
    others = look(site, raw.id, who="bob").panels.comments.rows[0]
    assert (others["can_edit"], others["can_delete"]) == (False, False)
    view = look(site, raw.id, lambda view: do(view.panels.comments, delete=number))
    assert view.panels.comments.rows == []


def test_a_product_is_deleted_and_comes_back(site):
    raw, spectrum = site.add_reduced()
    delete = lambda view: do(view.bar, act="delete")  # noqa: E731
    view = look(site, raw.id, delete)
    assert view.shown.id == raw.id
    assert site.archive.children(raw.id) == []
    assert notices(view) == [(f"Deleted {spectrum.file_name}", "Undo")]

    def undo(view):
        do(view.orders.notices, notice=view.orders.notices.rows[0]["id"])

    other, kept = site.add_reduced()
    view = look(site, other.id, delete, undo)
    assert view.shown.file_name == kept.file_name
    assert [row.file_name for row in site.archive.children(other.id)] == [kept.file_name]


def test_a_raw_frame_is_never_offered_for_deletion(site):
    raw, _ = site.add_reduced()
    view = look(site, raw.id, lambda view: do(view.bar, tab=RAW))
    assert actions(view) == ["reduce"]


def test_a_job_that_cannot_be_done_says_why(site):
    raw = site.add_frame()
    site.archive.path(raw).chmod(0o600)
    site.archive.path(raw).write_bytes(b"no FITS file")
    view = look(site, raw.id, lambda view: do(view.bar, act="reduce"))
    row = view.orders.notices.rows[0]
    assert (row["kind"], row["text"]) == ("bad", f"{raw.file_name} could not be reduced")
    assert row["detail"]
    assert view.orders.under_way(raw.id) == []


def test_the_history_tells_what_was_tried(site):
    raw = site.add_frame()
    run = site.archive.start_run(raw.id, "spectrum", "{}", {"extraction": "optimal"})
    site.archive.finish_run(run.id, "failed", "No target was found.", {"trim": 0.25})
    view = look(site, raw.id, lambda view: setattr(view.panels.bar, "tab", "History"))
    row = view.panels.history.rows[0]
    assert (row["by"], row["state"], row["message"]) == (
        "the engine", "failed", "No target was found.",
    )  # fmt: skip
    assert row["settings"] == [["extraction", "optimal"]]
    assert row["times"] == [["trim", 0.25, "250 ms"]]


def test_whoever_looks_is_offered_downloads(site):
    raw, spectrum = site.add_reduced()

    async def looking():
        archive = site.as_seen_by("bob")
        view = FrameView(archive, visit=visit_of(archive, {}, base_url="/pages/"))
        view.open(raw.id)
        await view.tasks.settled()
        return view

    view = asyncio.run(looking())
    link = next(action for action in view.bar.actions if action["name"] == "download")
    assert link["href"] == f"/pages/download/{spectrum.id}"


def test_over_an_archive_in_a_notebook_nothing_is_offered_that_it_cannot_do(site):
    raw, spectrum = site.add_reduced()

    async def looking():
        view = FrameView(site.archive)
        view.open(raw.id)
        await view.tasks.settled()
        return view

    view = asyncio.run(looking())
    assert view.spectrum.head.file_name == spectrum.file_name
    assert actions(view) == []
    assert view.panels.bar.tabs == ["Image", "Header", "History"]


def test_the_name_of_an_image_changes_with_its_pixels(site):
    """Never a name over the pixels of another frame, however slowly these come."""
    first, second = site.add_frame(), site.add_frame()
    shown = {}

    def watched(view):
        view.caption.param.watch(
            lambda event: shown.update({event.new: float(view.image.image.sum())}), "text"
        )
        view.open(second.id)

    view = look(site, first.id, watched)
    right = {row.file_name: float(read_raw(site.archive.path(row)).data.sum()) for row in (second,)}
    assert shown == right
    assert view.caption.text == second.file_name


def test_a_frame_is_reduced_with_settings_of_ones_choice(site, told):
    raw = site.add_frame()
    explored = []

    def chooses(view):
        view.advanced = explored.append
        do(view.bar, act="settings")
        view.reduce_with(raw, {"trace_order": 2})

    view = look(site, raw.id, chooses)
    assert explored == [{"Settings": raw}]
    run = view.archive.runs(raw.id)[0]
    assert (run.settings["trace_order"], told) == (2, [])


def test_the_settings_offered_are_those_of_the_proposal_and_only_changes_are_ordered(site):
    raw = site.add_frame()
    site.people.save_settings(PROPOSAL, {"trace_order": 4}, "ada")
    form = OtherSettings.of_archive(site.as_seen_by("bob"), raw.id)
    ordered = []
    form.ordered = lambda row, settings: ordered.append((row.id, settings))
    assert form.form.value.trace_order == 4
    do(form.form.fields, set="max_targets", value=1)
    do(form.form.fields, save=True)
    assert ordered == [(raw.id, {"max_targets": 1})]


def test_an_image_of_another_frame_is_faint_until_the_right_one_is_there(site):
    first, second = site.add_frame(), site.add_frame()
    classes = []

    def watched(view):
        view._lower.param.watch(lambda event: classes.append(event.new), "css_classes")
        view.open(second.id)

    view = look(site, first.id, watched)
    assert classes == [["below", "waits"], ["below"]]
    assert view.image.image.sum() > 0


def test_of_what_cannot_be_read_nothing_is_offered_and_without_a_frame_no_axes_are_shown(site):
    row = site.archive.add_unreadable(site.archive.root / "torn.fits", "It is torn.")
    site.people.change_user(site.users["bob"].id, is_staff=True)
    view = look(site, row.id, who="bob")
    assert (view.head.frame["message"], actions(view)) == ("It is torn.", [])
    assert "cannot be read" in view.image_note.text
    view.clear()
    assert not view._upper.visible
    assert not view._over.visible


def test_of_what_cannot_be_read_no_image_is_shown_and_least_that_of_another_frame(site):
    raw, torn = site.add_frame(), site.archive.root / "torn2.fits"
    row = site.archive.add_unreadable(torn, "It is torn.")
    site.people.change_user(site.users["bob"].id, is_staff=True)
    seen = []

    def note(view):
        seen.append((view.image.__panel__().visible, view.image_note.text))

    steps = (note, lambda view: view.open(row.id), note, lambda view: view.open(raw.id), note)
    view = look(site, raw.id, *steps, lambda view: view.clear("Nothing."), note, who="bob")
    pictured = [is_pictured for is_pictured, _ in seen]
    assert pictured == [True, False, True, False]
    assert "cannot be read" in seen[1][1]
    assert (view.head.empty, view.image_note.text) == ("Nothing.", "")


@contextlib.contextmanager
def mortal(site):
    """A server of a site that can be killed and brought back, and the archive as ada sees it."""
    key = site.people.add_token(site.users["ada"].id, "test")[1]
    app, running = make_app(site.archive, site.people), contextlib.ExitStack()
    port = int(running.enter_context(served(app)).split(":")[2].split("/")[0])
    with RemoteArchive(f"http://127.0.0.1:{port}/api", key) as archive, running:
        yield archive, running.close, lambda: running.enter_context(served(app, port))


def test_while_the_archive_is_away_no_other_frame_stands_for_the_one_wanted(
    site, told, monkeypatch
):
    monkeypatch.setattr(frame_view, "AGAIN_SECONDS", 0.1)
    (first, _), (second, spectrum) = site.add_reduced(), site.add_reduced()

    async def looking(archive, kill, bring_back):
        view = FrameView(archive)
        view.panels.bar.tab = "Comments"
        view.open(first.id)
        await view.tasks.settled()
        assert "delete" in actions(view)
        assert view.panels.layout.visible
        kill()
        view.open(first.id)
        async with asyncio.timeout(60):
            while actions(view):
                await asyncio.sleep(0.02)
        assert view.head.frame["id"] == first.id  # still what is wanted
        view.open(second.id)
        async with asyncio.timeout(60):
            while view.products is not None:
                await asyncio.sleep(0.02)
        assert (view.head.frame, view.shown, actions(view)) == ({}, None, [])
        assert "away" in view.head.empty
        parts = (view._upper, view.image.__panel__(), view.panels.layout)
        assert [part.visible for part in parts] == [False] * 3
        bring_back()
        await asyncio.wait_for(view.tasks.settled(), 120)
        assert view.head.frame["id"] == second.id
        assert view.spectrum.head.file_name == spectrum.file_name
        assert "delete" in actions(view)
        assert view.panels.layout.visible

    with mortal(site) as parts:
        asyncio.run(looking(*parts))
    assert told and all(isinstance(error, Away) for error in told)


def test_a_comment_is_over_for_its_box_only_when_the_archive_has_it(site, told):
    raw = site.add_frame()

    async def looking(archive, kill, bring_back):
        view = FrameView(archive)
        view.open(raw.id)
        await view.tasks.settled()
        comments = view.panels.comments
        kill()
        do(comments, add="Clouds.")
        await view.tasks.settled()
        assert comments.ended == [[1, False]]
        assert [type(error) for error in told] == [Away]
        bring_back()
        do(comments, add="Clouds.")
        await view.tasks.settled()
        assert comments.ended == [[1, False], [2, True]]
        assert [row["text"] for row in comments.rows] == ["Clouds."]

    with mortal(site) as parts:
        asyncio.run(looking(*parts))
