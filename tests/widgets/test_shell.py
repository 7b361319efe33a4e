"""What is around the pages, without a browser: addresses, rights, messages, the wire, lightness."""

import pytest

pytest.importorskip("panel", reason="the widgets need the extra 'dashboards'")

import asyncio
import json
import subprocess
import sys

import panel as pn
import param
from access_world import MINE
from bokeh.document import Document
from bokeh.models import Slider

from goodman_live.access import Viewer
from goodman_live.catalog import Archive
from goodman_live.errors import Away, GoodmanError
from goodman_live.people.words import Preferences
from goodman_live.widgets import platform
from goodman_live.widgets import shell as shell_module
from goodman_live.widgets.component import Component
from goodman_live.widgets.page import Page
from goodman_live.widgets.pages import PAGES, Entry, show
from goodman_live.widgets.shell import Shell
from goodman_live.widgets.visit import Visit, query_of, visit_of
from goodman_live.widgets.wire import Wire

from .making import add_raw

HEAVY = (
    "pandas", "scipy.optimize", "scipy.interpolate", "scipy.ndimage", "matplotlib", "ccdproc",
    "specutils", "sqlalchemy", "ipywidgets", "holoviews", "astropy.modeling", "astroscrappy",
)  # fmt: skip


@pytest.fixture
def archive(tmp_path):
    archive = Archive(tmp_path / "archive")
    yield archive
    archive.close()


@pytest.fixture(autouse=True)
def nobody_listens(monkeypatch):
    monkeypatch.setattr(platform, "_listeners", [])
    monkeypatch.setattr(platform, "_documents", [])


def visit_by(viewer: Viewer, archive=None, **given) -> Visit:
    return Visit(archive, viewer, Preferences(), **({"base_url": "/dash/"} | given))


def test_addresses_are_beneath_the_pages_and_leave_out_what_is_not_given():
    visit = visit_by(Viewer(1))
    assert visit.address("live") == "/dash/live"
    assert (
        visit.address("search", proposal="A&B", file=None, x=7) == "/dash/search?proposal=A%26B&x=7"
    )
    assert query_of("?proposal=A%26B&theme=dark&file=3") == {"proposal": "A&B", "file": "3"}


def test_a_file_is_downloaded_here_and_opened_in_a_notebook_only_at_a_hub(archive):
    row = add_raw(archive, 1)
    assert visit_by(Viewer(1)).download_url(row) == f"/dash/download/{row.id}"
    assert visit_by(Viewer(1)).notebook_url(row) == ""
    assert visit_by(Viewer(1), hub_url="/hub/").notebook_url(row).startswith("/hub/user-redirect/")


@pytest.mark.parametrize(
    ("viewer", "hidden"),
    [
        (Viewer(1, "ada"), {"logs", "management"}),
        (Viewer(2, "sam", is_staff=True), set()),
    ],
)
def test_pages_that_one_may_not_use_are_neither_shown_nor_opened(archive, viewer, hidden):
    async def visiting():
        shell = Shell(visit_by(viewer, archive))
        assert {name for name, *_ in shell.bar.pages} == set(PAGES) - hidden
        for name in hidden:
            with pytest.raises(GoodmanError, match="not for you"):
                shell.visit.go(name)
        shell.stop()

    asyncio.run(visiting())


def test_a_local_archive_in_a_notebook_is_its_owners(archive):
    visit = visit_of(archive, {"QUERY_STRING": "file=3", "HTTP_X_GOODMAN_THEME": "light"})
    assert (visit.viewer.is_superuser, visit.theme, visit.query) == (True, "light", {"file": "3"})


class Diary(Page):
    """A page that notes what it is told."""

    name, title = "diary", "Diary"

    def __init__(self, visit, tell):
        super().__init__(visit, tell)
        self.notes = []

    def __panel__(self):
        return pn.Column()

    def start(self):
        self.notes.append("start")

    def open(self, query):
        self.notes.append(dict(query))

    def take(self, event):
        self.notes.append(event.type)

    def recolour(self, theme):
        self.notes.append(theme)

    def prefer(self, preferences):
        self.liked = preferences.colour_map

    def stop(self):
        self.notes.append("stop")


@pytest.fixture
def diaries(monkeypatch):
    """Two such pages among the others."""
    for name in ("diary", "other"):
        entry = Entry(name.title(), "", "")
        monkeypatch.setitem(PAGES, name, entry)
    monkeypatch.setattr(Entry, "load", lambda self: Diary)


def test_a_page_is_started_once_opened_by_links_and_told_of_events_while_shown(archive, diaries):
    async def visiting():
        shell = Shell(visit_of(archive, {}, base_url="/dash/", page="diary", theme="dark"))
        shell.start()
        shell.bar.asked = {"page": "diary", "query": "?file=1&theme=light", "number": 1}
        assert shell.bar.place == {"url": "/dash/diary?file=1", "push": True}
        diary = shell.page
        add_raw(archive, 1)
        async with asyncio.timeout(60):
            while "frame" not in diary.notes:
                await asyncio.sleep(0.02)
        shell.visit.put(tab="raw")
        assert shell.bar.place == {"url": "/dash/diary?file=1&tab=raw", "push": False}
        shell.visit.go("other", proposal="A")
        assert shell.visit.proposal == shell.bar.proposal == "A"
        shell.visit.put(proposal="B")
        assert shell.bar.proposal == "B"
        shell.visit.like(Preferences(theme="light", colour_map="inferno"))
        assert {diary.liked, shell.page.liked} == {"inferno"}
        shell.stop()
        assert diary.notes[:4] == ["dark", "start", {}, {"file": "1"}]
        assert diary.notes[4:] == ["frame", "light", "stop"]
        assert shell.page.notes == ["dark", "start", {"proposal": "A"}, "light", "stop"]
        assert shell.bar.message == {}

    asyncio.run(visiting())


def test_an_address_of_no_page_leads_to_the_first(archive, diaries):
    async def visiting():
        shell = Shell(visit_of(archive, {}, page="diary"))
        shell.bar.asked = {"page": "nothing of the kind", "query": "", "number": 2}
        assert shell.visit.page == "live"
        shell.stop()

    asyncio.run(visiting())


def test_messages_are_told_as_errors_or_as_notices(archive):
    async def visiting():
        shell = Shell(visit_of(archive, {}, page="live"))
        shell.tell(GoodmanError("It must be dark."))
        assert shell.bar.message == {"kind": "error", "text": "It must be dark.", "number": 1}
        shell.tell("Saved.")
        assert shell.bar.message["kind"] == "notice"
        platform.guarded(lambda: 1 / 0)()
        assert shell.bar.message["text"] == "ZeroDivisionError: division by zero"

    asyncio.run(visiting())


def test_an_archive_that_was_away_for_a_moment_is_asked_again_for_what_it_could_not_tell(
    archive, diaries, monkeypatch
):
    for name in ("_LOOK_SECONDS", "_AGAIN_SECONDS"):
        monkeypatch.setattr(shell_module, name, 0.1)

    async def visiting():
        shell = Shell(visit_of(archive, {}, page="diary", query={"file": "1"}))
        shell.start()
        diary, said = shell.page, "The archive at http://127.0.0.1:9/api must answer."
        diary.notes.clear()
        shell.tell(Away(said))  # no look has seen it
        assert shell.bar.away == said
        assert shell.bar.message["kind"] == "away"
        assert shell.bar.message["text"] == platform.AWAY
        async with asyncio.timeout(60):
            while shell.bar.away:
                await asyncio.sleep(0.02)
        assert diary.notes == [{"file": "1"}]
        shell.stop()

    asyncio.run(visiting())


def test_an_archive_that_does_not_answer_is_said_in_place_of_the_page(monkeypatch):
    monkeypatch.setenv("GOODMAN_LIVE_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("HTTP_X_GOODMAN_TOKEN", "0" * 40)
    problem = show("live")
    assert "must answer" in str(problem)


# The wire


class Line:
    """The browser's end of a comm."""

    def __init__(self, monkeypatch):
        self.sent, self.comm_id = [], "line"
        monkeypatch.setattr("comm.create_comm", lambda **_: self)

    def on_msg(self, take):
        self.say = lambda **data: take({"content": {"data": data}})

    def send(self, data, buffers=()):
        self.sent.append(data)


class Counter(Component):
    count = param.Integer(default=0)


def test_what_happened_before_and_between_connections_is_sent_once_and_in_order(monkeypatch):
    line = Line(monkeypatch)

    async def wired():
        counter, document = Counter(), Document()
        document.add_root(counter.get_root(doc=document))
        platform.adopt(document)
        wire = Wire(document)
        assert json.loads(wire.bundle()["document"])["roots"]
        for number in (1, 2):
            platform.guarded(setattr)(counter, "count", number)
            await asyncio.sleep(0.01)
        assert line.sent == []
        line.say(hello=True, seen=0)
        assert [each.get("number") for each in line.sent] == [None, 1, 2]
        line.say(seen=2)
        platform.guarded(setattr)(counter, "count", 3)
        await asyncio.sleep(0.01)
        line.sent.clear()
        line.say(hello=True, seen=2)  # connected again: the third was lost on the way
        assert [each.get("number") for each in line.sent] == [None, 3]
        line.sent.clear()
        line.say(hello=True, seen=0)  # somebody who has not even seen what was thrown away
        assert line.sent == [{"stale": True}]

    asyncio.run(wired())


def test_what_the_browser_changes_is_heard_once(monkeypatch):
    line, heard = Line(monkeypatch), []

    async def wired():
        slider, document = Slider(start=0, end=10, value=0), Document()
        slider.on_change("value", lambda attr, old, new: heard.append((old, new)))
        document.add_root(slider)
        Wire(document)
        change = {"kind": "ModelChanged", "model": slider.ref, "attr": "value", "new": 3}
        line.say(event=change)
        await asyncio.sleep(0.01)
        assert heard == [(0, 3)] and line.sent == []  # and is not told back

    asyncio.run(wired())


def test_kinds_of_components_that_come_later_are_told_to_the_browser(monkeypatch):
    line = Line(monkeypatch)

    async def wired():
        counter, document = Counter(), Document()
        document.add_root(counter.get_root(doc=document))
        platform.adopt(document)
        wire = Wire(document)
        wire.bundle()
        line.say(hello=True, seen=0)
        later = type("LaterComponent", (Component,), {"word": param.String()})
        later().get_root()
        platform.guarded(setattr)(counter, "count", 5)
        await asyncio.sleep(0.01)
        assert "LaterComponent" in json.dumps(line.sent[-1]["defs"])

    asyncio.run(wired())


def test_a_kernel_kept_ready_has_loaded_nothing_heavy():
    code = (
        "import os, sys; os.environ['VOILA_BASE_URL'] = '/'\n"
        "os.environ['GOODMAN_ASSETS_URL'] = 'http://127.0.0.1:1/assets/'\n"
        "from goodman_live.widgets import platform; platform.setup()\n"
        "from goodman_live.widgets import pages; pages.warm_up()\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_who_sees_all_may_choose_proposals_that_only_frames_name(pages):
    def offered(who):
        return dict(Shell(visit_of(pages.as_seen_by(who)))._proposals())

    assert offered("staff")["SOAR2019A-001"] == "not registered"
    assert "" not in offered("staff")
    assert offered("pi") == {MINE: "Mine"}
